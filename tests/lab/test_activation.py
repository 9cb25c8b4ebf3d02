"""The transaction on real hosts: real systemd, real sshd, the real store, over the real bootstrap."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployer.copy.bootstrap import COMMAND, SEND
from deployer.formats.frames import FrameDecoder, encode_data, encode_document, encode_end
from deployer.formats.manifest import EtcEntry, Group, Manifest, Timing, Unit, User
from deployer.formats.messages import Activation
from deployer.formats.pathstream import encode_end as path_stream_end
from deployer.generation.runtime import runtime_files, runtime_image
from deployer.lab import LabHost, crash, start
from deployer.store import Store

TOKEN = "a token"
QUICK = Timing(unit_timeout=20, check_deadline=10, confirm_timeout=6)
ONE = "[Unit]\nDescription=web\n[Service]\nExecStart=/bin/sleep 1001\n"
TWO = ONE.replace("1001", "1002")
FAILING = "[Unit]\nDescription=web\n[Service]\nType=oneshot\nExecStart=/bin/false\n"
LISTING = (
    "cd /etc && find . -path ./.pwd.lock -prune -o -printf '%p %y %m %u %g %l\\n' | sort;"
    "find . -type f -exec sha256sum {} + | sort -k2; find . -type f -name motd -printf '%T@\\n'"
)


class Controller:
    """A store, and one connection at a time to one host."""

    def __init__(self, directory: Path, ssh_config: Path, host: LabHost) -> None:
        self.host, self._ssh = host, ["ssh", "-F", str(ssh_config), host.name]
        self.store = Store(directory / "store")
        self._directory, self._count = directory, 0
        self.runtime = self._add("deployer-runtime", dict(runtime_files()))
        self.transactions = 0

    def run(self, command: str) -> str:
        return subprocess.run([*self._ssh, command], check=False, capture_output=True, text=True, timeout=60).stdout.strip()

    def state(self) -> str:
        return self.run("cat /var/lib/deployer/state")

    def wait_for(self, word: str, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while word not in self.state() and time.monotonic() < end:
            time.sleep(0.2)
        return self.state()

    def wait_until_empty(self, command: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while (output := self.run(command)) and time.monotonic() < end:
            time.sleep(0.2)
        assert output == ""

    def system(self, manifest: Manifest, files: dict[str, str]) -> str:
        manifest = dataclasses.replace(manifest, runtime=self.runtime)
        contents = {f"etc/{path}": text.encode() for path, text in files.items()}
        return self._add("system", {"manifest.json": manifest.to_bytes(), **contents})

    def connect(self) -> Connection:
        return Connection(self._ssh, self.runtime)

    def activate(self, system: str, previous: str, **more: Any) -> dict[str, Any]:
        """Copy what is missing, and activate, over one connection; the outcome or the error."""
        self.transactions += 1
        self.transaction = f"{self.transactions:032x}"
        request = Activation(
            system, self.transaction, "alice@laptop", hashlib.sha256(TOKEN.encode()).hexdigest(), previous=previous, **more
        )
        with self.connect() as connection:
            connection.copy(self.store, [self.runtime, system])
            fields: dict[str, Any] = request.to_document()
            return connection.ask("activate", **fields)

    def confirm(self, token: str = TOKEN) -> dict[str, Any]:
        """Over a fresh connection."""
        with self.connect() as connection:
            return connection.ask("confirm", transaction=self.transaction, token=token)

    def deploy(self, system: str, previous: str) -> None:
        outcome = self.activate(system, previous)
        assert outcome.get("state") == "healthy", outcome
        assert self.confirm()["state"] == "confirmed"

    def _add(self, name: str, files: dict[str, bytes]) -> str:
        self._count += 1
        place = self._directory / f"tree{self._count}"
        for path, content in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(content)
        return str(self.store.add_tree(name, place))


class Connection:
    """One exec channel with the bootstrap script at its other end."""

    def __init__(self, ssh: list[str], runtime: str) -> None:
        self._process = subprocess.Popen([*ssh, COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._decoder, self._count = FrameDecoder(), 0
        self.state = self._output.readline().decode().strip()
        image = runtime_image()
        self._send(f"serve {runtime} {len(image)}\n".encode())
        if self._output.readline().decode().strip() == SEND:
            self._send(image)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()
        self._process.wait(10)
        self._output.close()

    def ask(self, verb: str, *, following: bytes = b"", **fields: Any) -> dict[str, Any]:
        self._count += 1
        self._send(encode_document({"id": self._count, "verb": verb, **fields}) + following)
        while True:
            data = os.read(self._output.fileno(), 1 << 16)
            assert data, "the host closed the connection"
            for frame in self._decoder.feed(data):
                document: Any = frame.document()
                if "event" not in document:
                    answer: dict[str, Any] = document.get("ok") or document["error"]
                    return answer

    def copy(self, store: Store, paths: list[str]) -> None:
        missing = self.ask("missing", paths=paths, files=[])["missing"]
        stream = bytearray()
        for path in missing:
            stream += store.header(path).encode()
            store.write_nar(path, stream.extend)
        stream += path_stream_end()
        frames = encode_data(zlib.compress(bytes(stream))) + encode_end()
        registered = self.ask("import", following=frames, compression="zlib", paths=len(missing))["registered"]
        assert registered == missing

    def _send(self, data: bytes) -> None:
        self._input.write(data)
        self._input.flush()


@pytest.fixture
def controller(machines, fresh_host, tmp_path) -> Controller:
    return Controller(tmp_path, machines.lab.ssh_config, fresh_host)


def web(controller: Controller, name: str, unit: str = ONE, *, motd: bool = True, timing: Timing = QUICK) -> str:
    """A unit, its configuration, a real file of its user's group, and (first) the host's own motd taken over."""
    files = {"systemd/system/web.service": unit, "web.conf": name, "deep/real": f"real {name}"}
    entries = [
        EtcEntry("systemd/system/web.service", "link", _digest(unit)),
        EtcEntry("systemd/system/multi-user.target.wants/web.service", "symlink", target="../web.service"),
        EtcEntry("web.conf", "link", _digest(name)),
        EtcEntry("deep/real", "file", _digest(f"real {name}"), mode="0640", group="web"),
    ]
    if motd:
        files["motd"] = "ours"
        entries.append(EtcEntry("motd", "link", _digest("ours"), replace=True))
    manifest = Manifest(
        etc=tuple(entries),
        units=(Unit("web.service", unit),),
        users=(User("web", uid=990, group="web"),),
        groups=(Group("web", gid=990),),
        timing=timing,
    )
    return controller.system(manifest, files)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_first_deploy_that_fails_leaves_etc_and_units_as_they_were(controller: Controller) -> None:
    etc, units = controller.run(LISTING), controller.run("systemctl list-unit-files --no-legend")

    outcome = controller.activate(web(controller, "broken", FAILING), "")

    assert outcome["state"] == "rolled-back"
    assert "web.service" in outcome["reason"]
    assert any("status=1/FAILURE" in line for line in outcome["log"])
    assert controller.run(LISTING) == etc
    assert controller.run("systemctl list-unit-files --no-legend") == units
    assert controller.run("systemctl is-system-running") == "running"
    assert controller.state() == "deployer-state 1 settled 0 - 0"


def test_an_empty_system_changes_nothing_in_etc(controller: Controller) -> None:
    etc = controller.run(LISTING)

    controller.deploy(controller.system(Manifest(), {}), "")

    assert controller.run(LISTING) == etc
    assert controller.run("find / -maxdepth 1 -newer /etc/machine-id -name nix") == "/nix"


def test_a_change_is_made_confirmed_and_taken_back_at_uninstall(controller: Controller, on: Callable[..., Any]) -> None:
    etc = controller.run(LISTING)
    one, two = web(controller, "one"), web(controller, "two", TWO, motd=False)

    controller.deploy(one, "")
    controller.deploy(two, one)

    assert "1002" in controller.run("systemctl show -p ExecStart web.service")
    assert controller.run("runuser -u web -- cat /etc/web.conf /etc/deep/real") == "tworeal two"
    assert controller.state().startswith(f"deployer-state 1 settled 2 {two}")
    assert controller.activate(two, two)["state"] == "confirmed"
    with controller.connect() as connection:
        connection.ask("uninstall", dry_run=False)
    assert controller.run(LISTING) == etc
    assert controller.run("ls -d /nix /var/lib/deployer") == ""
    assert controller.run("systemctl is-active web.service") == "inactive"


def test_what_nobody_confirms_is_rolled_back_and_a_late_confirmation_is_told_so(controller: Controller) -> None:
    patient = dataclasses.replace(QUICK, confirm_timeout=12)
    one, two = web(controller, "one"), web(controller, "two", TWO, motd=False, timing=patient)
    controller.deploy(one, "")
    etc = controller.run(LISTING)

    assert controller.activate(two, one)["state"] == "healthy"
    assert "not the one" in controller.confirm("wrong")["message"]
    assert controller.activate(two, one)["error"] == "HostBusy"
    controller.transactions -= 1
    controller.transaction = f"{controller.transactions:032x}"

    assert f"settled 1 {one}" in controller.wait_for("settled")
    refusal = controller.confirm()
    assert refusal["error"] == "ConfirmRefused"
    assert "rolled-back" in refusal["message"]
    assert controller.run(LISTING) == etc
    assert "1001" in controller.run("systemctl show -p ExecStart web.service")


def test_a_killed_service_is_undone_at_once(controller: Controller) -> None:
    one, two = web(controller, "one"), web(controller, "two", TWO, timing=dataclasses.replace(QUICK, confirm_timeout=300))
    controller.deploy(one, "")
    etc = controller.run(LISTING)
    assert controller.activate(two, one)["state"] == "healthy"

    controller.run("systemctl kill -s KILL deployer-activation.service")

    assert f"settled 1 {one}" in controller.wait_for("settled", 20)
    assert controller.run(LISTING) == etc
    assert controller.run("systemctl is-active web.service") == "active"


def test_a_host_that_crashes_before_the_confirmation_boots_into_what_it_had(controller: Controller, machines: Any) -> None:
    one, two = web(controller, "one"), web(controller, "two", TWO, timing=dataclasses.replace(QUICK, confirm_timeout=300))
    controller.deploy(one, "")
    etc = controller.run(LISTING)
    assert controller.activate(two, one)["state"] == "healthy"

    machines.do(crash(controller.host))
    machines.do(start(controller.host))

    assert f"settled 1 {one}" in controller.wait_for("settled")
    assert controller.run(LISTING) == etc
    assert "1001" in controller.run("systemctl show -p ExecStart web.service")
    assert controller.run("systemctl is-active web.service") == "active"
    assert controller.run("systemctl is-system-running --wait") == "running"


def test_a_cancelled_transaction_is_rolled_back(controller: Controller) -> None:
    one, two = web(controller, "one"), web(controller, "two", TWO)
    controller.deploy(one, "")
    assert controller.activate(two, one)["state"] == "healthy"

    with controller.connect() as connection:
        outcome = connection.ask("cancel", transaction=controller.transaction)

    assert (outcome["state"], outcome["reason"]) == ("rolled-back", "it was cancelled")
