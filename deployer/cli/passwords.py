"""The password for sudo: from a person, a file, a program or the environment. It is read once, and handed to no program."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from deployer.errors import ConfigurationError

if TYPE_CHECKING:
    from deployer.ssh import BecomePassword

VARIABLE: Final = "DEPLOYER_BECOME_PASSWORD"
FILE_VARIABLE: Final = "DEPLOYER_BECOME_PASSWORD_FILE"
_LONGEST: Final = 4096
_PROGRAM_TIMEOUT: Final = 60.0
_F = TypeVar("_F", bound=Callable[..., Any])


class PasswordUnreadable(ConfigurationError):
    """Where the password for sudo should come from, none comes."""

    source: str
    reason: str

    @property
    def message(self) -> str:
        """Where, and why not."""
        return f"no password for sudo comes from {self.source}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What is read."""
        return "It is the first line of the file, or of what the file prints where it is a program; one line, not empty."


def become_options(function: _F) -> _F:
    """Where the password for sudo comes from, for commands that reach hosts."""

    def ask(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            _remember(context, click.prompt("Password for sudo on the hosts", hide_input=True, err=True), "the terminal")

    def read(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
        if value is not None:
            _remember(context, _first_line(value), str(value))

    file = click.option(
        "--become-password-file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar=FILE_VARIABLE,
        metavar="FILE",
        expose_value=False,
        callback=read,
        help="Read it from FILE, or from what FILE prints where it is a program.",
    )
    question = click.option(
        "--ask-become-pass", is_flag=True, expose_value=False, callback=ask, help="Ask for the password of sudo, once."
    )
    return question(file(function))


def password_from_environment() -> BecomePassword | None:
    """The password that the environment holds. It is taken out there, so that no program that we start inherits it."""
    value = os.environ.pop(VARIABLE, None)
    return None if value is None else _password(value, VARIABLE)


def _remember(context: click.Context, value: str, source: str) -> None:
    context.obj = dataclasses.replace(context.obj, become_password=_password(value, source))


def _password(value: str, source: str) -> BecomePassword:
    from deployer.ssh import BecomePassword

    if not value or len(value) > _LONGEST or any(letter in value for letter in "\0\r\n"):
        raise PasswordUnreadable(source, "it is empty, too long, or more than one line")
    return BecomePassword(value)


def _first_line(file: Path) -> str:
    import asyncio

    from deployer.errors import DeployerError
    from deployer.process import run

    try:
        if file.is_file() and os.access(file, os.X_OK):
            data = asyncio.run(run([file.absolute()], timeout=_PROGRAM_TIMEOUT)).stdout
        else:
            with file.open("rb") as stream:
                data = stream.readline(_LONGEST + 2)
        return data.split(b"\n", 1)[0].rstrip(b"\r").decode()
    except DeployerError as error:
        raise PasswordUnreadable(str(file), error.message) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or "it can't be read" if isinstance(error, OSError) else "it is not UTF-8"
        raise PasswordUnreadable(str(file), reason) from None
