"""`deployer cache`."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from deployer.cli.options import json_option, store_option


@click.group("cache")
def command() -> None:
    """Be a binary cache for others."""


@command.command("serve")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 is everywhere.")
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="0: any that is free.")
@click.option(
    "-k", "--key-file", "key_files", type=click.Path(path_type=Path), multiple=True, metavar="FILE", help="Sign with it."
)
@click.option("--compression", type=click.Choice(["zstd", "xz", "none"]), default="zstd", show_default=True)
@click.option("--priority", type=click.IntRange(min=0), default=30, show_default=True, help="Lower is asked first by others.")
@store_option
@json_option
@click.pass_context
def serve(context: click.Context, address: str, port: int, key_files: tuple[Path, ...], compression: str, priority: int) -> None:
    """Serve the store over HTTP to deployer and Nix, until it is interrupted. All that is valid can be read by all who ask.

    Put a web server before it that speaks TLS, if it is to be reached from elsewhere.
    """
    from deployer.cache.keys import SecretKey
    from deployer.cache.serve import CacheServer
    from deployer.cli.store.errors import translate
    from deployer.cli.store.naming import open_store
    from deployer.cli.store.printing import Printer

    try:
        keys = [SecretKey.parse(file.read_text()) for file in key_files]
    except (OSError, UnicodeError) as error:
        raise translate(error) from None
    store = open_store(context, existing=True)
    printer = Printer(context)
    stops = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        with CacheServer(store, (address, port), keys=keys, compression=compression, priority=priority) as server:
            thread = threading.Thread(target=server.serve_forever, name="deployer-cache")
            thread.start()
            printer.say(f"Serving {store.root} at {server.url}; Ctrl-C ends it.")
            if printer.as_json:
                printer.document({"url": server.url, "keys": [str(key.public) for key in keys]})
            signal.sigwait(stops)
            server.shutdown()
            thread.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
