"""The launcher of programs as a store path: what starts those that need a root tree of their own around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from deployer.packages.derivation_inputs import Made, make_derivation
from deployer.sandbox import launcher

LAUNCHER: Final = "deployer-launcher"
IN_USE: Final = "DEPLOYER_ENVIRONMENT"
"""The variable in which a program's environment names the trees that it was started from: so no collector takes them away."""


def launcher_tree(store_dir: str) -> Made:
    """The launcher's derivation."""
    files = sorted(Path(launcher.DIRECTORY).glob("*.py"))
    entries = [{"path": file.name, "type": "file", "text": file.read_text(encoding="utf-8")} for file in files]
    return make_derivation(
        LAUNCHER,
        builder="builtin:tree",
        system="builtin",
        environment={"entries": json.dumps(entries, sort_keys=True, ensure_ascii=False)},
        store_dir=store_dir,
    )
