"""The script that answers first on a host, run by a real shell."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deployer.copy.bootstrap import COMMAND, PYTHON_UNFIT, SCRIPT
from deployer.formats.state import StateLine

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the script asks for root")


def converse(said: bytes, script: str = SCRIPT) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["/bin/sh", "-c", script], input=said, capture_output=True, timeout=30, check=False)


def zipapp(main: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("deployer/__init__.py", "")
        archive.writestr("deployer/host/__init__.py", "")
        archive.writestr("deployer/host/main.py", main)
    return buffer.getvalue()


def test_a_host_that_has_never_seen_us_says_so_and_starts_nothing():
    ended = converse(b"", SCRIPT.replace("/var/lib/deployer/state", "/nonexistent/state"))

    assert ended.returncode == 0
    assert StateLine.parse(ended.stdout.decode()) == StateLine()
    assert ended.stderr == b""


@pytest.mark.parametrize(
    ("phase", "system", "said"),
    [
        ("settled", "HERE/system", "settled"),
        ("settled", "/nix/store/00000000000000000000000000000000-gone", "lost"),
        ("settled", "", "settled"),
        ("busy", "/nix/store/00000000000000000000000000000000-gone", "busy"),
    ],
)
def test_the_state_line_is_printed_as_it_stands_unless_the_system_is_gone(tmp_path: Path, phase, system, said):
    (tmp_path / "system").mkdir()
    line = StateLine(phase, 7, system.replace("HERE", str(tmp_path)), 3)
    (tmp_path / "state").write_text(f"{line}\n")

    ended = converse(b"", SCRIPT.replace("/var/lib/deployer/state", str(tmp_path / "state")))

    assert ended.stdout.decode() == f"{dataclasses.replace(line, phase=said)}\n"


def test_a_runtime_that_is_not_there_is_asked_for_and_runs_from_memory():
    image = zipapp("import os\ndef main(arguments):\n    os.write(1, os.read(0, 5) + arguments[0].encode())\n    return 9\n")

    ended = converse(f"serve /nonexistent.pyz {len(image)}\n".encode() + image + b"hello")

    assert ended.stdout.splitlines()[-2:] == [b"send", b"helloserve"]
    assert ended.returncode == 9


def test_a_runtime_that_is_there_is_run_from_where_it_lies(tmp_path: Path):
    (tmp_path / "__main__.py").write_text("import sys\nprint(sys.argv[1], sys.flags.isolated)\n")

    ended = converse(f"serve {tmp_path} 0\n".encode())

    assert ended.stdout.splitlines()[-2:] == [b"ready", b"serve 1"]


def test_a_controller_that_hangs_up_while_it_sends_leaves_nothing_running():
    ended = converse(b"serve /nonexistent.pyz 1000000\nonly a part")

    assert ended.returncode == 0
    assert ended.stderr == b""


def test_a_python_that_lacks_a_part_is_told_by_name(tmp_path: Path):
    crippled = tmp_path / "python3"
    crippled.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.modules[\\"sqlite3\\"] = None; exec(sys.argv[1])" "$3"\n'
    )
    crippled.chmod(0o755)

    ended = converse(b"serve /nonexistent.pyz 1\n", f"PATH={tmp_path}:$PATH\n{SCRIPT}")

    assert ended.returncode == PYTHON_UNFIT
    assert b"sqlite3" in ended.stderr


def test_another_word_than_ours_is_not_acted_on(tmp_path: Path):
    ended = converse(b"rm -rf /\n")

    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) == 1


def test_the_command_reaches_a_shell_whatever_login_shell_there_is():
    ended = subprocess.run(["bash", "-c", COMMAND], input=b"", capture_output=True, timeout=30, check=False)

    assert ended.stdout.startswith(b"deployer-state 1 ")
