"""The script that answers first on a host, run by a real shell."""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deployer.copy.bootstrap import COMMAND, KIT_REFUSED, SCRIPT
from deployer.copy.interpreter import pack
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


LACKING = f"""\
#!/bin/sh
exec {sys.executable} -c 'import sys; sys.modules["sqlite3"] = None; exec(sys.argv[1])' "$3"
"""


def without_python(directory: Path, python: str = "") -> str:
    """The script, on a host whose PATH has all but a fit python3."""
    needed = ("uname", "mktemp", "find", "rm", "head", "gzip", "mkdir", "chmod", "sha256sum", "readlink", "cat", "sh")
    for name in needed:
        (directory / name).symlink_to(shutil.which(name) or name)
    if python:
        (directory / "python3").write_text(python)
        (directory / "python3").chmod(0o755)
    alone = SCRIPT.replace("PATH=${PATH:-/usr/bin}:/usr/sbin:/usr/bin:/sbin:/bin", f"PATH={directory}")
    return alone.replace("/usr/libexec/platform-python", "/nonexistent").replace("/var/lib", str(directory))


def kit(directory: Path) -> bytes:
    (directory / "tree/bin").mkdir(parents=True)
    program = directory / "tree/bin/python3"
    program.write_text('#!/bin/sh\necho "ran $1 $(cat) from ${0%/deployer-python.*}"\n')
    program.chmod(0o755)
    (directory / "tree/data").write_bytes(bytes(range(256)) * 400)
    return pack(directory / "tree")


@pytest.mark.parametrize(("python", "lacking"), [("", "python3"), (LACKING, "sqlite3")])
def test_what_a_host_lacks_is_told_and_a_kit_is_run_and_removed(tmp_path: Path, python: str, lacking: str):
    sent, place = kit(tmp_path), tmp_path / "host"
    place.mkdir()

    ended = converse(f"serve /nonexistent 0\nkit {len(sent)}\n".encode() + sent + b"frames", without_python(place, python))

    assert ended.stderr == b""
    assert ended.stdout.decode().splitlines()[1:] == [
        f"python {os.uname().machine} {lacking}",
        "send",
        f"ran -I frames from {place}",
    ]
    assert not list(place.glob("deployer-python.*"))


@pytest.mark.parametrize("damage", [lambda sent: sent[:-400], lambda sent: sent[:-4000] + bytes(4000)])
def test_a_damaged_kit_is_refused_and_removed(tmp_path: Path, damage: Callable[[bytes], bytes]):
    whole, place = kit(tmp_path), tmp_path / "host"
    sent = damage(whole)
    place.mkdir()

    ended = converse(f"serve /nonexistent 0\nkit {len(whole)}\n".encode() + sent, without_python(place))

    assert ended.returncode == KIT_REFUSED
    assert b"ran" not in ended.stdout
    assert not list(place.glob("deployer-python.*"))


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a b", "$(touch out)", "bin/../../out", "a;b"])
def test_a_name_in_a_kit_that_leads_elsewhere_is_refused(tmp_path: Path, name: str):
    sent, place = gzip.compress(f"f 1 {name}\nx".encode()), tmp_path / "host"
    place.mkdir()
    before = sorted(tmp_path.rglob("*"))

    ended = converse(f"serve /nonexistent 0\nkit {len(sent)}\n".encode() + sent, without_python(place))

    assert ended.returncode == KIT_REFUSED
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.parent != place] == []


def test_another_word_than_ours_is_not_acted_on(tmp_path: Path):
    ended = converse(b"rm -rf /\n")

    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) == 1


def test_the_command_reaches_a_shell_whatever_login_shell_there_is():
    ended = subprocess.run(["bash", "-c", COMMAND], input=b"", capture_output=True, timeout=30, check=False)

    assert ended.stdout.startswith(b"deployer-state 1 ")
