"""Overlays in files: YAML that changes packages key by key, or Python with a function `overlay(final, prev)`."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Union

from deployer.errors import DeployerError, Place, near, raise_all
from deployer.packages.errors import PackageInvalid, PackageUnknown
from deployer.packages.loading import EntryFile
from deployer.packages.recipes import Recipe

if TYPE_CHECKING:
    from deployer.packages.package_set import Overlay, RecipeView

_Layer = Mapping[str, Union[Recipe, Callable[[], Recipe]]]


def read_overlay(path: Path, place: Place) -> Overlay:
    """The overlay in a file, which is named at `place`. Raises what is wrong with the file."""
    match path.suffix:
        case ".yaml" | ".yml":
            return _from_yaml(path)
        case ".py":
            return _from_python(path, place)
        case _:
            raise PackageInvalid(path.name, "an overlay is a file of YAML or of Python", place, "Name it FILE.yaml or FILE.py.")


def _from_yaml(path: Path) -> Overlay:
    file = EntryFile.read(path)
    file.entries()

    def overlay(final: RecipeView, prev: RecipeView) -> _Layer:
        layer: dict[str, Recipe] = {}
        errors: list[DeployerError] = []
        for entry in file.entries():
            if entry.is_change and not entry.errors and entry.name not in prev:
                errors.append(PackageUnknown(entry.name, near(entry.name, prev), entry.place()))
                continue
            recipe = entry.change(prev[entry.name]) if entry.is_change else entry.parse()
            errors += entry.errors
            if recipe is not None:
                layer[entry.name] = recipe
        raise_all(errors)
        return layer

    return overlay


def _from_python(path: Path, place: Place) -> Overlay:
    if not path.is_file():
        raise PackageInvalid(path.name, f"there is no {path}", place)
    try:
        function = runpy.run_path(str(path)).get("overlay")
    except Exception as error:
        raise PackageInvalid(path.name, f"{type(error).__name__}: {error}", Place(str(path))) from error
    if not callable(function):
        raise PackageInvalid(path.name, "it has no function overlay(final, prev)", Place(str(path)))

    def overlay(final: RecipeView, prev: RecipeView) -> _Layer:
        try:
            layer = function(final, prev)
            if not isinstance(layer, Mapping) or not all(isinstance(item, Recipe) or callable(item) for item in layer.values()):
                raise PackageInvalid(path.name, "overlay(final, prev) must return names and recipes", Place(str(path)))
        except DeployerError:
            raise
        except Exception as error:
            raise PackageInvalid(path.name, f"{type(error).__name__}: {error}", Place(str(path))) from error
        return layer

    return overlay
