"""How commands reach hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from deployer.cli.project import Project
from deployer.copy import HostSession, open_session
from deployer.copy.errors import ConversationBroken
from deployer.errors import DeployerError
from deployer.inventory import Host
from deployer.ssh import ConnectOptions, SshError

UNREACHABLE: Final[tuple[type[DeployerError], ...]] = (SshError, ConversationBroken)
"""What counts as a connection failure, apart from other failures."""
PARALLEL: Final = 50
_T = TypeVar("_T")


def opener(project: Project, hosts: Sequence[Host]) -> Callable[[str], Awaitable[HostSession]]:
    """Opens a fresh connection to one of the hosts, by name."""
    options = ConnectOptions()
    by_name = {host.name: host for host in hosts}

    async def open_host(name: str) -> HostSession:
        return await open_session(by_name[name], options, project.runtime_image)

    return open_host


async def on_each(
    project: Project, hosts: Sequence[Host], ask: Callable[[HostSession], Awaitable[_T]]
) -> Mapping[str, _T | DeployerError]:
    """Ask every host, at most `PARALLEL` at a time. An error is that host's answer."""
    open_host = opener(project, hosts)
    gate = asyncio.Semaphore(PARALLEL)

    async def visit(host: Host) -> _T | DeployerError:
        async with gate:
            try:
                async with await open_host(host.name) as session:
                    return await ask(session)
            except DeployerError as error:
                return error

    async with asyncio.TaskGroup() as group:
        tasks = {host.name: group.create_task(visit(host)) for host in hosts}
    return {name: task.result() for name, task in tasks.items()}
