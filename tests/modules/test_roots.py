"""Services whose root is a package."""

from __future__ import annotations

import pytest

ROOT = f"/nix/store/{'0' * 32}-hello"
SERVICE = (
    "systemd: {services: {a: {service: {ExecStart: /usr/bin/a /etc/a/a.conf --log /etc/own/x}}}, roots: {a: '${pkgs.hello}'}}\n"
)


def drop_in(directory, main):
    return directory.evaluate(main).get("systemd.units")["a.service"]["drop_ins"]["root.conf"].splitlines()


def test_a_service_sees_its_tree_the_store_and_who_the_host_is(directory):
    lines = drop_in(directory, SERVICE)

    assert lines[:2] == ["[Service]", f"RootDirectory={ROOT}"]
    assert {"BindReadOnlyPaths=/nix/store", "BindReadOnlyPaths=-/etc/passwd", "TemporaryFileSystem=/etc /var /run"} <= {*lines}
    assert f"BindReadOnlyPaths=-{ROOT}/etc/nsswitch.conf:/etc/nsswitch.conf" in lines


def test_what_its_directives_name_in_etc_is_the_configurations_else_the_trees(directory):
    lines = drop_in(directory, SERVICE + "etc: {a/a.conf: {text: x}, other/b: {text: y}}\n")

    assert "BindReadOnlyPaths=-/etc/a" in lines
    assert f"BindReadOnlyPaths=-{ROOT}/etc/own:/etc/own" in lines
    assert not any("/etc/other" in line for line in lines)


def test_a_service_has_the_locale_that_every_tree_has_unless_it_says_another(directory):
    said = SERVICE.replace("ExecStart:", "Environment: LANG=C.UTF-8, ExecStart:")

    assert "Environment=LANG=C" in drop_in(directory, SERVICE)
    assert "Environment=LANG=C" not in drop_in(directory, said)


def test_etc_is_in_memory_also_where_a_service_protects_the_system(directory):
    """systemd takes one mount for a place, and prefers that of `full`."""
    lines = drop_in(directory, SERVICE.replace("ExecStart:", "ProtectSystem: full, ExecStart:"))

    assert {"ProtectSystem=yes", "TemporaryFileSystem=/etc /var /run"} <= {*lines}


@pytest.mark.parametrize("place", ["/var", "/run", "/srv/x:/var", "-/etc/a", "/etc"])
def test_what_a_service_binds_itself_takes_the_place_of_what_a_root_has_there(directory, place):
    bound = SERVICE.replace("ExecStart:", f"BindReadOnlyPaths: ['{place}'], ExecStart:") + "etc: {a/a.conf: {text: x}}\n"
    target = place.rpartition(":")[2].lstrip("-")

    lines = drop_in(directory, bound)

    (in_memory,) = (line for line in lines if line.startswith("TemporaryFileSystem="))
    assert {"/etc", "/var", "/run"} - {*in_memory.partition("=")[2].split()} == {target} - {"/etc/a"}
    assert ("BindReadOnlyPaths=-/etc/a" in lines) == (target not in ("/etc/a", "/etc"))


@pytest.mark.parametrize("path", ["/data", "/srv/www", "/data/a", "-/home/a:/home/b:norbind"])
def test_what_a_tree_has_no_place_for_cannot_be_bound_there(directory, path):
    """systemd makes what it mounts on, and there that would be in the host's store."""
    bound = SERVICE.replace("ExecStart:", f"BindPaths: ['{path}'], ExecStart:")

    (error,) = directory.errors(bound)

    assert "systemd would make one in the store" in error.message
    assert "below /run or /var" in error.remedy


@pytest.mark.parametrize(
    "paths",
    [
        "[/srv, /srv/www]",
        "[/data:/run/data]",
        "[/data:/var/lib/a/data]",
        "[/home/]",
        "[/etc/own, /]",
        "[/data:/srv]",
        "['%S/a', own]",
    ],
)
def test_what_a_tree_has_a_place_for_can_be_bound(directory, paths):
    assert drop_in(directory, SERVICE.replace("ExecStart:", f"BindPaths: {paths}, ExecStart:"))


@pytest.mark.parametrize(
    ("main", "message"),
    [
        ("systemd: {roots: {b: '${pkgs.hello}'}}", "the service 'b' is not declared"),
        ("systemd: {services: {a: {service: {ExecStart: /x}}}, roots: {a: /srv}}", "the root of service 'a' is no package"),
        (SERVICE.replace("ExecStart:", "RootDirectory: /srv, ExecStart:"), "service 'a' has a root and RootDirectory"),
        ("systemd: {roots: {a.service/: '${pkgs.hello}'}}", "a.service/"),
    ],
)
def test_wrong_roots_are_told(directory, main, message):
    assert any(message in str(error) for error in directory.errors(main))
