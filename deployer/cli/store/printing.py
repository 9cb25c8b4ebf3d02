"""What the store's commands print: lines as nix-store has them, or one JSON document."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import BinaryIO

import click

from deployer.cli.settings import Settings
from deployer.cli.store.errors import TerminalRefused
from deployer.errors import JsonValue


class Printer:
    """Standard output holds answers and nothing else; what is told besides goes to standard error."""

    def __init__(self, context: click.Context) -> None:
        """As the options of the command say."""
        self._settings: Settings = context.obj

    @property
    def as_json(self) -> bool:
        """Whether a program reads it."""
        return self._settings.as_json

    @property
    def has_color(self) -> bool:
        """Whether a person reads it, on a terminal that may have colours."""
        return self._settings.color and sys.stdout.isatty()

    def answer(self, lines: Iterable[str], document: JsonValue) -> None:
        """Print one of the two."""
        if self.as_json:
            self.document(document)
        else:
            self.lines(lines)

    def lines(self, lines: Iterable[str]) -> None:
        """Print lines. Names that are not UTF-8 come out as they are."""
        sys.stdout.flush()
        for line in lines:
            sys.stdout.buffer.write(os.fsencode(line) + b"\n")
        sys.stdout.buffer.flush()

    def raw(self, text: str) -> None:
        """Print a text as it is."""
        sys.stdout.flush()
        stream = sys.stdout.buffer
        stream.write(os.fsencode(text))
        stream.flush()

    def document(self, document: JsonValue) -> None:
        """Print a JSON document on a line."""
        self.raw(json.dumps(document, sort_keys=True, ensure_ascii=False) + "\n")

    def say(self, sentence: str) -> None:
        """Tell a person; programs don't get it."""
        if not self.as_json:
            click.echo(sentence, err=True)


def binary_output() -> BinaryIO:
    """Standard output for bytes. Raises `TerminalRefused`."""
    if sys.stdout.isatty():
        raise TerminalRefused(incoming=False)
    sys.stdout.flush()
    return sys.stdout.buffer


def binary_input() -> BinaryIO:
    """Standard input for bytes. Raises `TerminalRefused`."""
    if sys.stdin.isatty():
        raise TerminalRefused(incoming=True)
    return sys.stdin.buffer
