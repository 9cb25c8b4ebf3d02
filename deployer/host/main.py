"""The runtime's entry point.

serve                speak the protocol on standard input and output
switch TRANSACTION   drive a prepared transaction: the activation's service runs this
recover [--timer | --sentinel | --boot] [TRANSACTION]   finish what was cut off: the dead-man's switch runs this
collect              remove what the current generation's policy does not keep: a service runs this after a deployment
uninstall            leave the host as it was before us
build DIRECTORY      build what a controller sends, in a store below a directory: a builder runs this, as any user
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, List, Sequence, Tuple

from deployer.errors import DeployerError

if TYPE_CHECKING:
    from deployer.host.machine import Machine
    from deployer.host.transaction import Record

_USAGE: Final = 2
_LOCK_TIMEOUT: Final = 30.0


def main(arguments: Sequence[str]) -> int:
    """Run one command; errors are told on standard error, which is the unit's journal or the controller's log."""
    command, rest = (arguments[0], list(arguments[1:])) if arguments else ("", [])
    commands = {
        "serve": _serve,
        "switch": _switch,
        "recover": _recover,
        "collect": _collect,
        "uninstall": _uninstall,
        "build": _build,
    }
    if command not in commands:
        print(__doc__, file=sys.stderr)  # noqa: T201
        return _USAGE
    os.umask(0o022)  # the store and links through our profile are read by every service; what is private has its mode set
    try:
        return commands[command](rest)
    except DeployerError as error:
        print(f"{error.message}. {error.remedy}", file=sys.stderr)  # noqa: T201
        return int(error.exit_code)
    except KeyboardInterrupt:
        return 130


def _serve(_: List[str]) -> int:
    from deployer.host.channel import Channel
    from deployer.host.real import real_machine
    from deployer.host.server import Server

    reading, writing = _take_streams()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Server(real_machine(Path("/")), Channel(reading, writing)).serve()
    return 0


def _build(rest: List[str]) -> int:
    from deployer.host.building.server import BuilderServer

    if len(rest) != 1:
        return _USAGE
    BuilderServer(Path(rest[0]), *_take_streams()).serve()
    return 0


def _take_streams() -> Tuple[int, int]:
    """Standard input and output, for us alone: whatever else is started, or prints, is kept from them."""
    reading, writing = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return reading, writing


def _switch(rest: List[str]) -> int:
    from deployer.formats.messages import CONFIRMED, ROLLED_BACK
    from deployer.host.activate import Driver
    from deployer.host.lock import locked
    from deployer.host.real import real_machine

    machine = real_machine(Path("/"))
    with locked(machine.disk, _LOCK_TIMEOUT) as ours:
        if not ours or len(rest) != 1:
            return 1
        ended = Driver(machine).run(rest[0])
    _begin_collection(machine, ended)
    return 0 if ended.state in (CONFIRMED, ROLLED_BACK) else 1


def _begin_collection(machine: Machine, ended: Record) -> None:
    """Nobody waits for it, and its troubles are not the deployment's."""
    from deployer.host.collecting import begin_collection

    try:
        begin_collection(machine, ended)
    except (DeployerError, OSError) as error:
        print(f"old generations stay: {error}", file=sys.stderr)  # noqa: T201


def _collect(_: List[str]) -> int:
    from deployer.host.collecting import collect_generations
    from deployer.host.real import real_machine
    from deployer.store import Store

    collect_generations(real_machine(Path("/")), Store(Path("/")), dry_run=False)
    return 0


def _recover(rest: List[str]) -> int:
    from deployer.host.machine import SENTINEL
    from deployer.host.real import real_machine
    from deployer.host.recovery import recover_from_boot, recover_from_timer

    machine = real_machine(Path("/"))
    if "--boot" in rest:
        return recover_from_boot(machine)
    if "--sentinel" in rest:
        machine = dataclasses.replace(machine, within=SENTINEL)
    return recover_from_timer(machine, next((word for word in rest if not word.startswith("-")), ""))


def _uninstall(rest: List[str]) -> int:
    from deployer.host.real import real_machine
    from deployer.host.uninstall import uninstall

    for action in uninstall(real_machine(Path("/")), dry_run="--dry-run" in rest):
        print(action.kind, action.operation, action.target)  # noqa: T201
    return 0
