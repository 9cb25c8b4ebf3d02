"""Unit files are read as systemd reads them, and compared by what they mean."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.host.unit_files import IGNORED, UnitFile, difference

PLAIN = (
    "[Unit]\nDescription=web\nAfter=network.target\n[Service]\nExecStart=/bin/web --port 80\nExecReload=/bin/kill -HUP $MAINPID\n"
)


def test_assignments_are_read_by_section_and_key() -> None:
    file = UnitFile.parse(PLAIN)

    assert file.last("Service", "ExecStart") == "/bin/web --port 80"
    assert file.words("Unit", "After") == ("network.target",)
    assert file.last("Service", "After") == ""


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1\nA=2", ("1", "2")),
        ("A=1\nA=\nA=2", ("2",)),
        ("A=1\nA=", ()),
        (" A = 1 ", ("1",)),
        ("A=1=2", ("1=2",)),
        ("A=one \\\n  two", ("one  two",)),
        ("A=one \\\n# a comment\n; another\n  two", ("one  two",)),
        ("A=one \\\n\nB=2", ("one",)),
        ("A=one\\\\\nB=2", ("one\\\\",)),
        ("A=one \\", ("one",)),
        ("# A=1\n;A=2\nA=3", ("3",)),
        ("A=1\r\nA=2\r", ("1", "2")),
        ("A=1 # no comment", ("1 # no comment",)),
        ("A", ()),
        ("=1", ()),
    ],
)
def test_lines_are_read_as_systemd_reads_them(text: str, values: tuple[str, ...]) -> None:
    assert UnitFile.parse(f"[Service]\n{text}\n").values.get(("Service", "A"), ()) == values


def test_what_stands_outside_a_section_or_in_a_broken_one_is_ignored() -> None:
    assert UnitFile.parse("A=1\n[Service\nB=2\n").values == {}


def test_install_means_nothing_to_a_running_unit() -> None:
    assert UnitFile.parse("[Install]\nWantedBy=multi-user.target\n").values == {}


def test_drop_ins_add_and_clear_in_the_order_of_their_names() -> None:
    drop_ins = {"20.conf": "[Service]\nExecStart=/bin/c\n", "10.conf": "[Service]\nExecStart=\nExecStart=/bin/b\n"}

    assert UnitFile.parse("[Service]\nExecStart=/bin/a\n", drop_ins).values["Service", "ExecStart"] == ("/bin/b", "/bin/c")


def test_a_drop_in_for_a_unit_that_is_not_ours_remembers_what_it_clears() -> None:
    clears = UnitFile.parse("", {"a.conf": "[Service]\nExecStart=\nExecStart=/bin/b\n"})
    adds = UnitFile.parse("", {"a.conf": "[Service]\nExecStart=/bin/b\n"})

    assert not difference(adds, clears).is_nothing


def test_flags_are_read_as_systemd_reads_booleans() -> None:
    file = UnitFile.parse("[Unit]\nA=Yes\nB=off\nC=perhaps\nD=no\nD=true\n")

    assert [file.flag("Unit", key, False) for key in "ABCDE"] == [True, False, False, True, False]
    assert file.flag("Unit", "E", True)


@pytest.mark.parametrize("key", sorted(IGNORED))
def test_cosmetic_keys_are_no_difference(key: str) -> None:
    assert difference(UnitFile.parse(PLAIN), UnitFile.parse(f"{PLAIN}[Unit]\n{key}=x\n")).is_nothing


@pytest.mark.parametrize(
    ("before", "after", "reload", "restart"),
    [
        ("[Unit]\nX-Reload-Triggers=a", "[Unit]\nX-Reload-Triggers=b", ["X-Reload-Triggers"], []),
        ("[Unit]\nX-Reload-Triggers=a", "", ["X-Reload-Triggers"], []),
        ("[Service]\nExecReload=a", "[Service]\nExecReload=b", ["ExecReload"], []),
        ("", "[Service]\nExecReload=b", ["ExecReload"], []),
        ("[Service]\nExecReload=a", "", [], ["ExecReload"]),
        ("[Mount]\nOptions=ro", "[Mount]\nOptions=rw", ["Options"], []),
        ("[Mount]\nWhat=a", "[Mount]\nWhat=b", [], ["What"]),
        ("[Unit]\nX-Restart-Triggers=a", "[Unit]\nX-Restart-Triggers=b", [], ["X-Restart-Triggers"]),
        ("[Service]\nDescription=a", "[Service]\nDescription=b", [], ["Description"]),
        ("[Service]\nA=1\nA=2", "[Service]\nA=2\nA=1", [], ["A"]),
        ("[Service]\nExecReload=a\nB=1", "[Service]\nExecReload=b\nB=2", ["ExecReload"], ["B"]),
        ("", "[Slice]\nCPUWeight=5", [], ["CPUWeight"]),
    ],
)
def test_differences_ask_for_a_reload_or_a_restart(before: str, after: str, reload: list[str], restart: list[str]) -> None:
    found = difference(UnitFile.parse(before or "[Unit]"), UnitFile.parse(after or "[Unit]"))

    assert [key for _, key in found.reload] == reload
    assert [key for _, key in found.restart] == restart


def test_a_difference_names_some_keys_and_counts_the_others() -> None:
    new = "[Service]\n" + "".join(f"{key}=1\n" for key in "ABCDEF")

    assert difference(UnitFile({}), UnitFile.parse(new)).says == "[Service] A, [Service] B, [Service] C, [Service] D and 2 more"


KEYS = st.sampled_from(["ExecStart", "ExecReload", "After", "Environment", "X-Reload-Triggers"])
VALUES = st.text("ab \\=[]$%", min_size=0, max_size=6).map(lambda value: value.strip(" \\"))
FILES = st.dictionaries(
    st.sampled_from(["Unit", "Service", "Socket"]), st.dictionaries(KEYS, st.lists(VALUES, min_size=1, max_size=3), max_size=4)
)


def written(file: dict[str, dict[str, list[str]]], seed: int) -> str:
    """The same file, with its sections and keys in any order, split, and commented."""
    shuffle = random.Random(seed)
    parts = [(section, key, values) for section, keys in file.items() for key, values in keys.items()]
    shuffle.shuffle(parts)
    lines = []
    for section, key, values in parts:
        lines.append(f"[{section}]")
        for value in values:
            lines += shuffle.sample(["# comment", "", "  ; comment"], shuffle.randrange(3))
            lines.append(shuffle.choice([f"{key}={value}", f"  {key} =  {value} ", f"{key}=\\\n# comment\n {value}"]))
    return "\n".join(lines) + shuffle.choice(["", "\n"])


@given(FILES, st.integers(0, 9), st.integers(0, 9))
def test_order_comments_and_white_space_mean_nothing(file: dict[str, dict[str, list[str]]], one: int, other: int) -> None:
    assert difference(UnitFile.parse(written(file, one)), UnitFile.parse(written(file, other))).is_nothing


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    assert difference(UnitFile.parse(text), UnitFile.parse(text)).is_nothing
