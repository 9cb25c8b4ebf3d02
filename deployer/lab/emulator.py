"""Programs of another architecture, run on this machine for a while: a Debian tree is made by programs of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from deployer.process import run

_FORMATS: Final = Path("/proc/sys/fs/binfmt_misc")
_REGISTER: Final = "register"
_MAGIC: Final = {
    "arm64": (
        "aarch64",
        r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
        r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
    )
}
"""By Debian's name: qemu's name, and how the kernel knows programs."""


@contextlib.asynccontextmanager
async def emulated(architecture: str) -> AsyncIterator[None]:
    """Have the kernel run programs of an architecture by qemu inside the block, also below another root.

    It is the kernel of all containers of this machine that learns it, so it is made to forget it again, unless it knew
    before. Raises `ProgramFailed` where binfmt_misc can't be mounted, and `OSError` where nothing can be registered.
    """
    name, magic, mask = _MAGIC[architecture]
    is_ours = not (_FORMATS / _REGISTER).exists()
    if is_ours:
        await run(["mount", "-t", "binfmt_misc", "binfmt_misc", _FORMATS])
    try:
        entry = _FORMATS / f"qemu-{name}"
        if entry.exists():
            yield
            return
        # F: the emulator is opened now, so that it need not be in the tree.
        (_FORMATS / _REGISTER).write_text(f":{entry.name}:M::{magic}:{mask}:/usr/bin/qemu-{name}-static:F", encoding="ascii")
        try:
            yield
        finally:
            entry.write_text("-1", encoding="ascii")
    finally:
        if is_ours:
            await run(["umount", _FORMATS])
