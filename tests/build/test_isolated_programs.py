"""Starters for the programs of a root tree: for those that are meant, and a sentence where there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deployer.build.debian_root import Deb
from deployer.build.isolated_programs import Starter, isolated_programs
from deployer.build.source_errors import ProgramsUnnamed, ProgramUnknown
from tests.environments.conftest import deb

OWN = ("redis-cli", "redis-server")
LIBRARY = ("openssl", "c_rehash", "perl")


@pytest.fixture
def make(tmp_path: Path):
    """The names of the starters for `named` programs of a tree; its own package has the programs `own`."""
    root = tmp_path / f"{'0' * 32}-redis"
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    for name in (*OWN, *LIBRARY):
        (root / "usr/bin" / name).write_text("")
    (root / "usr/bin/awk").symlink_to("/etc/alternatives/awk")
    (root / "usr/share").mkdir()

    def starters(*named: str, own: tuple[str, ...] = OWN) -> list[str]:
        (tmp_path / "own.deb").write_bytes(deb({f"usr/bin/{name}": "" for name in own} | {"usr/share/x": ""}))
        starter = Starter(root=str(root), python="/python", launcher="/launcher", variable="IN_USE")
        isolated_programs(root, [Deb("own", tmp_path / "own.deb")], named, starter, tmp_path / "out")
        return sorted(os.listdir(tmp_path / "out/bin"))

    return starters


def test_there_is_a_starter_for_each_program_that_is_meant(make):
    assert make() == [*OWN]


def test_programs_are_named_by_their_name_or_their_path_in_the_tree(make):
    assert make("perl", "/bin/openssl", "awk") == ["awk", "openssl", "perl"]


@pytest.mark.parametrize("named", ["redis-clj", "/usr/bin/redis-clj", "/usr/bin/redis-cli/x"])
def test_a_program_that_is_not_there_is_told_with_the_nearest_and_those_that_are(make, named):
    with pytest.raises(ProgramUnknown) as caught:
        make("perl", named)

    assert caught.value.message == f"package 'redis' has no program {named!r}"
    assert caught.value.remedy.startswith("Did you mean 'redis-cli'? ") == ("clj" in named)
    assert caught.value.remedy.endswith("It has redis-cli, redis-server.")


def test_the_nearest_may_be_of_another_package_and_a_few_are_listed_of_many(make):
    with pytest.raises(ProgramUnknown) as caught:
        make("opensl", own=tuple(f"p{number}" for number in range(10)))

    assert caught.value.remedy == "Did you mean 'openssl'? It has p0, p1, p2, p3, p4, p5, p6, p7, and 2 more."


def test_a_directory_of_the_machine_is_no_program_of_the_tree(make, tmp_path):
    (tmp_path / "mine").write_text("")

    with pytest.raises(ProgramUnknown):
        make(f"{tmp_path}/mine")


def test_packages_without_programs_of_their_own_are_told_with_what_to_write(make):
    with pytest.raises(ProgramsUnnamed, match="that package 'redis' names bring no programs") as caught:
        make(own=())

    assert caught.value.remedy == (
        "Say in its `programs` which of the others go on PATH: it has awk, c_rehash, openssl, perl, redis-cli, redis-server."
    )
