"""Reading sources, of whatever kind they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deployer.errors import DeployerError
from deployer.inventory.errors import InventoryMissing
from deployer.inventory.models import Fleet

if TYPE_CHECKING:
    from deployer.inventory.draft import Draft


def load_fleet(sources: Sequence[Path]) -> Fleet:
    """The fleet that several sources describe together; later ones win, key by key.

    Raises all that is wrong with them, together.
    """
    from deployer.inventory.draft import Draft
    from deployer.inventory.resolve import resolve

    draft = Draft()
    for source in sources:
        try:
            _read(source, draft)
        except DeployerError as error:
            draft.errors.append(error)
    return resolve(draft, _default_packages(sources))


def _read(source: Path, draft: Draft) -> None:
    if not source.exists():
        raise InventoryMissing(str(source))
    from deployer.inventory.native import read_native
    from deployer.yaml_source import load, top_mapping

    top = top_mapping(load(source), "an inventory")
    read_native(top, draft)


def _default_packages(sources: Sequence[Path]) -> Path | None:
    """`packages.yaml` beside the first source."""
    if not sources:
        return None
    first = sources[0].absolute()
    beside = (first if first.is_dir() else first.parent) / "packages.yaml"
    return beside if beside.is_file() else None
