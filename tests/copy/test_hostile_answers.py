"""A host that lies, babbles or never ends: the controller ends the conversation with an error of its own, in bounded memory."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from deployer.copy.conversation import RuntimeImage
from deployer.copy.session import HostSession
from deployer.errors import DeployerError
from deployer.formats.frames import JSON_KIND, MAX_JSON_DEPTH, FrameRefused, encode_data, encode_document, encode_end
from deployer.formats.messages import Activation
from deployer.formats.state import StateLine
from tests.ssh.sshd import host

ACTIVATION = Activation("/nix/store/x", "0" * 32, "alice@laptop", "0" * 64)


class Line:
    """The host's end of a channel, as bytes that come one piece after another."""

    stderr_tail = ""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def write(self, data: bytes) -> None:
        """What we say is of no interest to it."""

    async def drain(self) -> None:
        """It takes all."""

    async def readline(self) -> bytes:
        return b"ready\n"

    async def read(self, limit: int) -> bytes:
        return next(self._pieces, b"")

    async def wait(self) -> int:
        return 0


def session(pieces: Iterator[bytes]) -> HostSession:
    line: Any = Line(pieces)
    return HostSession(host(address="192.0.2.1"), line, line, StateLine(), lambda: RuntimeImage("/nix/store/r", b""))


def ask(pieces: Iterator[bytes], verb: str) -> Any:
    async def work() -> Any:
        talk = session(pieces)
        match verb:
            case "activate":
                return await talk.activate(ACTIVATION, lambda _: None)
            case "missing":
                return await talk.missing(["/nix/store/a"], ["b"])
            case "plan":
                return await talk.plan("/nix/store/x", b"{}")
            case "observe":
                return await talk.observe()
            case "check":
                return await talk.check()
            case "status":
                return await talk.status()
            case "manifest":
                return await talk.manifest("/nix/store/x")
        return await talk.hello()

    return asyncio.run(work())


def frame(payload: bytes, kind: bytes = JSON_KIND) -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


ETC = {"kind": "etc", "operation": "add", "target": "a"}
ANSWERS = {
    "hello": {"protocol": 1, "hostname": "h", "distribution": "d", "machine": "x", "python": "3", "systemd": 1, "boot_id": "b"},
    "plan": {
        "system": "/nix/store/x",
        "previous": "",
        "generation": 1,
        "actions": [ETC],
    },
    "status": {"state": "", "transaction": "", "reason": "", "generation": 0, "system": "", "epoch": 0, "generations": []},
    "activate": {"transaction": "t", "state": "healthy", "generation": 1, "system": "/nix/store/x"},
    "missing": {"missing": ["/nix/store/a"], "held": []},
    "observe": {"drift": [{"kind": "etc", "target": "a", "declared": "b", "observed": "c"}]},
    "check": {"checks": [{"name": "a", "healthy": True, "message": ""}]},
    "manifest": {"manifest": "{}"},
}
ODD: list[Any] = [
    *(None, True, -1, 1 << 70, 1e308, "", "\x1b[2J", "\ud800", "x" * 100_000),
    *([], [[]], {}, {"a": []}, ["/nix/store/other"]),
]


