"""The configuration: typed options that modules declare, values that YAML files give, and their evaluation.

For those who evaluate: `Evaluator`, `HostView`, `Config`, `Explained`. For authors of modules: `Module`, `types`, `Field`,
`Fault`, the weights `force`, `default`, `priority`, `before`, `after`, `order`, the condition `when`, and systemd's notation:
`command_line`, `quoted`, `unit_name`.
"""

from deployer.config import types
from deployer.config.definitions import Definition, after, before, default, force, order, priority, when
from deployer.config.evaluation import Config, Evaluator, Explained, PackageResolver, evaluate
from deployer.config.host_view import HostView
from deployer.config.library import all_modules, library_directory
from deployer.config.module import ConfigView, Fault, Module, Option
from deployer.config.notation import command_line, quoted, unit_name
from deployer.config.types import Field, Submodule

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
    "library_directory",
    "order",
    "priority",
    "quoted",
    "types",
    "unit_name",
    "when",
]
