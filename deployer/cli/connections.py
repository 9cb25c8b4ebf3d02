"""How commands reach hosts."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from deployer.cli.interpreters import Interpreters
from deployer.cli.project import Project
from deployer.copy import HostSession, open_session
from deployer.copy.errors import ConversationBroken
from deployer.errors import DeployerError
from deployer.inventory import Host
from deployer.ssh import Session, SshError, connect

UNREACHABLE: Final[tuple[type[DeployerError], ...]] = (SshError, ConversationBroken)
"""What counts as a connection failure, apart from other failures."""
PARALLEL: Final = 50
_T = TypeVar("_T")


class Connections:
    """Opens fresh connections to hosts, by name. The first of each can be begun before anybody needs it.

    Use as a context: what was begun and not asked for is closed at its end.
    """

    def __init__(self, project: Project, hosts: Sequence[Host]) -> None:
        """Nothing is opened yet."""
        self._project = project
        self._hosts = {host.name: host for host in hosts}
        self._options = project.settings.connect_options()
        self._interpreters = Interpreters(project)
        self._begun: dict[str, asyncio.Task[Session]] = {}

    async def __call__(self, name: str) -> HostSession:
        """A conversation over a connection that nobody else has. What the host says of itself is asked now."""
        begun = self._begun.pop(name, None)
        connecting = begun or connect(self._hosts[name], self._options)
        return await open_session(connecting, lambda: self._project.runtime_image, self._interpreters)

    async def meanwhile(self, work: Callable[[], _T]) -> _T:
        """Do some work of this machine's while the hosts that are asked first answer the handshakes."""
        for host in itertools.islice(self._hosts.values(), PARALLEL):
            self._begun[host.name] = asyncio.create_task(connect(host, self._options))
        return await asyncio.to_thread(work)

    async def __aenter__(self) -> Connections:
        """As a context."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what was begun and is not needed."""
        begun, self._begun = list(self._begun.values()), {}
        for task in begun:
            task.cancel()
        for session in await asyncio.gather(*begun, return_exceptions=True):
            if isinstance(session, Session):
                await session.close()


async def on_each(
    project: Project, hosts: Sequence[Host], ask: Callable[[HostSession], Awaitable[_T]]
) -> Mapping[str, _T | DeployerError]:
    """Ask every host, at most `PARALLEL` at a time. An error is that host's answer."""
    open_host = Connections(project, hosts)
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
