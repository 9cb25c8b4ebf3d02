"""Command lines and names of units as systemd reads them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from deployer.config import command_line, quoted, unit_name


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["/bin/x", "--a=b", "c:d"], "/bin/x --a=b c:d"),
        (["/bin/x", ""], '/bin/x ""'),
        (["/bin/x", "a b", ";"], '/bin/x "a b" ";"'),
        (["/bin/x", '"\\'], '/bin/x "\\"\\\\"'),
        (["/bin/x", "100% $HOME\n"], '/bin/x "100%% $$HOME\\n"'),
    ],
)
def test_words_reach_the_program_letter_for_letter(words, line):
    assert command_line(words) == line


def test_one_word_is_in_quotes():
    assert quoted("A=b c") == '"A=b c"'


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "-"),
        ("/srv/data", "srv-data"),
        ("//srv//my-data/", "srv-my\\x2ddata"),
        ("/.hidden/a.b", "\\x2ehidden-a.b"),
        ("/mnt/ü x", "mnt-\\xc3\\xbc\\x20x"),
    ],
)
def test_paths_have_the_names_that_systemd_gives_them(path, name):
    assert unit_name(path) == name
    if shutil.which("systemd-escape"):
        told = subprocess.run(["systemd-escape", "-p", path], capture_output=True, text=True, check=True)
        assert told.stdout.strip() == name
