"""What makes the sandboxes of this machine's builds: our own warden, or bubblewrap where the kernel leaves it to that alone.

Some systems give ordinary users no user namespaces, but make an exception for bubblewrap.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import Final

from deployer.errors import DeploymentError
from deployer.sandbox.bubbles import Bubbles
from deployer.sandbox.cells import Cells
from deployer.sandbox.orphans import end_orphans
from deployer.sandbox.running import Sandboxes

BUBBLEWRAP: Final = "bwrap"


class SandboxesRefused(DeploymentError):
    """This machine lets us make no sandboxes for builds, and has no bubblewrap that it might let."""

    reason: str

    @property
    def message(self) -> str:
        """Why not."""
        return f"no sandbox can be made for builds ({self.reason}), and there is no bubblewrap that might"

    @property
    def remedy(self) -> str:
        """What whoever is root here may allow, and what does without."""
        return (
            "Allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns), or install bubblewrap, or build elsewhere: --builder ssh://HOST."
        )


async def open_sandboxes() -> Sandboxes:
    """Whatever can make them, ready. Raises `SandboxesRefused` where nothing can."""
    cells = Cells()
    refused = await cells.open()
    if not refused:
        return cells
    program = shutil.which(BUBBLEWRAP)
    if program is None:
        raise SandboxesRefused(refused.removeprefix("deployer: "))
    await asyncio.to_thread(end_orphans)
    return Bubbles((program,))
