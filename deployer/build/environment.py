"""What a build script is started with, as Nix completes it: variables, arguments, and files in its build directory.

Nix: local-derivation-goal.cc, `initEnv`, `initTmpDir`, `writeStructuredAttrs`. Byte for byte the same, because scripts hash it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deployer.build.attributes import Attributes
from deployer.formats import base32
from deployer.formats.derivation import placeholder
from deployer.sandbox.spec import BUILD_DIRECTORY

_SHELL_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_LAST: Final = {"NIX_LOG_FD": "2", "TERM": "xterm-256color"}
"""What no attribute changes."""
_BUILD_DIRECTORY_NAMES: Final = ("NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD")


@dataclass(frozen=True, slots=True)
class Start:
    """With what a builder starts."""

    environment: Mapping[str, str]
    arguments: tuple[str, ...]
    files: Mapping[str, bytes]
    """Files in the build directory."""
    inherited: tuple[str, ...] = ()
    """Variables that a fixed output gets from the machine that it is built on, whatever else is said of them."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not come from the derivation."""

    store_directory: str
    cores: int


def start_of(attributes: Attributes, outputs: Mapping[str, str], graphs: Mapping[str, Any], machine: Machine) -> Start:
    """Variables, arguments and files of a build. `graphs` are the exported references, by the name that was asked for."""
    derivation = attributes.derivation
    rewritten = _Rewriter(outputs)
    files: dict[str, bytes] = {}
    environment = {
        "PATH": "/path-not-set",
        "HOME": "/homeless-shelter",
        "NIX_STORE": machine.store_directory,
        "NIX_BUILD_CORES": str(machine.cores),
    }
    if attributes.structured is None:
        as_file = set(attributes.strings("passAsFile") or ())
        for name, value in derivation.environment.items():
            if name in as_file:
                file = f".attr-{base32.encode(hashlib.sha256(_encode(name)).digest())}"
                files[file] = _encode(rewritten(value))
                environment[f"{name}Path"] = f"{BUILD_DIRECTORY}/{file}"
            else:
                environment[name] = rewritten(value)
        files |= {name: _encode(text) for name, text in graphs.items()}
    else:
        document = {**attributes.structured, **graphs, "outputs": {name: outputs[name] for name in sorted(outputs)}}
        files[".attrs.json"] = _encode(rewritten(_compact(document)))
        files[".attrs.sh"] = _encode(rewritten(shell_declarations(document)))
        environment["NIX_ATTRS_JSON_FILE"] = f"{BUILD_DIRECTORY}/.attrs.json"
        environment["NIX_ATTRS_SH_FILE"] = f"{BUILD_DIRECTORY}/.attrs.sh"
    environment |= dict.fromkeys(_BUILD_DIRECTORY_NAMES, BUILD_DIRECTORY)
    if derivation.is_fixed:
        environment["NIX_OUTPUT_CHECKED"] = "1"
    environment |= _LAST
    impure = (attributes.strings("impureEnvVars") or ()) if derivation.is_fixed else ()
    arguments = tuple(rewritten(argument) for argument in derivation.arguments)
    return Start(environment, arguments, files, tuple(name for name in impure if name not in _LAST))


def shell_declarations(document: Mapping[str, Any]) -> str:
    """Structured attributes as bash reads them; what bash has no type for is left out (Nix: `writeStructuredAttrsShell`)."""
    lines: list[str] = []
    for name, value in sorted(document.items()):
        if not _SHELL_NAME.fullmatch(name):
            continue
        simple = _simple(value)
        if simple is not None:
            lines.append(f"declare {name}={simple}")
        elif isinstance(value, list):
            items = [_simple(item) for item in value]
            if None not in items:
                lines.append(f"declare -a {name}=({''.join(f'{item} ' for item in items)})")
        elif isinstance(value, dict):
            pairs = [(_quote(key), _simple(item)) for key, item in sorted(value.items())]
            if all(item is not None for _, item in pairs):
                lines.append(f"declare -A {name}=({''.join(f'[{key}]={item} ' for key, item in pairs)})")
    return "".join(f"{line}\n" for line in lines)


def _simple(value: object) -> str | None:
    match value:
        case bool():
            return "1" if value else ""
        case None:
            return "''"
        case str():
            return _quote(value)
        case int():
            return str(value)
        case float() if math.isfinite(value) and value == math.ceil(value):
            return str(int(value))
    return None


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _compact(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class _Rewriter:
    """Puts the paths of outputs where their placeholders stand."""

    def __init__(self, outputs: Mapping[str, str]) -> None:
        self._rewrites: Iterable[tuple[str, str]] = [(placeholder(name), path) for name, path in outputs.items()]

    def __call__(self, text: str) -> str:
        for old, new in self._rewrites:
            text = text.replace(old, new)
        return text
