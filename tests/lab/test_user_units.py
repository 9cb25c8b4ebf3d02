"""Units of users: installed for all, and switched for those whose manager runs."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from deployer.formats.manifest import EtcEntry, Manifest, Unit, User
from tests.lab.test_activation import QUICK, Controller
from tests.lab.test_host_units import done, move

RUNTIME = "/run/systemd/system/user@.service.d"
MANAGERS = f"""
for name in ann bob eve; do useradd --create-home $name; done
mkdir -p {RUNTIME}
printf '[Service]\\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i\\n' > {RUNTIME}/lab.conf
mkdir -p /home/eve/.config/systemd/user
printf '[Service]\\nExecStart=/bin/sleep 5000\\n' > /home/eve/.config/systemd/user/sync.service
chown -R eve: /home/eve
systemctl daemon-reload
for name in ann bob eve; do systemctl start user@$(id -u $name).service; done
"""
SLEEP = "[Service]\nExecStart=/bin/sleep {0}\n"
FAILS = "[Unit]\nConditionUser={0}\n[Service]\nType=oneshot\nExecStart=/bin/false\n"


def declare(controller: Controller, *units: Unit, users: tuple[User, ...] = ()) -> str:
    files = {f"systemd/user/{unit.name}": unit.text for unit in units}
    entries = tuple(EtcEntry(path, "link", hashlib.sha256(text.encode()).hexdigest()) for path, text in files.items())
    return controller.system(Manifest(etc=entries, user_units=units, users=users, timing=QUICK), files)


def ask(controller: Controller, user: str, command: str) -> str:
    return controller.run(
        f"XDG_RUNTIME_DIR=/run/user/$(id -u {user}) setpriv --reuid={user} --regid={user} --init-groups {command}"
    )


def runs(controller: Controller, user: str, unit: str = "sync.service") -> str:
    """The seconds that the unit's program sleeps; empty where it does not run."""
    pid = ask(controller, user, f"systemctl --user show --value -p MainPID {unit}")
    return controller.run(f"ps -o args= -p {pid}").rpartition(" ")[2] if pid not in ("", "0") else ""


def plan(controller: Controller, system: str) -> list[str]:
    manifest = controller.store.physical(system).joinpath("manifest.json").read_text()
    with controller.connect() as connection:
        answer: Any = connection.ask("plan", system=system, manifest=manifest, repair=False, generation=0)
    assert answer.get("problems") == [], answer
    return done(answer, "user-unit")


@pytest.mark.parametrize("release", ["bullseye", "bookworm", "trixie"])
def test_units_of_users_are_switched_as_the_hosts_are(machines, fresh_hosts, tmp_path, release: str) -> None:
    controller = Controller(tmp_path, machines.lab.ssh_config, fresh_hosts(1, release=release)[0])
    controller.run(MANAGERS)
    one, two = (declare(controller, Unit("sync.service", SLEEP.format(seconds))) for seconds in (1001, 1002))
    none = declare(controller)

    planned = plan(controller, one)
    assert planned == ["start ann/sync.service", "start bob/sync.service"]
    outcome = controller.activate(one, "")
    assert outcome["state"] == "healthy", outcome
    assert controller.confirm()["state"] == "confirmed"
    assert done(outcome, "user-unit") == planned
    assert [runs(controller, user) for user in ("ann", "bob", "eve")] == ["1001", "1001", ""]
    ask(controller, "eve", "systemctl --user start sync.service")

    assert plan(controller, two) == ["restart ann/sync.service", "restart bob/sync.service"]
    move(controller, two, one)
    assert [runs(controller, user) for user in ("ann", "bob", "eve")] == ["1002", "1002", "5000"]

    # A failure of a user's takes the host back where the account is declared, and is told where it is not.
    bad = (Unit("sync.service", SLEEP.format(1003)), Unit("bad.service", FAILS.format("bob")))
    outcome = controller.activate(declare(controller, *bad, users=(User("bob", create_home=True),)), two)
    assert outcome["state"] == "rolled-back", outcome
    assert "bad.service" in outcome["reason"]
    assert [runs(controller, user) for user in ("ann", "bob", "eve")] == ["1002", "1002", "5000"]
    told = declare(controller, *bad)
    outcome = controller.activate(told, two)
    assert outcome["state"] == "healthy", outcome
    assert any(line.startswith("bob: bad.service") for line in outcome["log"])
    assert controller.confirm()["state"] == "confirmed"
    assert runs(controller, "ann") == "1003"

    move(controller, none, told)
    assert [runs(controller, user) for user in ("ann", "bob", "eve")] == ["", "", "5000"]
