"""One run of an evaluation: values are made when they are first read, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from deployer.config.conditions import holds
from deployer.config.definitions import OPTION_DEFAULT, Definition, define
from deployer.config.errors import (
    AssertionBroken,
    BadInterpolation,
    EvaluationCycle,
    MissingValue,
    ModuleBroken,
    ReadOnlyOption,
    did_you_mean,
)
from deployer.config.failures import NoSuchOption, place_of_failure, reason_of
from deployer.config.host_view import MISSING, HostView
from deployer.config.interpolation import Unclosed, interpolate
from deployer.config.merging import NOTHING, OptionType, Scope
from deployer.config.module import Assertion, ConfigView, Fault, Module, Option
from deployer.config.places import beginnings, below, first_place, place_of, place_of_item, place_of_name
from deployer.config.sharing import OptionValue, Shared
from deployer.config.tree import OptionTree
from deployer.errors import DeployerError, Place

Note = Callable[[DeployerError], None]
NOT_THERE: Final = "Only what a configuration defines, and defaults of what it defines, can be referred to."


class PackageResolver(Protocol):
    """What `${pkgs.NAME}` asks."""

    def output_path(self, name: str) -> str:
        """The store path of a package's output. Raises a `DeployerError` where the package is wrong."""

    def names(self) -> Collection[str]:
        """All packages."""

    def is_tree(self, path: str) -> bool:
        """Whether a path of `output_path` is a root tree, as packages of kind `debian` are."""


class Failed(Exception):
    """A value could not be made; why is among the errors already."""


