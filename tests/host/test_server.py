"""The protocol's server: hostile requests, and errors without a traceback."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployer.formats.frames import FrameDecoder, FrameRefused, encode_document
from deployer.host import channel
from deployer.host.channel import Channel
from deployer.host.server import Server
from tests.host.world import World, activation


class Wire:
    """A controller's end of a channel to a server in a thread."""

    def __init__(self, world: World, before_effect: Callable[[str, str], None] = lambda operation, path: None) -> None:
        self._reading, theirs = os.pipe()
        from_us, self._writing = os.pipe()
        self.refused: list[FrameRefused] = []
        server = Server(world.machine(before_effect), Channel(from_us, theirs))

        def serve() -> None:
            try:
                server.serve()
            except FrameRefused as error:
                self.refused.append(error)
            finally:
                os.close(theirs)

        self._thread = threading.Thread(target=serve)
        self._thread.start()
        self._decoder = FrameDecoder()

    def send(self, data: bytes) -> None:
        os.write(self._writing, data)

    def ask(self, on_event: Callable[[Any], None] = lambda event: None, /, **request: Any) -> dict[str, Any]:
        self.send(encode_document({"id": 7, **request}))
        while True:
            for frame in self._decoder.feed(os.read(self._reading, 65536)):
                document = frame.document()
                assert document["id"] == 7
                if "event" not in document:
                    return document
                on_event(document["event"])

    def close(self) -> None:
        os.close(self._writing)
        self._thread.join(10)
        os.close(self._reading)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "host")


@pytest.fixture
def wire(world: World):
    wire = Wire(world)
    yield wire
    wire.close()


@pytest.mark.parametrize(
    "request_",
    [
        {"verb": "format-disk"},
        {"verb": 1},
        {},
        {"verb": "confirm"},
        {"verb": "confirm", "transaction": [], "token": "x"},
        {"verb": "activate", "system": "/nix/store/x"},
        {"verb": "activate", "surprise": 1},
        {"verb": "attach", "transaction": "no such"},
        {"verb": "cancel", "transaction": "../../etc/passwd"},
        {"verb": "observe", "ignore": "all"},
        {"verb": "uninstall", "dry_run": "yes"},
        {"verb": "plan", "system": "/nix/store/x", "manifest": "{", "repair": False},
    ],
)
def test_a_request_that_is_not_ours_is_answered_with_an_error(wire: Wire, request_: dict[str, Any]) -> None:
    answer = wire.ask(**request_)

    assert "ok" not in answer
    assert answer["error"]["message"]
    assert "Traceback" not in str(answer)


@pytest.mark.parametrize(
    ("field", "value"),
    [("transaction", "x" * 32), ("token_sha256", "short"), ("controller", "a\x1b[2J"), ("controller", "x" * 500), ("epoch", -1)],
)
def test_an_activation_with_a_field_out_of_bounds_is_refused(world: World, wire: Wire, field: str, value: Any) -> None:
    document = {**activation("/nix/store/x").to_document(), field: value}

    answer = wire.ask(verb="activate", **document)

    assert answer["error"]["error"] == "RequestRefused"
    assert not (world.root / "var/lib/deployer/journal").exists()


def test_a_system_that_is_not_in_the_store_is_refused(wire: Wire) -> None:
    answer = wire.ask(verb="activate", **activation("/nix/store/missing").to_document())

    assert answer["error"]["error"] == "SystemMissing"
    assert answer["error"]["exit_code"] == 1


def test_a_host_that_is_elsewhere_than_expected_is_left_alone(wire: Wire) -> None:
    answer = wire.ask(verb="activate", **activation("/nix/store/x", previous="/nix/store/other").to_document())

    assert answer["error"]["error"] == "PreviousChanged"


def test_the_status_of_an_untouched_host_is_empty_and_leaves_it_untouched(world: World, wire: Wire) -> None:
    answer = wire.ask(verb="status")

    assert answer["ok"]["state"] == ""
    assert answer["ok"]["generations"] == []
    assert not (world.root / "var/lib/deployer").exists()


def test_a_stream_of_garbage_ends_the_connection(world: World) -> None:
    wire = Wire(world)
    wire.send(b"Welcome to Debian!\n")
    wire._thread.join(10)

    assert len(wire.refused) == 1
    os.close(wire._writing)
    os.close(wire._reading)


def test_a_host_whose_disk_is_slow_says_that_it_lives(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "_BEAT", 0.01)
    lives = threading.Event()
    events: list[Any] = []

    def slow(operation: str, path: str) -> None:
        lives.wait(30)

    wire = Wire(world, slow)

    def heard(event: Any) -> None:
        events.append(event)
        lives.set()

    try:
        asked: dict[str, Any] = activation("/nix/store/nowhere").to_document()
        answer = wire.ask(heard, verb="activate", **asked)
    finally:
        wire.close()

    assert "error" in answer
    assert events[0] == {"alive": True}
