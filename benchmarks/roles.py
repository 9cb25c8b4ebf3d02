"""A fleet to evaluate: hosts of several roles, in our language, and the same in Nix's for the module system in `evaluation.nix`.

A role is a web service as people have them: units with timers, files in `/etc`, users, kernel settings, checks. Every host reads
its own name, address and rack, so no two hosts have the same configuration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

SERVICES: Final = 8
TIMERS: Final = 3
FILES: Final = 20
RACKS: Final = 20
TOOL: Final = """\
tool:
  kind: fetch
  url: https://example.com/tool
  hash: sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
"""


def write_fleet(directory: Path, hosts: int, roles: int) -> None:
    """The inventory and configurations in `directory`, and below `nix/` what Nix evaluates instead."""
    members = {f"role{number}": range(number, hosts, roles) for number in range(roles)}
    inventory = {
        "packages": "packages.yaml",
        "hosts": {name_of(number): _host(number) for number in range(hosts)},
        "groups": {
            role: {"configuration": f"{role}.yaml", "hosts": [name_of(number) for number in numbers]}
            for role, numbers in members.items()
        },
    }
    nix = directory / "nix"
    nix.mkdir()
    (directory / "packages.yaml").write_text(TOOL, encoding="utf-8")
    (directory / "inventory.yaml").write_text(yaml(inventory), encoding="utf-8")
    (directory / "common.yaml").write_text(yaml(_common()), encoding="utf-8")
    (nix / "common.nix").write_text(f"{{ host, pkgs, ... }}: {nix_of(_common())}\n", encoding="utf-8")
    for number, role in enumerate(members):
        (directory / f"{role}.yaml").write_text(yaml({"imports": ["common.yaml"], **_role(number)}), encoding="utf-8")
        (nix / f"{role}.nix").write_text(f"{{ host, pkgs, ... }}: {nix_of(_role(number))}\n", encoding="utf-8")
    facts = [
        {
            "name": name_of(number),
            "address": _host(number)["connection"]["address"],
            "labels": _host(number)["labels"],
            "role": role,
        }
        for role, numbers in members.items()
        for number in numbers
    ]
    (nix / "hosts.json").write_text(json.dumps(facts), encoding="utf-8")


def name_of(number: int) -> str:
    """A host's name."""
    return f"host{number:04}"


def _host(number: int) -> dict[str, Any]:
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    return {"connection": {"address": address}, "labels": {"rack": f"r{number % RACKS}"}}


def _common() -> dict[str, Any]:
    return {
        "etc": {
            "motd": {"text": "${host.name} in ${host.labels.rack}\n", "replace": True},
            "node/address": {"text": "${host.address}\n"},
            **{f"common/{number}.conf": {"text": f"setting = {number}\n"} for number in range(5)},
        },
        "users": {f"admin{number}": {"shell": "/bin/bash", "groups": ["adm"]} for number in range(3)},
        "sysctl": {f"net.core.setting{number}": str(number) for number in range(8)},
        "tmpfiles": {"rules": [f"d /var/lib/common{number} 0755 root root" for number in range(3)]},
        "systemd": {"services": {"agent": _service("agent", "--name ${host.name}", "common/1.conf")}},
    }


def _role(role: int) -> dict[str, Any]:
    services = [f"role{role}-{number}" for number in range(SERVICES)]
    return {
        "etc": {
            f"{services[number % SERVICES]}/{number}.conf": {"text": f"role = {role}\nnumber = {number}\nrate = {number * 7}\n"}
            for number in range(FILES)
        },
        "users": {name: {"description": f"Runs {name}"} for name in services},
        "systemd": {
            "services": {
                **{name: _service(name, "", f"{name}/{number}.conf") for number, name in enumerate(services)},
                services[0]: _service(services[0], "--listen ${host.address}:8080", f"{services[0]}/0.conf"),
            },
            "timers": {
                name: {"wanted_by": ["timers.target"], "timer": {"OnCalendar": "hourly", "RandomizedDelaySec": "5m"}}
                for name in services[:TIMERS]
            },
        },
        "checks": {name: {"kind": "unit", "unit": f"{name}.service"} for name in services[:5]},
    }


def _service(name: str, arguments: str, file: str) -> dict[str, Any]:
    return {
        "description": f"The service {name}",
        "wanted_by": ["multi-user.target"],
        "after": ["network.target"],
        "service": {
            "ExecStart": f"${{pkgs.tool}} --config /etc/{file} {arguments}".strip(),
            "Restart": "on-failure",
            "NoNewPrivileges": "yes",
            "ProtectSystem": "strict",
            "PrivateTmp": "yes",
            "MemoryMax": "512M",
        },
    }


def yaml(value: Mapping[str, Any]) -> str:
    """Block style, as people write it; scalars as JSON, which YAML reads."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Mapping[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            lines += [f"{indent}{key}:", *_lines(item, indent + "  ")]
        elif isinstance(item, list):
            lines += [f"{indent}{key}:", *(f"{indent}  - {json.dumps(one)}" for one in item)]
        else:
            lines.append(f"{indent}{key}: {json.dumps(item)}")
    return lines


def nix_of(value: Any) -> str:
    """A value in Nix's language; `${…}` means there what it means here."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return json.dumps(value)
        case list():
            return "[ " + " ".join(nix_of(item) for item in value) + " ]"
    return "{ " + " ".join(f"{json.dumps(key)} = {nix_of(item)};" for key, item in value.items()) + " }"
