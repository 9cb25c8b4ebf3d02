"""The page for a first module, done as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial" / "first-module.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w/.]+)`[^\n]*:\n\n```(?:python|yaml)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
CONSOLE = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(MISTAKE,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """With the files of the page."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(directory: Path, command: str) -> str:
    """What a command of the page prints."""
    module, *arguments = command.split()
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        check=False,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": root, "XDG_CACHE_HOME": str(directory / "cache")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return (done.stdout + done.stderr).replace(f"{directory}/", "")


def test_the_module_has_fifteen_lines_at_most():
    assert len(FILES["modules/greeting.py"].splitlines()) <= 15


def test_commands_print_what_the_page_shows(directory):
    shown = [line for block in CONSOLE[:1] for line in re.split(r"^\$ ", block, flags=re.MULTILINE) if line]

    for block in shown:
        command, _, output = block.partition("\n")
        assert run(directory, command) == output


def test_the_mistake_is_explained_as_the_page_shows(directory):
    (directory / "web.yaml").write_text(FILES["web.yaml"].replace("[alice, bob]", "alice"))

    assert run(directory, "deployer check").strip() == MISTAKE.strip()


def test_the_modules_own_test_passes(directory):
    (command,) = (block.removeprefix("$ ").strip() for block in CONSOLE[1:])

    assert "1 passed" in run(directory, f"{command} -p no:cacheprovider")
