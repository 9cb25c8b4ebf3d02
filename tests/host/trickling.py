"""A server that never ends what it has begun to say."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def trickling(beginning: bytes) -> Iterator[str]:
    """Its URL. Whoever asks gets the beginning, and then one byte after another for as long as the context lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def trickle() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(beginning)
                while not done.wait(0.05):
                    try:
                        client.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            done.set()
            thread.join()
