"""What is run for each peer."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deployer.lab import Lab

HERE: Final = Path(__file__).resolve().parent
PARALLEL: Final = "50"
CONNECT_SECONDS: Final = 60


def environment() -> Path:
    """Where the peers are installed."""
    return Path(os.environ["DEPLOYER_BENCH_PEERS"])


@dataclass(frozen=True, slots=True)
class Command:
    """One run of a peer: its arguments, what it needs in its environment, and the directory of its connections."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    connections: Path | None = None

    def hang_up(self) -> None:
        """Close the connections that outlive the process, so that every run connects anew."""
        for socket in sorted(self.connections.iterdir()) if self.connections else ():
            subprocess.run(
                ["ssh", "-F", "none", "-S", str(socket), "-O", "exit", "lab"], capture_output=True, timeout=10, check=False
            )


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool beside which we are measured."""

    name: str
    make: Callable[[Peer, Lab, Path, int], Command]

    @property
    def unit(self) -> str:
        """Its own name on the hosts."""
        return f"bench-{self.name}"

    def command(self, lab: Lab, directory: Path, token: int) -> Command:
        """What deploys the work with this token."""
        return self.make(self, lab, directory, token)


def pyinfra(peer: Peer, lab: Lab, directory: Path, token: int) -> Command:
    """One run of pyinfra, with the inventory and settings written for it."""
    data = {
        "ssh_user": "root",
        "ssh_key": str(lab.directory / "key"),
        "ssh_known_hosts_file": str(lab.directory / "known_hosts"),
        "ssh_strict_host_key_checking": "yes",
        "unit_name": peer.unit,
        "token": token,
    }
    inventory, settings = directory / "pyinfra_inventory.py", directory / "pyinfra_config.py"
    inventory.write_text(f"hosts = ({[host.address for host in lab.hosts]!r}, {data!r})\n", encoding="utf-8")
    settings.write_text(f"CONNECT_TIMEOUT = {CONNECT_SECONDS}\n", encoding="utf-8")
    program = str(environment() / "bin" / "pyinfra")
    options = ("--yes", "--parallel", PARALLEL, "--config", str(settings))
    return Command((program, *options, str(inventory), str(HERE / "pyinfra_deploy.py")))


def ansible(peer: Peer, lab: Lab, directory: Path, token: int) -> Command:
    """One run of Ansible with pipelining; connections are shared within the run, and with no other."""
    connections = Path(tempfile.mkdtemp(prefix="cp-", dir=directory))
    shared = {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(connections)}
    return _playbook(peer, lab, directory, token, "-o ControlMaster=auto -o ControlPersist=60s", shared, connections)


def mitogen(peer: Peer, lab: Lab, directory: Path, token: int) -> Command:
    """One run of Ansible with mitogen's strategy, which keeps one connection to a host by itself."""
    plugins = next(environment().glob("lib/python3*/site-packages/ansible_mitogen/plugins/strategy"))
    chosen = {"ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS": str(plugins)}
    return _playbook(peer, lab, directory, token, "", chosen, None)


def _playbook(
    peer: Peer, lab: Lab, directory: Path, token: int, ssh: str, more: Mapping[str, str], connections: Path | None
) -> Command:
    variables = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(lab.directory / "key"),
        "ansible_python_interpreter": "/usr/bin/python3",
        "unit_name": peer.unit,
        "token": token,
    }
    inventory = directory / f"{peer.name}.json"
    hosts = {host.name: {"ansible_host": host.address} for host in lab.hosts}
    inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}), encoding="utf-8")
    known = f"-F none -o UserKnownHostsFile={lab.directory / 'known_hosts'} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    own = directory / "ansible.cfg"
    own.write_text("[defaults]\n", encoding="utf-8")
    settings = {
        "ANSIBLE_CONFIG": str(own),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_FORKS": PARALLEL,
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_TIMEOUT": str(CONNECT_SECONDS),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SSH_ARGS": f"{ssh} {known}".strip(),
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "PATH": f"{environment() / 'bin'}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        **more,
    }
    program = str(environment() / "bin" / "ansible-playbook")
    return Command((program, "-i", str(inventory), str(HERE / "playbook.yml")), settings, connections)


PYINFRA: Final = Peer("pyinfra", pyinfra)
ANSIBLE: Final = Peer("ansible", ansible)
MITOGEN: Final = Peer("ansible-mitogen", mitogen)
PEERS: Final = (PYINFRA, ANSIBLE, MITOGEN)
