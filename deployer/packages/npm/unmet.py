"""What npm says of packages that want another Node, and does not refuse."""

from __future__ import annotations

from typing import Final

from deployer.packages.npm.platform import NodePlatform
from deployer.packages.npm.selection import LockedProject
from deployer.packages.recipes import NpmRecipe

_MOST_NAMED: Final = 5


def warning_of_unmet(recipe: NpmRecipe, interpreter: str, platform: NodePlatform, project: LockedProject) -> str:
    """A sentence about those of the project, with the place of its recipe."""
    version = ".".join(map(str, platform.version or ()))
    named = [f"{name} ({wanted})" for name, wanted in sorted(project.unmet.items())]
    if len(named) > _MOST_NAMED:
        named[_MOST_NAMED:] = [f"{len(named) - _MOST_NAMED} more"]
    who = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
    return f"{recipe.place}: package '{recipe.name}': Node {version} of '{interpreter}' is not what these want: {who}"
