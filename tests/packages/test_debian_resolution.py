"""Sets of Debian packages solved without apt: what is taken of several, and what can't be had; apt itself judges random ones."""

from __future__ import annotations

import os
import random
import shutil
import sys

import pytest

from deployer.packages.debian.apt import Apt
from deployer.packages.debian.package_index import DebianIndex
from deployer.packages.debian.resolution import resolve
from deployer.packages.errors import PackageInvalid
from deployer.packages.lockfile import DebianRequest
from tests.packages.repository import Repository

UNIVERSES = int(os.environ.get("DEPLOYER_TEST_UNIVERSES", "3"))
SUM = "0" * 64


def stanza(text):
    """`NAME VERSION`, and further lines of fields."""
    head, *fields = text.strip().splitlines()
    name, version = head.split()
    known = {"Architecture": "amd64", **dict(line.strip().split(": ", 1) for line in fields)}
    lines = [f"Package: {name}", f"Version: {version}", *(f"{key}: {value}" for key, value in known.items())]
    return "\n".join([*lines, f"Filename: pool/{name}_{version}.deb", "Size: 1", f"SHA256: {SUM}"])


def index(*stanzas, others=(), priority=100):
    """Of a suite, and of another one with `priority`."""
    files = [("\n\n".join(map(stanza, stanzas)).encode(), 500), ("\n\n".join(map(stanza, others)).encode(), priority)]
    return DebianIndex(files, "amd64")


def request(*packages):
    return DebianRequest("set", ("testing",), packages, "amd64")


def names(found):
    return [f"{deb.name} {deb.version}" for deb in found]


def test_what_is_needed_is_taken_in_its_newest_version_that_will_do():
    known = index("tool 1\nDepends: lib (>= 1), lib (<< 3)", "lib 1", "lib 2", "lib 3", "unneeded 1")

    assert names(resolve(request("tool"), known)) == ["lib 2", "tool 1"]
    assert names(resolve(request("tool", "lib=1"), known)) == ["lib 1", "tool 1"]


def test_of_alternatives_the_first_is_taken_unless_another_is_there_anyway():
    known = index("tool 1\nDepends: first | second", "first 1", "second 1", "other 1\nDepends: second")

    assert names(resolve(request("tool"), known)) == ["first 1", "tool 1"]
    assert names(resolve(request("tool", "other"), known)) == ["other 1", "second 1", "tool 1"]


def test_what_provides_a_thing_will_do_and_the_more_important_is_taken():
    known = index(
        "tool 1\nDepends: mailer, api (>= 2)",
        "small 1\nProvides: mailer\nPriority: optional",
        "usual 1\nProvides: mailer\nPriority: important",
        "old 1\nProvides: api, api (= 1)",
        "new 1\nProvides: api (= 2)",
    )

    assert names(resolve(request("tool"), known)) == ["new 1", "tool 1", "usual 1"]
    assert names(resolve(request("tool", "small"), known)) == ["new 1", "small 1", "tool 1"]


def test_what_is_there_for_another_reason_is_taken_for_what_it_provides():
    known = index(
        "tool 1\nDepends: interpreter, module", "interpreter 1\nProvides: module (= 1)\nDepends: core", "module 2", "core 1"
    )

    assert names(resolve(request("tool"), known)) == ["core 1", "interpreter 1", "tool 1"]


def test_what_refuses_another_is_not_taken_beside_it():
    known = index(
        "tool 1\nDepends: first | second",
        "first 1\nConflicts: enemy",
        "second 1",
        "ally 1\nDepends: enemy",
        "enemy 1",
        "breaker 2\nBreaks: lib (<< 2)",
        "lib 2",
        "lib 1",
        "mta-one 1\nProvides: mta\nConflicts: mta",
        "mta-two 1\nProvides: mta\nConflicts: mta",
    )

    assert names(resolve(request("tool", "ally"), known)) == ["ally 1", "enemy 1", "second 1", "tool 1"]
    assert names(resolve(request("breaker", "lib"), known)) == ["breaker 2", "lib 2"]
    assert names(resolve(request("mta-one"), known)) == ["mta-one 1"]
    with pytest.raises(PackageInvalid, match=r"mta-.* : Conflicts: mta-"):
        resolve(request("mta-one", "mta-two"), known)


def test_a_choice_that_comes_to_nothing_is_taken_back():
    known = index(
        "tool 1\nDepends: first | second",
        "first 1\nDepends: deep",
        "deep 1\nDepends: missing",
        "second 1",
    )

    assert names(resolve(request("tool"), known)) == ["second 1", "tool 1"]


def test_an_older_version_is_taken_where_the_newest_cannot_be():
    known = index("tool 1\nDepends: lib", "lib 1", "lib 2\nDepends: missing")

    assert names(resolve(request("tool"), known)) == ["lib 1", "tool 1"]


