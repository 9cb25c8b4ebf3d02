"""deployer: declarative, atomic, self-healing deployments over SSH for the Linux servers you already have."""

from typing import Final

__version__: Final = "0.1.0"
