"""Programs on a host: bounded in time and output, and killed with their children."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from deployer.host import process
from deployer.host.process import Completed, ProgramFailed, ProgramMissing, ProgramTimedOut, last_words, one_line, run


def test_input_goes_in_and_output_comes_out() -> None:
    completed = run(["sh", "-c", "cat; echo aside >&2"], stdin=b"x" * 1_000_000)

    assert completed.stdout == b"x" * 1_000_000
    assert completed.stderr == b"aside\n"
    assert completed.status == 0


def test_a_program_that_ignores_its_input_is_not_an_error() -> None:
    assert run(["true"], stdin=b"x" * 1_000_000).status == 0


def test_a_status_other_than_0_is_an_error_with_the_last_words() -> None:
    with pytest.raises(ProgramFailed, match="ended with status 3: why not") as caught:
        run(["sh", "-c", "echo why not >&2; exit 3"])

    assert caught.value.status == 3
    assert run(["sh", "-c", "exit 3"], check=False).status == 3


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ProgramMissing, match="'no-such-program' cannot be run on the host: it is not installed"):
        run(["no-such-program"])


def test_what_is_not_a_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing, match="Permission denied"):
        run([str(tmp_path)])


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    note = tmp_path / "child"
    began = time.monotonic()

    with pytest.raises(ProgramTimedOut, match=r"did not end within 0.3 s"):
        run(["sh", "-c", f"sleep 60 & echo $! > {note}; wait"], timeout=0.3)

    assert time.monotonic() - began < 5
    child = int(note.read_text())
    deadline = time.monotonic() + 5
    while _is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_alive(child)


class EndsAsItSpeaks:
    """A program that says its only word after we have looked, and has ended when we ask whether it has; a child of its keeps
    the output open."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.stdin, self.stdout, self.stderr = None, os.fdopen(reading, "rb"), None
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            os.write(self._writing, b"word")
            self.returncode = 0
        return self.returncode

    def end(self) -> None:
        os.close(self._writing)


def test_what_a_program_says_as_it_ends_is_heard() -> None:
    program = EndsAsItSpeaks()

    with process._Conversation(program, b"") as conversation:  # type: ignore[arg-type]
        assert conversation.hold(time.monotonic() + 5)
    program.end()

    assert bytes(conversation.stdout) == b"word"


def test_a_child_that_keeps_the_output_open_is_not_waited_for() -> None:
    began = time.monotonic()

    completed = run(["sh", "-c", "echo done; sleep 5 &"], timeout=20)

    assert completed.text == "done"
    assert time.monotonic() - began < 4


def test_output_beyond_the_bounds_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MAX_STDOUT", 10)
    monkeypatch.setattr(process, "MAX_STDERR", 4)

    completed = run(["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' a; echo 1234567 >&2"])

    assert completed.stdout == b"a" * 10
    assert completed.stderr == b"567\n"


def test_a_program_runs_in_a_plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")

    lines = run(["env"], environment={"MORE": "1"}).text.splitlines()

    assert "MORE=1" in lines
    assert "LC_ALL=C.UTF-8" in lines
    assert not any(line.startswith("SECRET=") for line in lines)
    assert run(["pwd"]).text == "/"


def test_words_for_people_are_printable_and_bounded() -> None:
    assert one_line("a\x1b[31m\nb\tc") == "a [31m b c"
    assert len(one_line("x" * 1000, 50)) == 50
    assert last_words(b"one\n\ntwo\nthree\nfour\n") == "two | three | four"
    assert Completed(("x",), 1, b"out\n", b"").last_words == "out"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
