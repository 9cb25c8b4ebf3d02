"""Becoming the program: see the package."""

from __future__ import annotations

import os
import sys
from typing import Dict, Final, NoReturn, Optional, Sequence

from deployer.sandbox.launcher.layout import MACHINE, layout
from deployer.sandbox.launcher.looking import look
from deployer.sandbox.launcher.namespace import Refused, enter
from deployer.sandbox.launcher.spec import Spec, variables

NOTHING_STARTED: Final = 125
NOT_RUNNABLE: Final = 126
NOT_THERE: Final = 127
_CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"


def main(arguments: Sequence[str]) -> NoReturn:
    """Become the program."""
    split = arguments.index("--")
    options, command = arguments[:split], arguments[split + 1 :]
    try:
        spec = Spec.read(options[0])
        if options[1:2] == ["--store"]:
            spec = spec._replace(store=options[2])
        directory = os.getcwd()
        environment = variables(spec, _given())
        if spec.root or spec.store:
            enter(layout(spec, look(spec)))
    except Refused as refused:
        _end(
            NOTHING_STARTED,
            f"{refused}. See sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, and AppArmor's "
            "kernel.apparmor_restrict_unprivileged_userns; or run this as root",
        )
    except OSError as error:
        _end(NOTHING_STARTED, f"{error.filename or ''}: {error.strerror}")
    _return_to(directory)
    if not os.path.exists(f"/{_CERTIFICATES}") and os.path.exists(f"{MACHINE}/{_CERTIFICATES}"):
        environment.setdefault("SSL_CERT_FILE", f"{MACHINE}/{_CERTIFICATES}")
    if spec.root and not any(os.path.exists(f"/usr/lib/locale/{name}") for name in ("locale-archive", "C.utf8")):
        # Some programs refuse to start in a locale that is not there; the one without a name always is.
        environment = {name: value for name, value in environment.items() if name != "LANG" and not name.startswith("LC_")}
    program = find(command[0], environment["PATH"])
    if program is None:
        _end(NOT_THERE, f"there is no program {command[0]!r} here: PATH is {environment['PATH']}")
    try:
        os.execve(program, [*command], environment)
    except OSError as error:
        _end(NOT_RUNNABLE, f"{program} can't be run: {error.strerror}")


def find(program: str, path: str) -> Optional[str]:
    """Where a program is, looked for as a shell does."""
    places = [program] if "/" in program else [f"{directory}/{program}" for directory in path.split(":") if directory]
    return next((place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)), None)


def _given() -> Dict[str, str]:
    """The variables that this process was started with: Python adds to them where there is no locale."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (item.partition(b"=") for item in file.read().split(b"\0") if b"=" in item)
        return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def _return_to(directory: str) -> None:
    try:
        os.chdir(directory)
    except PermissionError:
        return  # nor could this user have come there before
    except OSError:
        _say(f"{directory} is not to be seen from here; the working directory is now /")


def _end(status: int, message: str) -> NoReturn:
    _say(message)
    sys.exit(status)


def _say(message: str) -> None:
    sys.stderr.write(f"deployer: {message}\n")
