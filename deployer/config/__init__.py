"""The configuration: typed options that modules declare, values that YAML files give, and their evaluation.

For those who evaluate: `Evaluator`, `HostView`, `Config`, `Explained`. For authors of modules: `Module`, `types`, `Field`,
`Fault`, the weights `force`, `default`, `priority`, `before`, `after`, `order`, the condition `when`, and systemd's notation:
`command_line`, `quoted`, `unit_name`; what systemd knows: `unknown_directive`, `wrong_section`; where programs of packages are:
`program_of`; what of the host's files those with a root see: `host_files`, `out_of_sight`; and `reached_at`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deployer.config import types
    from deployer.config.addresses import reached_at
    from deployer.config.definitions import Definition, after, before, default, force, order, priority, when
    from deployer.config.evaluation import Config, Evaluator, Explained, PackageResolver, evaluate
    from deployer.config.host_view import HostView
    from deployer.config.library import all_modules
    from deployer.config.library_place import library_directory
    from deployer.config.module import ConfigView, Fault, Module, Option, program_of
    from deployer.config.notation import command_line, quoted, unit_name
    from deployer.config.types import Field, Submodule
    from deployer.config.unit_directives import unknown_directive, wrong_section
    from deployer.config.view_from_root import host_files, out_of_sight

__all__ = [
    "Config",
    "ConfigView",
    "Definition",
    "Evaluator",
    "Explained",
    "Fault",
    "Field",
    "HostView",
    "Module",
    "Option",
    "PackageResolver",
    "Submodule",
    "after",
    "all_modules",
    "before",
    "command_line",
    "default",
    "evaluate",
    "force",
    "host_files",
    "library_directory",
    "order",
    "out_of_sight",
    "priority",
    "program_of",
    "quoted",
    "reached_at",
    "types",
    "unit_name",
    "unknown_directive",
    "when",
    "wrong_section",
]

_HOMES: Final = {
    "deployer.config.addresses": ("reached_at",),
    "deployer.config.definitions": (
        "Definition",
        "after",
        "before",
        "default",
        "force",
        "order",
        "priority",
        "when",
    ),
    "deployer.config.evaluation": (
        "Config",
        "Evaluator",
        "Explained",
        "PackageResolver",
        "evaluate",
    ),
    "deployer.config.host_view": ("HostView",),
    "deployer.config.library": ("all_modules",),
    "deployer.config.library_place": ("library_directory",),
    "deployer.config.module": (
        "ConfigView",
        "Fault",
        "Module",
        "Option",
        "program_of",
    ),
    "deployer.config.notation": (
        "command_line",
        "quoted",
        "unit_name",
    ),
    "deployer.config.types": (
        "Field",
        "Submodule",
    ),
    "deployer.config.unit_directives": (
        "unknown_directive",
        "wrong_section",
    ),
    "deployer.config.view_from_root": (
        "host_files",
        "out_of_sight",
    ),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: where no input has changed, nothing is evaluated."""
    if name == "types":
        return importlib.import_module("deployer.config.types")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(name)
