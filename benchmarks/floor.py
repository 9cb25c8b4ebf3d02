"""The floor: connect to every host at once and run one command there. Prints the seconds it took and the answers, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import asyncssh


async def visit(address: str, command: str, known_hosts: str, key: str) -> str:
    """Run the command on one host, over a connection of its own; what it printed."""
    async with asyncssh.connect(address, username="root", known_hosts=known_hosts, client_keys=[key], config=None) as connection:
        return str((await connection.run(command, check=True)).stdout)


async def visit_all(lab: Path, command: str, addresses: list[str]) -> list[str]:
    """All at once; no answer may be missing."""
    hosts = (visit(address, command, str(lab / "known_hosts"), str(lab / "key")) for address in addresses)
    async with asyncio.timeout(120):
        return list(await asyncio.gather(*hosts))


if __name__ == "__main__":
    began = time.monotonic()
    answers = asyncio.run(visit_all(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
    sys.stdout.write(json.dumps({"seconds": time.monotonic() - began, "answers": answers}))
