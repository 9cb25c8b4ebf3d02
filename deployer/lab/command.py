"""The command `lab`: each subcommand does one thing of this room and prints what came of it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import NoReturn

import click

from deployer import lab as room
from deployer.errors import DeployerError
from deployer.lab.bases import FULL, RELEASES, VARIANTS, Base
from deployer.lab.places import DEFAULT_LAB

_lab_option = click.option("--lab", "lab_name", default=DEFAULT_LAB, show_default=True, metavar="LAB", help="Which lab.")
_hosts_argument = click.argument("names", metavar="NAME...", nargs=-1, required=True)


@click.group(name="lab")
def lab() -> None:
    """Boot real Debian hosts on this machine, to try deployments on."""


@lab.command()
@click.argument("count", type=click.IntRange(min=1), default=3)
@click.option("--release", type=click.Choice(RELEASES), default="bookworm", show_default=True, help="Release of Debian.")
@click.option(
    "--base",
    type=click.Choice(VARIANTS),
    default=FULL,
    show_default=True,
    help="How much Python they have, or a Nix, what a web server has, or a podman.",
)
@click.option("--hosts", default="", metavar="NAME,NAME...", help="Names of the hosts, instead of host1, host2 …")
@_lab_option
def up(count: int, release: str, base: str, hosts: str, lab_name: str) -> None:
    """Bring COUNT hosts up, and wait until each is `running`. Hosts that are there already stay."""
    names = tuple(name for name in hosts.split(",") if name)
    began = time.monotonic()

    def building(tree: Base) -> None:
        click.echo(f"Building the base '{tree.release}' ({tree.variant}); this happens once.", err=True)

    made = asyncio.run(room.up(lab_name, count, release=release, base=base, hosts=names, on_build=building))
    click.echo(f"{len(made.hosts)} hosts are running ({time.monotonic() - began:.1f} s).", err=True)
    click.echo(f"Inventory:  {made.inventory}")
    click.echo(f"OpenSSH:    ssh -F {made.ssh_config} {made.hosts[0].name}   (inside the lab's network)")
    click.echo(f"Network:    ip netns exec {made.namespace.name} COMMAND")


@lab.command()
@click.option("--all", "every", is_flag=True, help="All labs of this machine.")
@_lab_option
def down(every: bool, lab_name: str) -> None:
    """Remove a lab: its hosts, their disks, its network, and nothing else."""
    names = asyncio.run(room.down_all()) if every else (lab_name,)
    if not every:
        asyncio.run(room.down(lab_name))
    click.echo(f"Removed: {', '.join(names) or 'nothing; there was no lab'}.", err=True)


@lab.command(name="list")
def list_() -> None:
    """List all labs of this machine, a line a host."""

    async def states(members: tuple[room.LabHost, ...]) -> list[bool]:
        return list(await asyncio.gather(*(room.is_running(host) for host in members)))

    for one in room.labs():
        for host, running in zip(one.hosts, asyncio.run(states(one.hosts)), strict=True):
            click.echo(f"{one.name}\t{host.name}\t{host.address}\t{host.release}\t{'running' if running else 'down'}")


@lab.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@_lab_option
def ssh(name: str, command: tuple[str, ...], lab_name: str) -> None:
    """Log in to the host NAME as root, or run COMMAND on it."""
    found = room.load(lab_name)
    host = found.host(name)
    _become(found, ["ssh", "-F", str(found.ssh_config), host.name, *command])


@lab.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.argument("lab_name", metavar="LAB")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(lab_name: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on this machine, inside the network of LAB."""
    _become(room.load(lab_name), list(command))


@lab.command()
@_hosts_argument
@_lab_option
def cut(names: tuple[str, ...], lab_name: str) -> None:
    """Pull the network plug of hosts."""
    asyncio.run(room.cut(*_hosts(lab_name, names)))


@lab.command()
@_hosts_argument
@_lab_option
def heal(names: tuple[str, ...], lab_name: str) -> None:
    """Plug hosts in again."""
    asyncio.run(room.heal(*_hosts(lab_name, names)))


@lab.command()
@_hosts_argument
@_lab_option
def crash(names: tuple[str, ...], lab_name: str) -> None:
    """Kill hosts on the spot. Their disks stay."""
    asyncio.run(room.crash(*_hosts(lab_name, names)))


@lab.command()
@_hosts_argument
@_lab_option
def start(names: tuple[str, ...], lab_name: str) -> None:
    """Boot hosts that are down."""
    asyncio.run(room.start(*_hosts(lab_name, names)))


def main() -> None:
    """Run the command by itself, and end with the exit code of its errors."""
    try:
        lab(prog_name="deployer lab")
    except DeployerError as error:
        click.echo(f"error: {error}", err=True)
        if error.remedy:
            click.echo(f"       {error.remedy}", err=True)
        sys.exit(int(error.exit_code))


def _hosts(lab_name: str, names: tuple[str, ...]) -> tuple[room.LabHost, ...]:
    found = room.load(lab_name)
    return tuple(found.host(name) for name in names)


def _become(found: room.Lab, arguments: list[str]) -> NoReturn:
    """Go into the lab's network and become another program, which so keeps the terminal."""
    room.enter(found)
    try:
        os.execvp(arguments[0], arguments)
    except FileNotFoundError:
        raise click.ClickException(f"there is no program '{arguments[0]}'") from None
