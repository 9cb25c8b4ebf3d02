"""Every `deployer …` that a page shows names a command that exists, with options that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from deployer.cli.main import program
from tests.docs.project_pages import ROOT, blocks, pages, prose

_OPERATORS = {"|", "||", "&&", ";", ">", ">>", "<", "2>&1", "&"}


def commands() -> Iterator[tuple[str, str]]:
    """Where it stands, and the line."""
    for block in [*blocks("console"), *blocks("sh")]:
        if block.page == ROOT / "docs" / "reference" / "commands.md":
            continue
        for line in block.body.replace("\\\n", " ").splitlines():
            if block.kind == "console" and not line.startswith("$ "):
                continue
            if "deployer " in line:
                yield str(block), line.removeprefix("$ ")
    for page in pages():
        for code in re.findall(r"`((?:sudo )?(?:\.venv/bin/)?deployer [^`]+)`", prose(page)):
            yield str(page.relative_to(ROOT)), " ".join(code.split())


def calls(line: str) -> Iterator[list[str]]:
    """The words after each `deployer` of a line of shell."""
    opened = re.sub(r'"?\$\(', " ; ", line).replace(')"', " ; ")
    lexer = shlex.shlex(opened, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    current: list[str] | None = None
    for word in lexer:
        if word in {"deployer", ".venv/bin/deployer"}:
            if current is not None:
                yield current
            current = []
        elif current is not None and (word in _OPERATORS or set(word) <= set("|&;<>")):
            yield current
            current = None
        elif current is not None:
            current.append(word)
    if current is not None:
        yield current


def fault(words: list[str]) -> str:
    """What is wrong with a call; empty where nothing is."""
    context = click.Context(program, info_name="deployer", **program.context_settings)
    command: click.Command = program
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word in {"--", "…", "..."}:
            return ""
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            option = next((one for one in command.get_params(context) if name in one.opts), None)
            if option is None:
                return f"`{context.command_path}` has no option {name}"
            takes_value = isinstance(option, click.Option) and not (option.is_flag or option.count or "--help" in option.opts)
            position += takes_value and "=" not in word
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return f"`{context.command_path}` has no command {word}"
            context, command = click.Context(found, parent=context, info_name=word), found
        elif command.context_settings.get("ignore_unknown_options"):
            return ""
    return ""


@pytest.mark.parametrize(("place", "line"), sorted(set(commands())))
def test_shown_commands_exist(place, line):
    assert [problem for words in calls(line) if (problem := fault(words))] == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("deployer dploy", "`deployer` has no command dploy"),
        ("deployer deploy --onn web1", "`deployer deploy` has no option --onn"),
        ("x | deployer lab inventory", "`deployer lab` has no command inventory"),
        ("deployer lab exec tutorial -- deployer -j", "`deployer` has no option -j"),
        ('deployer -i "$(deployer foo)" deploy', "`deployer` has no command foo"),
        ("deployer -i a exec --on web1 -- deployer check --no", "`deployer check` has no option --no"),
    ],
)
def test_wrong_commands_are_found(line, problem):
    assert problem in [fault(words) for words in calls(line)]
