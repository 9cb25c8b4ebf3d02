"""The line to PID 1: how jobs ended, and that nothing that comes makes more of it than an unusable line."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployer.host.manager_line import LineUnusable, ManagerLine

REPLY, ERROR, SIGNAL = 2, 3, 4
Serve = Callable[[Callable[[socket.socket], None]], str]


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode() + b"\0"


def padded(data: bytes, to: int) -> bytes:
    return data + bytes(-len(data) % to)


def message(kind: int, signature: str, *values: str | int, answers: int = 0, member: str = "") -> bytes:
    """As systemd writes it."""
    body = b""
    for value in values:
        body = padded(body, 4) + (struct.pack("<I", value) if isinstance(value, int) else text(value))
    fields = b""
    if answers:
        fields = padded(fields, 8) + b"\x05\x01u\0" + struct.pack("<I", answers)
    if member:
        fields = padded(fields, 8) + b"\x03\x01s\0" + text(member)
    fields = padded(fields, 8) + b"\x08\x01g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
    return padded(struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), 7, len(fields)) + fields, 8) + body


def accepted(answers: int, job: str) -> bytes:
    return message(REPLY, "o", f"/job/{job}", answers=answers)


def removed(job: str, unit: str, result: str) -> bytes:
    return message(SIGNAL, "uoss", 1, f"/job/{job}", unit, result, member="JobRemoved")


def greet(line: socket.socket, answer: bytes = b"OK 0123\r\n") -> None:
    said = b""
    while not said.endswith(b"\r\n"):
        said += line.recv(100)
    line.sendall(answer)


def say(*messages: bytes) -> Callable[[socket.socket], None]:
    """A systemd that knows all answers before it is asked; it hangs up when we do."""

    def serve(line: socket.socket) -> None:
        greet(line)
        for one in messages:
            line.sendall(one)
        while line.recv(4096):
            pass

    return serve


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    threads: list[threading.Thread] = []

    def start(work: Callable[[socket.socket], None]) -> str:
        path = str(tmp_path / f"private{len(threads)}")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def run() -> None:
            with listener, listener.accept()[0] as line:
                work(line)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join(10)


def ask(path: str, *names: str, timeout: float = 10) -> dict[str, str]:
    line = ManagerLine(path)
    try:
        return dict(line.have("StartUnit", names, timeout))
    finally:
        line.close()


def test_jobs_are_followed_to_their_ends_in_whatever_order_they_come(serve: Serve) -> None:
    path = serve(
        say(
            message(SIGNAL, "sa{sv}as", "org.freedesktop.systemd1.Unit", member="PropertiesChanged"),
            removed("b", "b.service", "failed"),
            accepted(2, "b"),
            accepted(1, "a"),
            removed("other", "c.service", "failed"),
            message(ERROR, "s", "Unit d.service is masked.", answers=3),
            removed("a", "a.service", "done"),
        )
    )

    assert ask(path, "a.service", "b.service", "d.service") == {
        "a.service": "done",
        "b.service": "failed",
        "d.service": "Unit d.service is masked.",
    }


def test_what_is_not_done_in_time_is_told_as_that(serve: Serve) -> None:
    path = serve(say(accepted(1, "a"), accepted(2, "b"), removed("b", "b.service", "done")))

    assert ask(path, "a.service", "b.service", timeout=0.2) == {"a.service": "", "b.service": "done"}


@pytest.mark.parametrize(
    "serving",
    [
        pytest.param(lambda line: greet(line, b"REJECTED EXTERNAL\r\n"), id="it does not know us"),
        pytest.param(lambda line: greet(line, b""), id="it hangs up before it greets"),
        pytest.param(greet, id="it hangs up"),
        pytest.param(say(b"l" + bytes(3) + b"\xff" * 12), id="an endless message"),
        pytest.param(say(message(REPLY, "o", "/job/a", answers=1)[:-2] + b"\xff\xff"), id="a text that is none"),
        pytest.param(say(message(REPLY, "", answers=1)), id="an answer that says nothing"),
    ],
)
def test_a_line_that_is_not_understood_is_unusable(serve: Serve, serving: Callable[[socket.socket], None]) -> None:
    with pytest.raises(LineUnusable):
        ask(serve(serving), "a.service", timeout=5)


def test_where_nobody_listens_there_is_no_line(tmp_path: Path) -> None:
    with pytest.raises(LineUnusable):
        ManagerLine(str(tmp_path / "nowhere"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_messages_end_in_an_unusable_line_or_in_answers(serve: Serve, data: st.DataObject) -> None:
    whole = accepted(1, "a") + removed("a", "a.service", "done")
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    try:
        answers = ask(serve(say(damaged)), "a.service", timeout=0.01)
    except LineUnusable:
        return
    assert set(answers) == {"a.service"}
