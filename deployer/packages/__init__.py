"""Names to recipes to derivations: packages.yaml, deployer.lock, overlays.

`PackageSet` is the way in: it tells the output path of a package without building it, and writes the derivations of those that
are needed into a store. `lock_packages` writes the lock. Where .debs come from is the machine's business: see `mirrors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deployer.packages.locking import lock_packages
    from deployer.packages.package_set import PackageSet

__all__ = ["PackageSet", "lock_packages"]


def __getattr__(name: str) -> Any:
    """Import late: most commands need no packages."""
    if name == "PackageSet":
        from deployer.packages.package_set import PackageSet

        return PackageSet
    if name == "lock_packages":
        from deployer.packages.locking import lock_packages

        return lock_packages
    raise AttributeError(name)
