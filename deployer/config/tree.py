"""All options that a set of modules declares, and what the modules say about each other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deployer.config.definitions import Definition
from deployer.config.errors import ModuleBroken, UnknownOption, WrongType
from deployer.config.module import Contributed, Module, Option
from deployer.errors import DeployerError


class OptionTree:
    """The options of some modules, by path. Raises `ModuleBroken` where modules contradict each other."""

    def __init__(self, modules: Sequence[Module]) -> None:
        """Put the modules together."""
        self.modules: Final = tuple(modules)
        self.options: Final[dict[str, Option]] = {}
        self.contributed: Final[dict[str, list[Contributed]]] = {}
        for module in modules:
            for path, option in module.options.items():
                if path in self.options:
                    reason = f"it declares the option '{path}', as {self.options[path].declared} does"
                    raise ModuleBroken(module.name, reason, option.declared)
                self.options[path] = option
        self.namespaces: Final = {path[:at] for path in self.options for at, letter in enumerate(path) if letter == "."}
        for module in modules:
            for path in sorted(self.namespaces & module.options.keys()):
                raise ModuleBroken(module.name, f"the option '{path}' has options below it", module.options[path].declared)
            for one in module.contributions:
                if one.path not in self.options:
                    raise ModuleBroken(module.name, f"it defines '{one.path}', which no module declares", one.place)
                self.contributed.setdefault(one.path, []).append(one)

    def spread(
        self, definitions: Mapping[str, Definition], into: dict[str, list[Definition]], errors: list[DeployerError]
    ) -> None:
        """Give each option what a file says of it, and note what belongs to none."""
        todo = [*definitions.items()][::-1]
        while todo:
            path, definition = todo.pop()
            if path in self.options:
                into.setdefault(path, []).append(definition)
            elif path not in self.namespaces:
                errors.append(UnknownOption(path, definition.named_at, self.names()))
            elif isinstance(definition.value, dict):
                nested = [(f"{path}.{key}", item.within(definition.priority)) for key, item in definition.value.items()]
                todo.extend(reversed(nested))
            elif definition.value is not None:
                found, advice = definition.described, self._within(path)
                errors.append(WrongType(path, "a mapping of options", found, definition.place, advice=advice))

    def _within(self, namespace: str) -> str:
        inner = [path[len(namespace) + 1 :] for path in self.options if path.startswith(namespace + ".")]
        return f"What may stand in it: {', '.join(inner)}."

    def names(self) -> tuple[str, ...]:
        """All that may stand in a file, for near misses."""
        return (*self.options, *sorted(self.namespaces))
