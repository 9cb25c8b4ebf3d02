"""Who is asked before hosts change, and who is not."""

from __future__ import annotations

import io

import click
import pytest

from deployer.cli.main import program
from deployer.cli.options import may_ask
from deployer.cli.settings import Settings

CHANGE_HOSTS = ("deploy", "rollback", "uninstall", "generations switch", "generations delete", "generations collect")


class Terminal(io.StringIO):
    """A stream that says that somebody sits there."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("words", CHANGE_HOSTS)
def test_every_command_that_changes_hosts_takes_yes_and_dry_run(words: str) -> None:
    command: click.Command = program
    for word in words.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found

    assert {"yes", "dry_run"} <= {parameter.name for parameter in command.params}


@pytest.mark.parametrize(
    ("as_json", "yes", "at_terminal", "asks"),
    [(False, False, True, True), (False, True, True, False), (True, False, True, False), (False, False, False, False)],
)
def test_only_a_person_at_a_terminal_is_asked(
    monkeypatch: pytest.MonkeyPatch, as_json: bool, yes: bool, at_terminal: bool, asks: bool
) -> None:
    for name in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{name}", Terminal() if at_terminal else io.StringIO())

    assert may_ask(Settings(inventories=(), as_json=as_json, color=False), yes=yes) is asks
