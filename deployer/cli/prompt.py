"""A prompt of Python's, for a person at a terminal or for lines from a pipe."""

from __future__ import annotations

import code
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from deployer.cli.display import print_error
from deployer.errors import ConfigurationError, DeployerError, ExitCode


class Unfinished(ConfigurationError):
    """The lines end in the middle of an expression."""

    @property
    def message(self) -> str:
        """That."""
        return "the input ends in the middle of an expression"

    @property
    def remedy(self) -> str:
        """What may be missing."""
        return "Close what is open: a bracket, a quote, or a block, which an empty line ends."


class _Ended(Exception):
    """What came from a pipe went wrong: nothing after it counts."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(exit_code)


class Prompt(code.InteractiveConsole):
    """Errors of a configuration are told as everywhere; those of Python as Python does."""

    def __init__(self, names: dict[str, Any], show: Callable[[object], None], *, as_json: bool = False) -> None:
        """`show` prints the value of an expression."""
        super().__init__(names, "<prompt>")
        self._names, self._show, self._as_json = names, show, as_json
        self._stops = False

    def talk(self, banner: str) -> int:
        """With a person, until they leave; the exit code."""
        try:
            with self._showing():
                self.interact(banner, exitmsg="")
        except SystemExit as end:
            return _code_of(end)
        return int(ExitCode.DONE)

    def read(self, lines: Iterator[str]) -> int:
        """What others wrote, to the first error; the exit code."""
        self._stops = True
        try:
            with self._showing():
                more = False
                for line in lines:
                    more = self.push(line.rstrip("\n"))
                if more and self.push(""):
                    raise Unfinished
        except _Ended as end:
            return end.exit_code
        except SystemExit as end:
            return _code_of(end)
        return int(ExitCode.DONE)

    def showtraceback(self) -> None:
        """Tell what an expression raised."""
        error = sys.exc_info()[1]
        if isinstance(error, DeployerError):
            print_error(error, as_json=self._as_json)
        else:
            super().showtraceback()
        if self._stops:
            raise _Ended(int(error.exit_code if isinstance(error, DeployerError) else ExitCode.FAILED))

    def showsyntaxerror(self, filename: str | None = None, **more: Any) -> None:
        """Tell what is no Python."""
        super().showsyntaxerror(filename, **more)
        if self._stops:
            raise _Ended(int(ExitCode.USAGE))

    @contextlib.contextmanager
    def _showing(self) -> Iterator[None]:
        before = sys.displayhook

        def display(value: object) -> None:
            if value is not None:
                self._names["_"] = value
                self._show(value)

        sys.displayhook = display
        try:
            yield
        finally:
            sys.displayhook = before


def _code_of(end: SystemExit) -> int:
    """Of somebody's `exit()`."""
    return end.code if isinstance(end.code, int) else int(ExitCode.FAILED if end.code else ExitCode.DONE)
