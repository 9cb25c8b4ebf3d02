"""Requests as nobody of ours would send them: each is answered with an error, or ends the connection; nothing is changed."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from deployer.formats.frames import FrameDecoder, FrameRefused, encode_data, encode_document, encode_end
from deployer.formats.messages import Activation
from deployer.host.channel import Channel
from deployer.host.server import Server
from tests.host.world import World

VERBS = [
    *("hello", "missing", "import", "describe", "export", "adopt", "plan", "activate", "attach", "confirm", "cancel", "manifest"),
    *("status", "check", "observe", "nonsense", ""),
]
"""All but what is meant to change a host that has never seen us."""
ODD: list[Any] = [None, True, -1, 1 << 62, 0.5, "", "\x1b[2J", "../../etc", "/nix/store/x", "x" * 5000, [], [[]], {}, ["a"], [1]]
FIELDS = [
    *("paths", "files", "system", "manifest", "transaction", "token", "compression", "hash_parts", "path"),
    *("nar_hash", "nar_size"),
]
FRAMES = [encode_data(b"x" * 100), encode_end(), b"J\0\0\0\x02[]", b"J\0\0\0\x04null", b'J\0\0\0\x0e{"id":1,"id":2}']


def talk(world: World, data: bytes) -> tuple[list[dict[str, Any]], list[BaseException]]:
    """Send all of it to a server, and hang up; what it answered, and what ended it."""
    reading, theirs = os.pipe()
    from_us, writing = os.pipe()
    ended: list[BaseException] = []

    def serve() -> None:
        try:
            Server(world.machine(), Channel(from_us, theirs)).serve()
        except BaseException as error:
            ended.append(error)
        finally:
            os.close(theirs)
            os.close(from_us)

    def send() -> None:
        try:
            with io.FileIO(writing, "w") as out:
                out.write(data)
        except BrokenPipeError:
            pass

    threads = [threading.Thread(target=work) for work in (serve, send)]
    for thread in threads:
        thread.start()
    decoder, answers = FrameDecoder(), list[dict[str, Any]]()
    while piece := os.read(reading, 65536):
        answers += [frame.document() for frame in decoder.feed(piece)]
    os.close(reading)
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return answers, ended


def test_no_order_of_wrong_requests_does_more_than_fail(tmp_path: Path):
    seed = int(os.environ.get("FUZZ_SEED", random.SystemRandom().randrange(1 << 32)))
    sys.stdout.write(f"FUZZ_SEED={seed}\n")
    choose, world = random.Random(seed), World(tmp_path / "host")
    asked = Activation("/nix/store/x", "0" * 32, "alice@laptop", "0" * 64).to_document()
    before = {str(path.relative_to(world.root)) for path in world.root.rglob("*")}
    answered = 0
    for _ in range(int(os.environ.get("FUZZ_ROUNDS", "300"))):
        data = b""
        for _ in range(choose.randrange(1, 5)):
            verb = choose.choice(VERBS)
            fields: dict[str, Any] = dict(asked) if verb == "activate" else {}
            for _ in range(choose.randrange(4)):
                fields[choose.choice([*FIELDS, *fields])] = choose.choice(ODD)
            request = encode_document({"id": choose.choice([1, 1, "x", None, -5]), "verb": verb, **fields})
            data += choose.choice([request, request, request, choose.choice(FRAMES), request[: choose.randrange(len(request))]])
        answers, ended = talk(world, data)
        assert all(isinstance(error, FrameRefused) for error in ended), ended
        assert "Traceback" not in json.dumps(answers)
        answered += len(answers)
    assert answered > 100
    after = {str(path.relative_to(world.root)) for path in world.root.rglob("*")} - before
    assert [path for path in after if not path.startswith(("nix", "var"))] == []
    assert world.machine().journal.read().transaction == ""


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
from pathlib import Path
from deployer.formats.frames import FrameRefused
from deployer.host.channel import Channel
from deployer.host.server import Server
from tests.host.world import World
try:
    Server(World(Path(sys.argv[1])).machine(), Channel(0, 1)).serve()
except FrameRefused as error:
    print(error.message, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("piece", "many"),
    [
        (b"x" * 65_536, 4000),
        (b"J\x7f\xff\xff\xff" + b"x" * 65_000, 4000),
        (b"J\x01\xff\xff\xff" + b"[" * 65_000, 600),
        (encode_document({"id": 1, "verb": "hello", "x": "y" * 1_000_000}), 60),
        (encode_document({"id": 1, "verb": "import", "compression": "none", "paths": 1}) + encode_data(b"x" * 65_000) * 10, 100),
    ],
    ids=["text", "length", "nested", "large", "stream"],
)
def test_a_controller_that_sends_without_end_is_served_in_bounded_memory(tmp_path: Path, piece: bytes, many: int):
    process = subprocess.Popen(
        [sys.executable, "-c", LIMITED, str(tmp_path / "host")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        for _ in range(many):
            process.stdin.write(piece)
        process.stdin.close()
    except BrokenPipeError:
        pass
    said = process.stderr.read().decode()

    assert process.wait(60) == 0, said
    assert "Traceback" not in said
    assert "MemoryError" not in said
