"""By which way the controller came: sshd's word for it, found also behind sudo."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.formats.manifest import Manifest
from deployer.host.paths import WAY_IN
from deployer.host.prepare import lay_out, prepare
from deployer.host.way_in import WayIn, find_way_in
from tests.host.world import World, activation

CONNECTION = "192.0.2.1 50000 192.0.2.10 22"


@pytest.mark.parametrize(
    ("said", "way"),
    [
        (CONNECTION, WayIn("192.0.2.1", 22)),
        ("fe80::1%host0 50000 fe80::2%host0 2222", WayIn("fe80::1", 2222)),
        ("::ffff:192.0.2.1 50000 ::ffff:192.0.2.10 22", WayIn("192.0.2.1", 22)),
        ("192.0.2.1 50000 192.0.2.10 0", None),
        ("192.0.2.1 50000 192.0.2.10 99999", None),
        ("192.0.2.1 50000 192.0.2.10 ٢٢", None),
        ("192.0.2.1 50000 22", None),
        ("host 50000 192.0.2.10 22", None),
        ("1.2.3.4}; 50000 1.1.1.1 22", None),
        ("", None),
    ],
)
def test_what_sshd_says_is_taken_apart(said: str, way: WayIn | None) -> None:
    assert WayIn.parse(said) == way


def test_it_is_an_element_of_the_set_of_its_family() -> None:
    assert WayIn("192.0.2.1", 22).rule == "add element inet deployer controllers4 { 192.0.2.1 . 22 }\n"
    assert WayIn("fe80::1", 22).rule == "add element inet deployer controllers6 { fe80::1 . 22 }\n"


def processes(directory: Path, *environments: str) -> str:
    """A `/proc` in which each process has started the one before it; the first is number 10."""
    for number, environment in enumerate(environments, 10):
        place = directory / str(number)
        place.mkdir(parents=True)
        (place / "environ").write_bytes(environment.encode())
        (place / "stat").write_text(f"{number} (a (strange) name) S {number + 1} 0 0")
    return str(directory)


def test_it_is_found_in_what_started_sudo(tmp_path: Path) -> None:
    proc = processes(tmp_path, "HOME=/root\0", "", f"PATH=/bin\0SSH_CONNECTION={CONNECTION}\0", "")

    assert find_way_in(10, proc=proc) == WayIn("192.0.2.1", 22)


def test_whoever_came_otherwise_has_none(tmp_path: Path) -> None:
    assert find_way_in(10, proc=processes(tmp_path, "HOME=/root\0", "")) is None


@pytest.mark.parametrize("declared", [True, False])
def test_it_is_written_down_where_there_is_a_firewall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: bool) -> None:
    monkeypatch.setattr("deployer.host.way_in.find_way_in", lambda: WayIn("192.0.2.1", 22))
    world = World(tmp_path / "host")
    machine = world.machine()
    lay_out(machine.disk)

    prepare(machine, activation(world.add_system("one", Manifest(firewall=declared), {})))

    assert machine.disk.exists(WAY_IN) is declared
