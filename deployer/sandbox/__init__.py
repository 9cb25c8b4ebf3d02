"""One build script in a sandbox, on whichever machine: what it sees, what it may call, how it is watched, how it ends.

The controller runs it for builds of its own, and a builder for those that it is sent (`deployer.host.building`): the same code,
so that nothing about a build depends on where it runs. What to run is a `formats.building.BuildOrder`. Standard library only,
Python 3.9 and up.
"""

from deployer.sandbox.order import lay_out, made_by
from deployer.sandbox.orphans import end_orphans
from deployer.sandbox.running import RunLimits, run_in_sandbox
from deployer.sandbox.spec import SandboxSpec

__all__ = ["RunLimits", "SandboxSpec", "end_orphans", "lay_out", "made_by", "run_in_sandbox"]
