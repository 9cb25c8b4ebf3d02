"""What the commands about generations share: ask every host, show each answer, and end with the gravest exit code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from deployer.cli.connections import on_each
from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.project import Project
from deployer.copy import HostSession
from deployer.errors import DeployerError, ExitCode
from deployer.inventory import Host

_T = TypeVar("_T")


def ask_hosts(
    project: Project,
    selector: str | None,
    ask: Callable[[HostSession], Awaitable[_T]],
    show: Callable[[Mapping[str, _T], Display], None],
    *,
    changes: bool = False,
    question: str = "",
) -> None:
    """`show` gets the answers of the hosts that gave one. Hosts are locked where the command `changes` them.

    Where there is a `question`, the person at the terminal is asked it first.
    """
    hosts, display = project.select(selector), Display(project.settings)

    async def work() -> int:
        if question and not display.ask(question):
            return int(ExitCode.DONE)
        with _locked(project, hosts if changes else ()):
            answers = await on_each(project, hosts, ask)
        good = {name: answer for name, answer in answers.items() if not isinstance(answer, DeployerError)}
        if good:
            show(good, display)
        codes = [ExitCode.DONE]
        for name, answer in answers.items():
            if isinstance(answer, DeployerError):
                codes.append(answer.exit_code)
                if project.settings.as_json:
                    display.data({"host": name, **answer.to_json()})
                else:
                    display.error(answer)
        return int(max(codes))

    run(work)


@contextmanager
def _locked(project: Project, hosts: tuple[Host, ...]) -> Iterator[None]:
    names = [host.name for host in hosts]
    if not names:
        yield
        return
    project.history.lock(names)
    try:
        yield
    finally:
        project.history.unlock(names)
