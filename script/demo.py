"""The demonstration's stage: brings the hosts up, goes through the steps of `demo_steps.py`, and takes the hosts down.

Each step's command is shown before it runs, its output as it comes, and what was expected beside what happened. A step that does
not go as expected ends the demonstration with exit code 1. `--keep` leaves the hosts up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from deployer.errors import DeployerError
from deployer.lab import Base, Lab, down, down_orphans, inside, up

ROOT: Final = Path(__file__).resolve().parent.parent
STEP_SECONDS: Final = 600.0
LINE: Final = "─" * 78


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the demonstration, and what must come of it."""

    title: str
    """What it shows, in one sentence."""
    command: str
    """A line of shell, run in the demonstration's own copy of the example."""
    exit_code: int = 0
    text: str = ""
    """What its output must contain; empty: anything."""
    outside: bool = False
    """Whether it runs in this machine's own network: the lab's leads nowhere else."""


class Unexpected(Exception):
    """A step did not go as expected."""


def main(arguments: Sequence[str]) -> int:
    """Run the demonstration."""
    sys.path.insert(0, str(Path(__file__).parent))
    from demo_steps import EXAMPLE, HOSTS, STEPS

    signal.signal(signal.SIGTERM, _interrupted)
    began = time.monotonic()
    name = f"demo-{os.getpid()}"
    kept = "--keep" in arguments
    workshop = Path(tempfile.mkdtemp(prefix="deployer-demo-"))
    try:
        asyncio.run(down_orphans())
        lab = _up(name, HOSTS, None if kept else os.getpid())
        example = workshop / "fleet"
        shutil.copytree(ROOT / EXAMPLE, example)
        for number, step in enumerate(STEPS, 1):
            with contextlib.nullcontext() if step.outside else inside(lab):
                _run(step, f"{number}/{len(STEPS)}", example, _environment(lab, workshop))
    except (DeployerError, Unexpected) as error:
        print(f"\n✗ {error}", flush=True)
        if isinstance(error, DeployerError) and error.remedy:
            print(f"  {error.remedy}")
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", flush=True)
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _clean(name, workshop, kept)
    print(f"\n✓ All {len(STEPS)} steps went as expected, in {time.monotonic() - began:.0f} s.", flush=True)
    return 0


def _up(name: str, hosts: Sequence[str], owner: int | None) -> Lab:
    print(f"Booting {len(hosts)} Debian hosts: {', '.join(hosts)} …", flush=True)
    began = time.monotonic()

    def building(base: Base) -> None:
        print(f"Building the Debian tree that they share ({base.release}); this happens once.", flush=True)

    lab = asyncio.run(up(name, hosts=hosts, owner=owner, on_build=building))
    print(f"They run, each with its own systemd and sshd ({time.monotonic() - began:.1f} s).", flush=True)
    return lab


def _run(step: Step, number: str, directory: Path, environment: Mapping[str, str]) -> None:
    print(f"\n{LINE}\n{number}  {step.title}\n\n$ {step.command}", flush=True)
    began = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", step.command],
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None
    late = threading.Timer(STEP_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    late.start()
    lines: list[str] = []
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        status = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGINT)  # hosts under way finish or roll back
        process.wait()
        raise
    finally:
        late.cancel()
    if status != step.exit_code:
        raise Unexpected(f"exit code {status}, and {step.exit_code} was expected")
    if step.text not in "".join(lines):
        raise Unexpected(f"the output does not contain '{step.text}'")
    wish = f"exit code {status}" + (f", '{step.text}'" if step.text else "")
    print(f"✓ as expected: {wish} ({time.monotonic() - began:.1f} s)", flush=True)


def _environment(lab: Lab, workshop: Path) -> dict[str, str]:
    """The controller's environment: all that it keeps is the demonstration's own, and goes with it."""
    return {
        **os.environ,
        "LAB": str(lab.directory),
        "LAB_NAME": lab.name,
        "LAB_INVENTORY": str(lab.inventory),
        "SSH_CONFIG": str(lab.ssh_config),
        "XDG_DATA_HOME": str(workshop / "data"),
        "XDG_STATE_HOME": str(workshop / "state"),
        "XDG_CACHE_HOME": str(workshop / "cache"),
    }


def _clean(name: str, workshop: Path, kept: bool) -> None:
    if kept:
        print(f"\nThe hosts stay up: deployer lab ssh --lab {name} HOST; deployer lab down --lab {name}. Files: {workshop}")
        return
    _make_writable(workshop)
    shutil.rmtree(workshop, ignore_errors=True)
    try:
        asyncio.run(down(name))
    except DeployerError as error:
        print(f"! {error}", flush=True)


def _make_writable(directory: Path) -> None:
    """A store's directories are read-only, also for their owner where that is not root."""
    for path, _, _ in os.walk(directory):
        os.chmod(path, 0o700)


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
