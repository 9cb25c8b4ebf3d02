"""`deployer host-access`."""

from __future__ import annotations

from pathlib import Path

import click

from deployer.cli.options import project
from deployer.copy.gate import Access, KeyUnreadable


@click.command("host-access")
@click.argument("host", required=False)
@click.option("--user", "login", metavar="NAME", help="The login that is to deploy.  [default: the host's, in the inventory]")
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Its public key.  [default: that of the host's first identity file]",
)
@click.option(
    "--part",
    type=click.Choice(["script", "gate", "sudoers", "authorized-keys"]),
    default="script",
    show_default=True,
    help="Print only this piece, to put in place yourself.",
)
@click.pass_context
def command(context: click.Context, host: str | None, login: str | None, key_file: Path | None, part: str) -> None:
    """Print what lets a login deploy without being root.

    That is a script, the gate; a sudo rule for exactly this script; and a line of authorized_keys by which a key runs the
    gate and nothing else. Nothing is installed: whoever is root on the host reads and runs what is printed. HOST then has
    `connection: {user: NAME, gate: true}`.
    """
    if host is not None:
        connection = project(context).fleet.select(host)[0].connection
        login = login or connection.user
        if key_file is None and connection.identity_files:
            key_file = connection.identity_files[0].with_name(connection.identity_files[0].name + ".pub")
    if login is None or key_file is None:
        raise click.UsageError("Say which login (--user NAME) and which public key (--key FILE), or name a HOST that has both.")
    try:
        access = Access.of(login, key_file.read_text(encoding="utf-8"), str(key_file))
    except (OSError, UnicodeDecodeError):
        raise KeyUnreadable(str(key_file)) from None
    pieces = {"script": access.script, "gate": access.gate, "sudoers": access.sudoers, "authorized-keys": access.authorized_keys}
    click.echo(pieces[part], nl=False)