class Run:
    """The values of one host's configuration, and all that is wrong with it."""

    def __init__(
        self,
        tree: OptionTree,
        packages: PackageResolver,
        host: HostView,
        given: Mapping[str, list[Definition]],
        shared: Shared | None = None,
    ) -> None:
        """Nothing is evaluated yet. `shared` is of hosts with the same files."""
        self.values: Final[dict[str, Any]] = {}
        self.definitions: Final[dict[str, tuple[Definition, ...]]] = {}
        self.reads: Final[dict[str, Any]] = {}
        self.errors: Final[list[DeployerError]] = []
        self._tree, self._packages, self._host, self._given = tree, packages, host, given
        self._shared = shared or Shared()
        self._facts: dict[str, set[str]] = {}
        self._reading: list[set[str]] = []
        self._parts: dict[str, Any] = {}
        self._under_way: list[str] = []
        self._view = ConfigView(self._read, lambda: iter(tree.options), self._is_tree)

    def everything(self) -> None:
        """Make the value of every option."""
        self.some(self._tree.options)

    def some(self, paths: Iterable[str]) -> None:
        """Make the values of some options, and of what they lean on."""
        for path in paths:
            try:
                self._read(path)
            except Failed:
                continue

    def unmet(self, path: str) -> list[Definition]:
        """The definitions of an option that was made whose conditions do not hold."""
        counted = {id(one) for one in self.definitions[path]}
        return [one for one in self._given.get(path, ()) if id(one) not in counted]

    def broken_assertions(self) -> Iterator[DeployerError]:
        """What modules find wrong with values that could be made."""
        for module in self._tree.modules:
            for check in module.assertions:
                for fault in self._faults(module, check):
                    other = place_of(self.definitions, fault.also) if fault.also else None
                    yield AssertionBroken(fault.message, fault.remedy, self._blamed(fault), other)

    def warnings(self) -> Iterator[str]:
        """What modules find worth a word."""
        for module in self._tree.modules:
            for check in module.warnings:
                for fault in self._faults(module, check):
                    place = place_of(self.definitions, fault.at) if fault.at else None
                    yield f"{place}: {fault.message}" if place else fault.message

    def _blamed(self, fault: Fault) -> Place | None:
        if not fault.at:
            return None
        if fault.item is not None:
            return place_of_item(self.definitions, fault.at, fault.item)
        return (place_of_name if fault.named else place_of)(self.definitions, fault.at)

    def _faults(self, module: Module, check: Assertion) -> list[Fault]:
        try:
            return [*check(self._view)]
        except Failed:
            return []
        except Exception as error:
            file = check.__code__.co_filename
            place = place_of_failure(error, file, Place(file, check.__code__.co_firstlineno))
            self.errors.append(ModuleBroken(module.name, reason_of(error), place))
            return []

    def _read(self, path: str) -> Any:
        path = self._tree.current(path)
        option = self._tree.options.get(path)
        if option is None:
            if path in self._tree.disabled:
                raise self._tree.disabled[path].refuse(path, "another module")
            raise NoSuchOption(f"there is no option '{path}'. {did_you_mean(path, self._tree.options)}".strip())
        return self._once(path, self.values, lambda: self._find_or_make(option))

    def _once(self, name: str, made: dict[str, Any], make: Callable[[], Any]) -> Any:
        """A value that is made at most once. Raises `Failed` where it can't be, also because it needs itself."""
        if name not in made:
            if name in self._under_way:
                chain = (*self._under_way[self._under_way.index(name) :], name)
                places = tuple(self._defined_at(one) for one in chain)
                place = next((one for one in places if one is not None), None)
                self.errors.append(EvaluationCycle(chain, place, places))
                raise Failed
            self._under_way.append(name)
            facts = self._facts[name] = set()
            self._reading.append(facts)
            try:
                made[name] = make()
            except Failed:
                made[name] = NOTHING
            except DeployerError as error:
                self.errors.append(error)
                made[name] = NOTHING
            finally:
                self._reading.pop()
                self._under_way.pop()
        if self._reading:
            self._reading[-1] |= self._facts[name]
        if made[name] is NOTHING:
            raise Failed
        return made[name]

    def _find_or_make(self, option: Option) -> Any:
        """The value of an option; that of another host where all that it was made from is the same."""
        shared = self._shared.option(option.path)
        known = shared.find(self._host)
        if known is not None:
            self.definitions[option.path] = known.made.definitions
            self._facts[option.path] |= known.facts
            self.reads.update((name, self._host.read(name)) for name in known.facts)
            return known.made.value
        noted = len(self.errors)
        value = self._make(option)
        if value is not NOTHING and len(self.errors) == noted:
            shared.keep(self._host, self._facts[option.path], OptionValue(value, self.definitions[option.path]))
        return value

    def _merge_again(self, kind: OptionType, path: str, definitions: Sequence[Definition], scope: Scope) -> Any:
        """What stands under a name; that of another host where it has the same definitions and hangs on no fact."""
        known = self._shared.find_merged(path, definitions)
        if known is not None:
            return known.made
        noted, facts = len(self.errors), set[str]()
        self._reading.append(facts)
        try:
            value = kind.merge(path, definitions, scope)
        finally:
            self._reading.pop()
        self._reading[-1] |= facts
        if not facts and value is not NOTHING and len(self.errors) == noted:
            self._shared.keep_merged(path, definitions, value)
        return value

    def _make(self, option: Option) -> Any:
        given = [one for one in self._given.get(option.path, ()) if self._counts(one)]
        definitions = [*given, *self._contributions(option)]
        self.definitions[option.path] = tuple(definitions)
        if option.has_default:
            default = define(option.default, option.declared)
            definitions.append(Definition(default.value, option.declared, OPTION_DEFAULT, literal=True))
        if not definitions:
            raise MissingValue(option.path, None, option.declared)
        if option.read_only and len(definitions) > 1:
            others = tuple(one.place for one in definitions[1:])
            raise ReadOnlyOption(option.path, definitions[0].named_at, others, option.declared)
        scope = self._scope(option.declared)
        value = option.type.merge(option.path, definitions, scope)
        if scope.failed or value is NOTHING:
            return NOTHING
        return option.apply(value, self._view) if option.apply is not None else value

    def _scope(self, declared: Place) -> Scope:
        return Scope(self._resolve, self.errors, declared, self._packages.names, self._merge_again)

    def _counts(self, definition: Definition) -> bool:
        """Whether a definition's condition holds. Raises `Failed`, and what is wrong with the condition."""
        return definition.condition is None or holds(definition.condition, self._asked)

    def _asked(self, definition: Definition) -> Any:
        value = self._resolve(definition, self.errors.append)
        if value is NOTHING:
            raise Failed
        return value

    def _contributions(self, option: Option) -> Iterator[Definition]:
        for one in self._tree.contributed.get(option.path, ()):
            try:
                yield from self._shared.defined(one, one.value(self._view))
            except (DeployerError, Failed):
                raise
            except Exception as error:
                place = place_of_failure(error, one.place.file, one.place)
                raise ModuleBroken(Path(one.place.file).stem, reason_of(error), place) from error

    def _resolve(self, definition: Definition, note: Note) -> Any:
        value = definition.value
        if definition.literal or not isinstance(value, str) or "${" not in value:
            return definition.plain() if isinstance(value, dict | list) else value
        try:
            return interpolate(value, lambda path: self._named(path, definition))
        except Failed:
            pass
        except Unclosed as error:
            note(BadInterpolation(error.text, "it is not closed by }", definition.place, "Write $${ for a literal ${."))
        except TypeError as error:
            note(BadInterpolation(value[:60], str(error), definition.place))
        except DeployerError as error:
            note(error)
        return NOTHING

    def _named(self, path: str, definition: Definition) -> Any:
        root, _, rest = path.partition(".")
        match root:
            case "pkgs":
                return self._package(path, rest, definition)
            case "host":
                value = self._host.read(rest)
                self.reads[rest] = value
                self._reading[-1].add(rest)
                if value is MISSING:
                    near = did_you_mean(rest, self._host.names())
                    raise BadInterpolation(path, f"host '{self._host.name}' has no '{rest}'", definition.place, near)
                return value
            case "config":
                return self._option(path, rest, definition)
            case "secrets":
                near = "Put it into a file of root's on the host, and name that file: docs/explanation/security.md says how."
                raise BadInterpolation(path, "a configuration holds no secrets", definition.place, near)
            case "parameters":
                near = f"Declare it at the top of the file: `parameters: {{{rest or 'NAME'}: {{default: …}}}}`."
                raise BadInterpolation(path, "this file declares no parameters", definition.place, near)
        near = did_you_mean(root, ("pkgs", "config", "host", "parameters"))
        raise BadInterpolation(path, f"'{root}' means nothing", definition.place, near)

    def _is_tree(self, path: str) -> bool:
        return self._packages.is_tree(path)

    def _package(self, path: str, name: str, definition: Definition) -> str:
        names = self._packages.names()
        if name not in names:
            near = did_you_mean(name, names) or "Packages are declared in packages.yaml."
            raise BadInterpolation(path, f"there is no package '{name}'", definition.place, near)
        return self._packages.output_path(name)

    def _option(self, path: str, rest: str, definition: Definition) -> Any:
        said = next((one for one in beginnings(rest) if self._tree.current(one) in self._tree.options), None)
        if said is None:
            near = did_you_mean(rest, self._tree.options) or did_you_mean(rest.partition(".")[0], self._tree.names())
            raise BadInterpolation(path, f"there is no option '{rest}'", definition.place, near)
        option, inner = self._tree.current(said), rest[len(said) + 1 :]
        if inner and option in self._under_way and option in self.definitions:
            return self._once(f"{option}.{inner}", self._parts, lambda: self._part(option, inner, path, definition))
        found = below(self._read(option), inner)
        if found is MISSING:
            raise BadInterpolation(path, f"option '{option}' has no '{inner}'", definition.place, NOT_THERE)
        return found

    def _part(self, option: str, inner: str, path: str, definition: Definition) -> Any:
        """A part of an option that is being made: sisters may refer to each other, as long as they don't in a circle."""
        declared = self._tree.options[option]
        scope = self._scope(declared.declared)
        found = self._descend(declared.type, option, self.definitions[option], inner, scope)
        if scope.failed or found is NOTHING:
            raise Failed
        if found is MISSING:
            raise BadInterpolation(path, f"option '{option}' has no '{inner}'", definition.place, NOT_THERE)
        return found

    def _descend(self, kind: OptionType, name: str, definitions: Sequence[Definition], rest: str, scope: Scope) -> Any:
        for first in beginnings(rest):
            found = kind.part(name, definitions, first, scope) if definitions else None
            if found is None:
                continue
            inner, given, default = found
            whole = f"{name}.{first}"
            if first != rest:
                return self._descend(inner, whole, given, rest[len(first) + 1 :], scope)
            if given:
                return inner.merge(whole, given, scope)
            return MISSING if default is NOTHING else default
        return MISSING

    def _defined_at(self, name: str) -> Place | None:
        at = place_of(self.definitions, name) or first_place(self._given.get(name))
        contributed = self._tree.contributed.get(name)
        return at or (contributed[0].place if contributed else None)
