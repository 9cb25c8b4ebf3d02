"""One build script of a derivation, run in this machine's sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deployer.build.engine import OnLine
from deployer.build.logs import LogWriter
from deployer.build.printed import Printed
from deployer.formats.building import BuildOrder
from deployer.sandbox import RunLimits, lay_out, made_by, run_in_sandbox
from deployer.sandbox.running import Sandboxes
from deployer.store import Store


@dataclass(frozen=True, slots=True)
class Script:
    """What is to be run, in a scratch directory of its own."""

    store: Store
    order: BuildOrder
    scratch: Path
    log: LogWriter
    """What it prints."""
    sandboxes: Sandboxes

    @property
    def made(self) -> dict[str, Path]:
        """Where the outputs stand afterwards, if the script made them."""
        return made_by(self.order, self.scratch)

    async def run(self, on_line: OnLine) -> None:
        """Run it to its end. Raises `BuildFailed`, `BuildTimedOut`, `LogTooLong`."""
        order, printed = self.order, Printed(self.log, on_line)
        spec = lay_out(order, self.store.physical, self.scratch)
        limits = RunLimits(order.timeout, order.silence_timeout, order.log_limit)
        try:
            ending = await run_in_sandbox(self.sandboxes, spec, limits=limits, on_output=printed.write)
        finally:
            printed.finish()
        if not ending.is_good:
            raise printed.failure(order, ending)
