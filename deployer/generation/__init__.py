"""From one host's configuration to one store path: the manifest, the files, and the runtime that activates them.

Nothing is built here: a system's path is known as soon as its configuration is evaluated, so a host that has it already is
recognised before any work is done.
"""

from deployer.generation.evaluation_cache import EvaluationCache, version_of
from deployer.generation.fleet import FleetEvaluation, Wanted
from deployer.generation.making import SystemMaker
from deployer.generation.outline import Outline
from deployer.generation.runtime import Runtime, runtime, runtime_image
from deployer.generation.system import System, instantiate, make_system

__all__ = [
    "EvaluationCache",
    "FleetEvaluation",
    "Outline",
    "Runtime",
    "System",
    "SystemMaker",
    "Wanted",
    "instantiate",
    "make_system",
    "runtime",
    "runtime_image",
    "version_of",
]