def test_packages_that_need_each_other_come_together():
    assert names(resolve(request("a"), index("a 1\nDepends: b", "b 1\nPre-Depends: a"))) == ["a 1", "b 1"]


def test_a_suite_of_which_nothing_is_taken_by_itself_is_asked_last():
    known = index("tool 1", "needy 1\nDepends: tool (>= 2)", others=["tool 2", "only-there 1"])

    assert names(resolve(request("tool"), known)) == ["tool 1"]
    assert names(resolve(request("needy"), known)) == ["needy 1", "tool 2"]
    assert names(resolve(request("only-there"), known)) == ["only-there 1"]


def test_other_architectures_are_as_if_they_were_not_there():
    known = index("tool 2\nArchitecture: arm64", "tool 1", "data 1\nArchitecture: all")

    assert names(resolve(request("tool", "data"), known)) == ["data 1", "tool 1"]


@pytest.mark.parametrize(
    ("packages", "message", "remedy"),
    [
        (["tol"], "no index of testing has a package 'tol'", "Did you mean 'tool'"),
        (["tool=9"], "no index of testing has version 9 of tool", "Those that are there: 1."),
        (["mta"], "has a package 'mta', but several that provide it", "Name one of them: one, two."),
        (["needy"], r"needy : Depends: lib \(>= 2\), and there is lib 1", "add the suite"),
        (["lost"], r"lost : Depends: none \| nothing, and no index has it", "add the suite"),
        (["foe", "tool"], "foe : Conflicts: tool", "Leave one of them out"),
        (["bound", "lib=2"], "no index of testing has version 2 of lib", "1"),
    ],
)
def test_what_cannot_be_solved_is_told(packages, message, remedy):
    known = index(
        "tool 1",
        "lib 1",
        "one 1\nProvides: mta",
        "two 1\nProvides: mta",
        "needy 1\nDepends: lib (>= 2)",
        "lost 1\nDepends: none | nothing",
        "foe 1\nConflicts: tool",
        "bound 1\nDepends: lib (= 1)",
    )

    with pytest.raises(PackageInvalid, match=message) as caught:
        resolve(request(*packages), known)

    assert remedy in caught.value.remedy


def test_a_name_that_one_package_provides_is_that_package():
    assert names(resolve(request("awk"), index("mawk 1\nProvides: awk"))) == ["mawk 1"]


def universe(dice, size=24):
    """Packages that need, provide and refuse each other."""
    for number in range(size):
        others = [f"p{other}" for other in dice.sample(range(size), 5) if other != number]
        fields = []
        if dice.random() < 0.7:
            needed = [*others, "virtual", "p0 (>= 2)"]
            groups = (" | ".join(dice.sample(needed, dice.choice([1, 1, 2]))) for _ in range(dice.randrange(1, 3)))
            fields.append(f"Depends: {', '.join(groups)}")
        if dice.random() < 0.15:
            fields.append(f"{dice.choice(['Conflicts', 'Breaks'])}: {dice.choice([*others, f'{others[0]} (<< 2)'])}")
        if dice.random() < 0.15:
            fields.append("Provides: virtual")
        yield "\n".join([f"p{number} {dice.randrange(1, 4)}", *fields])


@pytest.mark.skipif(not shutil.which("apt-get") or not shutil.which("gpg"), reason="apt or gpg is not installed")
@pytest.mark.parametrize("part", range(UNIVERSES))
async def test_apt_takes_every_solution_as_it_is_and_has_none_where_there_is_none(tmp_path, keys, part):
    seed = random.randrange(1 << 30)
    sys.stdout.write(f"part {part}, seed {seed}\n")
    dice = random.Random(seed)
    stanzas = [*universe(dice)]
    repository = Repository(tmp_path, keys[1], keys[0])
    repository.stanzas = {(str(number), ""): f"{stanza(text)}\n" for number, text in enumerate(stanzas)}
    repository.publish()
    (tmp_path / "apt").mkdir()
    apt = await Apt.prepare(tmp_path / "apt", {"testing": repository.mirror}, "amd64")
    solved = 0
    for number in range(len(stanzas)):
        try:
            found = resolve(request(f"p{number}"), index(*stanzas))
        except PackageInvalid:
            simulated = await apt.ask("apt-get", "--simulate", "install", f"p{number}", check=False)
            assert simulated.status, f"apt has a solution for p{number}:\n{simulated.text}"
            continue
        solved += 1
        exact = [f"{deb.name}={deb.version}" for deb in found]
        taken = await apt.ask("apt-get", "--simulate", "--no-install-recommends", "install", *exact, check=False)
        assert not taken.status, f"{exact}:\n{taken.text}"
        assert taken.text.count("\nInst ") == len(found), taken.text
    assert solved
