"""All options that a set of modules declares, and what the modules say about each other's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deployer.config.definitions import Definition
from deployer.config.errors import ModuleBroken, RemovedOption, UnknownOption, WrongType
from deployer.config.module import Contributed, Module, Option, Removed, Renamed
from deployer.config.source_errors import DisabledButNeeded
from deployer.errors import DeployerError, Place


@dataclass(frozen=True, slots=True)
class Disabled:
    """A module that is left out, and where that is said."""

    module: str
    place: Place

    def refuse(self, path: str, needed_by: str) -> DisabledButNeeded:
        """What is wrong where something needs one of its options."""
        return DisabledButNeeded(path, self.module, needed_by, self.place)


class OptionTree:
    """The options of some modules, by path. Raises `ModuleBroken` where modules contradict each other."""

    def __init__(self, modules: Sequence[Module], disabled: Mapping[str, Disabled] | None = None) -> None:
        """Put the modules together. `disabled` has the options of those that are left out, and whose they are.

        Raises `DisabledButNeeded` where one of the others defines such an option.
        """
        self.modules: Final = tuple(modules)
        self.options: Final[dict[str, Option]] = {}
        self.contributed: Final[dict[str, list[Contributed]]] = {}
        self.renamed: Final[dict[str, Renamed]] = {}
        self.removed: Final[dict[str, Removed]] = {}
        for module in modules:
            for path, option in module.options.items():
                if path in self.options:
                    reason = f"it declares the option '{path}', as {self.options[path].declared} does"
                    raise ModuleBroken(module.name, reason, option.declared)
                self.options[path] = option
        self.disabled: Final = {path: one for path, one in (disabled or {}).items() if path not in self.options}
        for module in modules:
            self._keep_old_paths(module)
        paths = (*self.options, *self.renamed, *self.removed)
        self.namespaces: Final = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "."}
        for module in modules:
            for path in sorted(self.namespaces & module.options.keys()):
                raise ModuleBroken(module.name, f"the option '{path}' has options below it", module.options[path].declared)
            for one in module.contributions:
                path = self.current(one.path)
                if path not in self.options:
                    if path in self.disabled:
                        raise self.disabled[path].refuse(path, f"the module '{module.name}'")
                    raise ModuleBroken(module.name, f"it defines '{one.path}', which no module declares", one.place)
                self.contributed.setdefault(path, []).append(one)

    def _keep_old_paths(self, module: Module) -> None:
        old: dict[str, Renamed | Removed] = {**module.renamed, **module.removed}
        for path, one in old.items():
            if path in self.options:
                raise ModuleBroken(module.name, f"the old option '{path}' is declared too", one.place)
            if isinstance(one, Renamed) and one.to not in self.options:
                raise ModuleBroken(module.name, f"'{path}' is called '{one.to}' now, which is no option", one.place)
        self.renamed.update(module.renamed)
        self.removed.update(module.removed)

    def current(self, path: str) -> str:
        """The path that an option has now, of one that it may once have had."""
        renamed = self.renamed.get(path)
        return path if renamed is None else renamed.to

    def spread(
        self,
        definitions: Iterable[tuple[str, Definition]],
        into: dict[str, list[Definition]],
        errors: list[DeployerError],
        warnings: list[str],
    ) -> None:
        """Give each option what a file says of it; note what belongs to none, and what stands under an old path."""
        todo = [*definitions][::-1]
        while todo:
            path, definition = todo.pop()
            if path in self.options:
                into.setdefault(path, []).append(definition)
            elif path in self.renamed:
                to = self.renamed[path].to
                warnings.append(f"{definition.named_at}: the option '{path}' is called '{to}' now")
                into.setdefault(to, []).append(definition)
            elif path in self.removed:
                removed = self.removed[path]
                errors.append(RemovedOption(path, removed.instead, definition.named_at, removed.place))
            elif path not in self.namespaces:
                errors.append(UnknownOption(path, definition.named_at, self.names()))
            elif isinstance(definition.value, dict):
                nested = [(f"{path}.{key}", item.within(definition)) for key, item in definition.value.items()]
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
