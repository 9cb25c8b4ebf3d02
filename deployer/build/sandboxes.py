"""What makes the sandboxes of this machine's builds: our own warden, or bubblewrap where the kernel leaves it to that alone.

Some systems give ordinary users no user namespaces, but make an exception for bubblewrap.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import Final

from deployer.process import ProgramMissing
from deployer.sandbox.bubbles import Bubbles
from deployer.sandbox.cells import Cells
from deployer.sandbox.orphans import end_orphans
from deployer.sandbox.running import Sandboxes

BUBBLEWRAP: Final = "bwrap"


async def open_sandboxes() -> Sandboxes:
    """Whatever can make them, ready. Raises `ProgramMissing` where nothing can."""
    cells = Cells()
    if not await cells.open():
        return cells
    program = shutil.which(BUBBLEWRAP)
    if program is None:
        raise ProgramMissing("bubblewrap")
    await asyncio.to_thread(end_orphans)
    return Bubbles((program,))
