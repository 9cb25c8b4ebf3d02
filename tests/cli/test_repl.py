"""`deployer repl`, by a pipe and on a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from deployer.cli.explored import completions
from tests.cli.conftest import QUICKSTART, Answer

COMMAND = (sys.executable, "-m", "deployer", "-i", str(QUICKSTART / "inventory.yaml"), "repl")
SECONDS = 60.0


def piped(*lines: str, host: str = "web1") -> Answer:
    """What comes of lines from a pipe."""
    ended = subprocess.run(
        [*COMMAND, host], input="\n".join(lines) + "\n", check=False, capture_output=True, text=True, timeout=SECONDS
    )
    return Answer(ended.returncode, ended.stdout, ended.stderr)


class Terminal:
    """A person at a prompt."""

    def __init__(self) -> None:
        """The command begins."""
        self.ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            COMMAND, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)

    def says(self, until: str) -> str:
        """What it prints up to these words."""
        seen, end = "", time.monotonic() + SECONDS
        while until not in seen:
            ready, _, _ = select.select([self.ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {until!r} in {seen!r}"
            seen += os.read(self.ours, 4096).decode()
        return seen.replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """Keys are pressed."""
        os.write(self.ours, text.encode())


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.process.kill()
    made.process.wait()
    os.close(made.ours)


def test_values_are_printed_and_nothing_else():
    answer = piped(
        'config.etc["motd"].text[:4]',
        "config.activation.check_deadline",
        "config.activation",
        "config.services.redis",
        'option("systemd.services.hello.service.User")',
        "names = [name for name in config.etc if 'motd' in name]",
        "names, host, hosts",
        "_[0]",
    )

    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[:4] == ["'web1'", "10.0", "unit_timeout: 90.0", "check_deadline: 10.0"]
    assert lines[8:] == [
        "<services.redis: address, memory_max, package, port, settings>",
        "'hello'",
        "(['motd'], 'web1', ['web1', 'web2', 'watch1'])",
        "['motd']",
    ]


def test_definitions_are_traced_and_another_host_can_be_looked_at():
    answer = piped('trace("activation.check_deadline")', 'use("watch1")', "host", "for name in hosts[:2]:", "  name", "")

    assert answer.code == 0
    assert f"{QUICKSTART}/web.yaml:" in answer.out
    assert answer.out.splitlines()[-3:] == ["'watch1'", "'web1'", "'web2'"]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ('config.etc["modt"]', 2, "Did you mean 'etc.motd'"),
        ("config.servces", 2, "there is no option 'servces'"),
        ('option("activation.unit_timeuot")', 2, "activation.unit_timeout"),
        ('use("web*")', 2, "'web*' means 2 hosts: web1, web2"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("a b", 2, "SyntaxError"),
        ("len(", 2, "the input ends in the middle of an expression"),
        ("exit(7)", 7, ""),
    ],
)
def test_the_first_error_ends_what_comes_from_a_pipe(line, code, said):
    answer = piped(line, *(["'not reached'"] if line != "len(" else []))

    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def test_several_hosts_are_refused():
    assert piped("1", host="web*").code == 2


def test_a_person_has_a_prompt_completion_and_errors_that_end_nothing(terminal):
    assert "web1 of 3 hosts. Nothing is evaluated before you look at it" in terminal.says(">>> ")
    terminal.type("config.activ\t.check_deadline\n")
    assert "10.0" in terminal.says("\n>>> ")
    terminal.type("config.nonsense\n")
    assert "there is no option 'nonsense'" in terminal.says("\n>>> ")
    terminal.type("hosts[2]\n")
    assert "'watch1'" in terminal.says("\n>>> ")
    terminal.type("\x04")
    assert terminal.process.wait(SECONDS) == 0


def test_completion_is_by_parts_of_names():
    options = ["etc", "services.nginx.sites", "services.nginx.user", "services.redis.port"]

    assert completions("config.s", options, ["hosts"]) == ["config.services"]
    assert completions("config.services.", options, ["hosts"]) == ["config.services.nginx", "config.services.redis"]
    assert completions("ho", options, ["hosts", "host", "use"]) == ["host", "hosts"]
