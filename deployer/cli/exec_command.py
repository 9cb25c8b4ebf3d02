"""`deployer exec`."""

from __future__ import annotations

import asyncio
import shlex

import click

from deployer.cli.connections import PARALLEL
from deployer.cli.deployment import run
from deployer.cli.display import Display
from deployer.cli.options import json_option, on_option, project
from deployer.cli.passwords import become_options
from deployer.errors import DeployerError, ExitCode
from deployer.inventory import Host
from deployer.process import Completed
from deployer.ssh import connect
from deployer.ui import escape


@click.command("exec", context_settings={"ignore_unknown_options": True})
@on_option
@click.option("--timeout", type=click.FloatRange(min=0.1), default=60.0, show_default=True, help="Seconds, for each host.")
@become_options
@json_option
@click.argument("words", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, selector: str | None, timeout: float, words: tuple[str, ...]) -> None:
    """Run COMMAND on hosts, all at once, and show what each printed.

    The words reach the host's shell as they are typed: each stays one word. Exit code 1 where it failed on any host.
    """
    what = project(context)
    hosts = what.select(selector)
    display = Display(what.settings)
    gate = asyncio.Semaphore(PARALLEL)
    line = shlex.join(words)

    async def visit(host: Host) -> Completed | DeployerError:
        async with gate:
            try:
                async with await connect(host, what.settings.connect_options()) as session:
                    return await session.run(line, timeout=timeout)
            except DeployerError as error:
                return error

    async def work() -> int:
        codes = [ExitCode.DONE]
        async with asyncio.TaskGroup() as group:
            tasks = {host.name: group.create_task(visit(host)) for host in hosts}
        for name, task in tasks.items():
            answer = task.result()
            codes.append(_show(name, answer, display, as_json=what.settings.as_json))
        return int(max(codes))

    run(work)


def _show(host: str, answer: Completed | DeployerError, display: Display, *, as_json: bool) -> ExitCode:
    if isinstance(answer, DeployerError):
        if as_json:
            display.data({"host": host, **answer.to_json()})
        else:
            display.error(answer)
        return answer.exit_code
    out, err = answer.stdout.decode(errors="replace"), answer.stderr.decode(errors="replace")
    if as_json:
        display.data({"host": host, "status": answer.status, "stdout": out, "stderr": err})
    else:
        for text, say in ((out, display.text), (err, display.say)):
            for printed in text.splitlines():
                say(f"{host}: {escape(printed)}")
        if answer.status:
            display.say(f"{host}: ended with status {answer.status}")
    return ExitCode.FAILED if answer.status else ExitCode.DONE
