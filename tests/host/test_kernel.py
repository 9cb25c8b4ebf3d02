"""Kernel settings: names become paths below /proc/sys, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.host.kernel import SettingRefused, is_same, parts_of, read, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "proc/sys/net/ipv4/conf/eth0.1"
    place.mkdir(parents=True)
    (place / "forwarding").write_text("0\n")
    (tmp_path / "proc/sys/net/ipv4/tcp_rmem").write_text("4096\t131072\t6291456\n")
    (tmp_path / "secret").write_text("1")
    return tmp_path


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("vm.swappiness", ["vm", "swappiness"]),
        ("vm/swappiness", ["vm", "swappiness"]),
        ("net.ipv4.conf.eth0/1.forwarding", ["net", "ipv4", "conf", "eth0.1", "forwarding"]),
        ("net/ipv4/conf/eth0.1/forwarding", ["net", "ipv4", "conf", "eth0.1", "forwarding"]),
        ("..", None),
        ("vm..swappiness", None),
        ("vm/../../secret", None),
        ("vm.//.secret", None),
        ("vm.a\0b", None),
        ("/vm/swappiness", None),
        ("vm", None),
        ("", None),
    ],
)
def test_names_of_settings(key: str, parts: list[str] | None) -> None:
    assert parts_of(key) == parts


def test_a_setting_is_read_and_set(root: Path) -> None:
    assert read("net.ipv4.conf.eth0/1.forwarding", root) == "0"

    write("net.ipv4.conf.eth0/1.forwarding", "1", root)

    assert read("net/ipv4/conf/eth0.1/forwarding", root) == "1"


def test_a_setting_that_the_kernel_does_not_have(root: Path) -> None:
    assert read("no.such.thing", root) is None
    assert read("../../secret", root) is None
    with pytest.raises(SettingRefused, match=r"refuses no\.such\.thing = 1: No such file"):
        write("no.such.thing", "1", root)
    with pytest.raises(SettingRefused, match="not the name of a setting"):
        write("a/../../secret", "2", root)
    assert (root / "secret").read_text() == "1"


def test_white_space_is_no_difference(root: Path) -> None:
    assert is_same(read("net.ipv4.tcp_rmem", root) or "", "4096 131072  6291456")
    assert not is_same("1 2", "12")