def test_no_answer_however_wrong_ends_in_anything_but_an_error_of_ours():
    seed = int(os.environ.get("FUZZ_SEED", random.SystemRandom().randrange(1 << 32)))
    sys.stdout.write(f"FUZZ_SEED={seed}\n")
    choose, told = random.Random(seed), list[str]()
    for _ in range(int(os.environ.get("FUZZ_ROUNDS", "1500"))):
        verb = choose.choice([*ANSWERS])
        answer: dict[str, Any] = json.loads(json.dumps(ANSWERS[verb]))
        for _ in range(choose.randrange(3)):
            places = [answer, *(item[0] for item in answer.values() if isinstance(item, list) and item)]
            place = choose.choice([place for place in places if isinstance(place, dict)])
            place[choose.choice([*place, "surprise"])] = choose.choice(ODD)
        document = {"id": choose.choice([1, 1, 1, 1, 2, "1", None]), choose.choice(["ok", "ok", "ok", "event", "error"]): answer}
        data = bytearray(frame(json.dumps(document).encode(), choose.choice([b"J", b"J", b"J", b"D", b"E", b"\xff"])))
        for _ in range(choose.choice([0, 0, 1, 5])):
            data[choose.randrange(len(data))] = choose.randrange(256)
        try:
            ask(iter([bytes(data[: choose.choice([len(data), choose.randrange(len(data))])])]), verb)
        except DeployerError as error:
            told.append(str(error))
    assert len(told) > 500
    assert not any("\x1b" in message for message in told)
    "".join(told).encode()


@pytest.mark.parametrize(
    "payload",
    [
        b'{"id": 1, "ok": {}, "ok": {}}',
        b'{"id": 1, "ok": {"a": NaN}}',
        b'{"id": 1, "ok": {"a": 1e999}}',
        b'{"id": 1, "ok": {"a": %s}}' % (b"9" * 1_000_000),
        b'{"id": 1, "ok": {"a": "\\ud800"}}',
        b'{"id": 1, "ok": ' + b'{"a":' * MAX_JSON_DEPTH + b"1" + b"}" * MAX_JSON_DEPTH + b"}",
        b"[" * 1_000_000,
        b'{"id": 1, "ok": {"a": [' + b"[]," * 2_000_000 + b"[]]}}",
        b"\xff\xfe",
        b"null",
    ],
    ids=range(10),
)
def test_json_that_two_readers_could_read_in_two_ways_or_that_grows_is_refused(payload: bytes):
    tracemalloc.start()
    try:
        with pytest.raises(FrameRefused):
            ask(iter([frame(payload)]), "hello")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


EVENT = encode_document({"id": 1, "event": {"log": "x" * 60_000}})


@pytest.mark.parametrize(
    ("piece", "verb"),
    [
        (EVENT, "activate"),
        (encode_data(b"x" * 65_000), "hello"),
        (frame(b"x" * (16 << 20)), "hello"),
        (b"J\xff\xff\xff\xff", "hello"),
        (encode_end(), "status"),
        (b"Welcome! " * 7000, "plan"),
    ],
    ids=["events", "data", "documents", "length", "ends", "text"],
)
def test_a_host_that_answers_a_gibibyte_is_cut_off_in_bounded_memory(piece: bytes, verb: str):
    sent = 0

    def babble() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += len(piece)
            yield piece

    tracemalloc.start()
    try:
        with pytest.raises(FrameRefused):
            ask(babble(), verb)
        assert tracemalloc.get_traced_memory()[1] < 96 << 20
    finally:
        tracemalloc.stop()
    assert sent < 256 << 20


@pytest.mark.parametrize("rest", ["1 - " + "9" * 60_000, "٣ - 0", "1 /\x1b[2J 0", "-1 - 0", "1 - 0 0"])
def test_a_state_line_that_is_not_ours_is_refused(rest: str):
    with pytest.raises(FrameRefused) as caught:
        StateLine.parse(f"deployer-state 1 settled {rest}")

    assert "\x1b" not in caught.value.message


def test_that_a_host_lives_is_no_event_of_an_activation():
    """A controller counts those, to leave out what another connection has told."""
    alive, state = {"alive": True}, {"state": "switching"}
    said: list[dict[str, Any]] = [{"event": alive}, {"event": state}, {"event": alive}, {"ok": ANSWERS["activate"]}]
    pieces = [frame(json.dumps({"id": 1, **one}).encode()) for one in said]
    events: list[Any] = []

    outcome = asyncio.run(session(iter(pieces)).attach("t", events.append))

    assert outcome.state == "healthy"
    assert events == [state]
