"""What runs on the lab host between the crashes: a Python that has the runtime imported, and forks for each piece of work.

It reads one JSON document a line, and answers each with one. What is forked is the interpreter and the code that a host runs,
without the third of a second that it takes to import it; `tracer` sees to its system calls.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

HERE = Path(__file__).parent
FRAMES = HERE / "frames"
"""What a controller sends to `serve`."""
LEDGER = "var/lib/deployer/ledger.json"
NAMED_BY_TRANSACTION = re.compile(rb"originals/[0-9a-f]{8}")


def main() -> None:
    """Answer until the other side closes."""
    sys.path[:0] = [str(HERE), str(HERE / "runtime")]
    sys.dont_write_bytecode = True
    for room in ("formats", "store", "host"):
        package = importlib.import_module(f"deployer.{room}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"deployer.{room}.{module.name}")
    verbs: Dict[str, Callable[..., Any]] = {
        "run": run,
        "prepare": prepare,
        "request": request,
        "look": look,
        "units": units,
        "verify": damage,
        "collect": sweep,
        "disk": disk,
        "lost": lost,
    }
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        answers.write(json.dumps(aside(verbs[asked.pop("verb")], asked)) + "\n")


def aside(work: Callable[..., Any], fields: Dict[str, Any]) -> Dict[str, Any]:
    """The result of `work`, done in a child: nothing of the host stays open here."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = {"ok": work(**fields)}
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {error} {getattr(error, 'message', '')}"}
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            json.dump(answer, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    os.waitpid(child, 0)
    found: Dict[str, Any] = json.loads(text or '{"error": "it was killed"}')
    return found


def run(command: List[str], fault: Optional[Dict[str, Any]] = None, plainly: bool = False) -> Dict[str, Any]:
    """The runtime's `command` under the tracer, or `plainly`."""
    from tracer import Fault, traced  # type: ignore[import-not-found]

    reading, writing = os.pipe()

    def work() -> int:
        from deployer.host.main import main

        os.setsid()
        os.chdir("/")
        os.dup2(os.open(FRAMES if command == ["serve"] else os.devnull, os.O_RDONLY), 0)
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return main(command)

    if plainly:
        child = os.fork()
        if child == 0:
            os._exit(work())
        os.close(writing)
        os.waitpid(child, 0)
        return {}
    trace = traced(work, Fault(**fault) if fault else None)
    os.close(writing)
    with os.fdopen(reading, "rb") as words:
        said = words.read().decode(errors="replace")
    return {"calls": trace.calls, "programs": trace.programs, "status": trace.status, "hit": trace.hit, "said": said[-500:]}


def prepare(activation: Dict[str, Any], token: str) -> str:
    """Prepare a transaction as the server does, and lay the confirmation down already; the transaction's state.

    Nothing but the service is left out: what it would run is run under the tracer.
    """
    from deployer.formats.messages import Activation
    from deployer.host import prepare as preparing
    from deployer.host.lock import locked
    from deployer.host.paths import CONFIRMATION
    from deployer.host.real import real_machine
    from deployer.host.standing import PRIVATE

    machine = real_machine(Path("/"))
    preparing.lay_out(machine.disk)
    with locked(machine.disk, 5.0) as ours:
        if not ours:
            raise RuntimeError("the lock is held")
        record, _ = preparing.prepare(machine, Activation.from_document(activation))
        if record is None:
            raise RuntimeError("there is nothing to do")
        if token:
            document = {"transaction": record.transaction, "token": token}
            machine.disk.write(CONFIRMATION, json.dumps(document).encode(), PRIVATE)
    return record.state


def request() -> str:
    """What every next request does first: finish what a driver that is gone left behind. The state that it ends in."""
    from deployer.host.lock import locked
    from deployer.host.paths import STATE_DIRECTORY
    from deployer.host.prepare import ready
    from deployer.host.real import real_machine

    machine = real_machine(Path("/"))
    if machine.disk.entry(STATE_DIRECTORY) is None:
        return ""
    with locked(machine.disk, 5.0) as ours:
        if not ours:
            raise RuntimeError("the lock is held")
        return str(ready(machine).state)


def look(names: List[str]) -> Dict[str, Any]:
    """What only the host itself can tell."""
    from deployer.host.real import real_machine
    from deployer.host.verdict import check_now

    machine = real_machine(Path("/"))
    record = machine.journal.read()
    states: Any = machine.systemd.states([*names, "deployer-activation.service"])
    system = machine.profile.current().system
    checks = check_now(machine) if system else ()
    return {
        "state": record.state,
        "transaction": record.transaction,
        "driven": states["deployer-activation.service"].is_active,
        "units": {name: [states[name].active, _command(states[name].main_pid)] for name in names},
        "transient": _said("systemctl", "list-units", "--all", "--plain", "--no-legend", "deployer-*"),
        "health": _said("systemctl", "is-system-running"),
        "red": [f"{result.name}: {result.message}" for result in checks if not result.healthy],
    }


def damage() -> List[str]:
    """What is wrong with the store."""
    from deployer.store import Store, verify

    return [str(found) for found in verify(Store(Path("/")))]


def sweep() -> None:
    """Run the store's collector."""
    from deployer.store import Store, collect

    collect(Store(Path("/")))


def disk() -> Dict[str, Any]:
    """All that we may have written to, as `trees` tells it; for who can't look from outside.

    What was set aside is named by the transaction that did it. Two that did the same are not told apart by that.
    """
    from trees import PLACES, listing  # type: ignore[import-not-found]

    found = {path: about for place in PLACES for path, about in listing(Path("/"), place).items()}
    if LEDGER in found:
        said = NAMED_BY_TRANSACTION.sub(rb"originals/", Path("/", LEDGER).read_bytes())
        found[LEDGER] = (*found[LEDGER][:-1], hashlib.sha256(said).hexdigest())
    return {NAMED_BY_TRANSACTION.sub(rb"originals/", path.encode()).decode(): about for path, about in found.items()}


def lost() -> List[int]:
    """Generations that are listed and whose system is not, or not whole, in the store."""
    from deployer.host.real import real_machine
    from deployer.store import Store

    systems = real_machine(Path("/")).profile.generations()
    return [number for number, system in systems.items() if not Store(Path("/")).is_valid(system)]


def units(active: Dict[str, str], names: List[str]) -> None:
    """Have exactly these units run, with the definitions that are on the disk, and nothing of ours besides."""
    for stray in ("deployer-deadman.timer", "deployer-deadman.service", "deployer-activation.service"):
        _said("systemctl", "stop", stray)
    _said("systemctl", "daemon-reload")
    _said("systemctl", "reset-failed")
    _said("systemctl", "stop", *(name for name in names if name not in active))
    if active:
        _said("systemctl", "restart", *active)


def _command(process: int) -> str:
    """What a process was started as."""
    try:
        return (
            Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() if process else ""
        )
    except OSError:
        return ""


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()


if __name__ == "__main__":
    main()
