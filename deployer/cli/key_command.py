"""`deployer key`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from deployer.cli.options import json_option


@click.group("key")
def command() -> None:
    """Make the keys that sign store paths. They are Nix's."""


@command.command("generate")
@click.argument("name")
@click.argument("secret", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.argument("public", type=click.Path(path_type=Path, dir_okay=False), required=False)
@json_option
@click.pass_context
def generate(context: click.Context, name: str, secret: Path | None, public: Path | None) -> None:
    """Make a key called NAME, such as cache.example.com-1.

    With two files, the secret key is written to SECRET, which only its owner may read, and the public one to PUBLIC, as
    `nix-store --generate-binary-cache-key` does. Without, the secret key is printed, as `nix key generate-secret` does.
    """
    from deployer.cache.keys import SecretKey
    from deployer.cli.store.errors import Misused, translate
    from deployer.cli.store.printing import Printer

    if not name or not name.isprintable() or any(letter in ": " for letter in name):
        raise Misused(f"{name!r} can't be a key's name", "Use letters, digits, dots and dashes: cache.example.com-1.")
    if secret and not public:
        raise Misused("the public key needs a file, too", "Name both: `deployer key generate NAME SECRET PUBLIC`.")
    key = SecretKey.generate(name)
    printer = Printer(context)
    if secret and public:
        try:
            _write(secret, key.serialize(), 0o600)
            try:
                _write(public, str(key.public), 0o644)
            except OSError:
                secret.unlink()
                raise
        except OSError as error:
            raise translate(error) from None
        if printer.as_json:
            printer.document({"public": str(key.public), "secret_file": str(secret), "public_file": str(public)})
        return
    if printer.as_json:
        printer.document({"secret": key.serialize(), "public": str(key.public)})
    else:
        printer.raw(key.serialize() + ("\n" if sys.stdout.isatty() else ""))


@command.command("public")
@json_option
@click.pass_context
def public_of(context: click.Context) -> None:
    """Print the public key of the secret one on standard input, as `nix key convert-secret-to-public` does."""
    from deployer.cache.keys import SecretKey
    from deployer.cli.store.printing import Printer

    key = str(SecretKey.parse(sys.stdin.read()).public)
    printer = Printer(context)
    if printer.as_json:
        printer.document({"public": key})
    else:
        printer.raw(key + ("\n" if sys.stdout.isatty() else ""))


def _write(file: Path, text: str, mode: int) -> None:
    """A new file: a key that is there already is never lost."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
        stream.write(text)
