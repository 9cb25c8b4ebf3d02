"""Solving a set of Debian packages without apt: resolvelib decides, over what the indexes have.

Debian's relations are of more kinds than "needs this name". A choice between alternatives, or between those that provide
something, is a name of its own, whose candidates each need one package. A package that must not be there is needed as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Union, overload

from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver
from resolvelib.structs import RequirementInformation

from deployer.packages.debian.apt import CONVERTER
from deployer.packages.debian.package_index import DebianIndex, DebianPackage
from deployer.packages.debian.relations import Alternatives, Relation, exactly
from deployer.packages.debian.unsolvable import not_together, only_provided, unknown_name, unknown_version
from deployer.packages.debian.version import DebianVersion
from deployer.packages.lockfile import DebianRequest, LockedDeb

_ROUNDS: Final = 100_000
"""Steps after which a set that has no solution yet is given up."""


@dataclass(frozen=True, slots=True, eq=False)
class _Needed:
    """A package is there, in one of these versions."""

    relation: Relation

    def __str__(self) -> str:
        return f"Depends: {self.relation}"


@dataclass(frozen=True, slots=True, eq=False)
class _Refused:
    """A package is not there in any of these versions."""

    relation: Relation
    field: str

    def __str__(self) -> str:
        return f"{self.field}: {self.relation}"


@dataclass(frozen=True, slots=True, eq=False)
class _AnyOf:
    """One of several is there."""

    alternatives: Alternatives

    def __str__(self) -> str:
        return f"Depends: {_words(self.alternatives)}"


@dataclass(frozen=True, slots=True)
class _Absent:
    """A package that is not there."""

    name: str


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What was taken of several."""

    alternatives: Alternatives
    package: DebianPackage

    def __str__(self) -> str:
        return f"{self.package}, for {_words(self.alternatives)}"


_Requirement = Union[_Needed, _Refused, _AnyOf]
_Candidate = Union[DebianPackage, _Absent, _Chosen]
_Information = RequirementInformation[_Requirement, _Candidate]


def resolve(request: DebianRequest, index: DebianIndex) -> tuple[LockedDeb, ...]:
    """The whole closure of a request, by name. Raises `PackageInvalid` where there is none."""
    index = index.without({CONVERTER} - {word.partition("=")[0] for word in request.packages})
    wanted = [_wanted(request, word, index) for word in request.packages]
    reporter: BaseReporter[_Requirement, _Candidate, str] = BaseReporter()
    resolver = Resolver(_Provider(index), reporter)
    try:
        found = resolver.resolve(wanted, max_rounds=_ROUNDS).mapping.values()
    except ResolutionImpossible as impossible:
        raise not_together(request, dict.fromkeys(_reasons(impossible.causes, index))) from None
    except ResolutionTooDeep:
        raise not_together(request, (f"no solution was found in {_ROUNDS} steps",)) from None
    return tuple(sorted((one.deb for one in found if isinstance(one, DebianPackage)), key=lambda deb: deb.name))


def _wanted(request: DebianRequest, word: str, index: DebianIndex) -> _Requirement:
    name, _, version = word.partition("=")
    relation = exactly(name, DebianVersion.parse(version)) if version else Relation(name)
    there = index.versions(name)
    if any(relation.admits(one.version) for one in there):
        return _Needed(relation)
    if there:
        raise unknown_version(request, name, version, [str(one.version) for one in there])
    providers = index.providers(Relation(name))
    names = tuple(dict.fromkeys(one.name for one in providers))
    if len(names) == 1 and not version:
        return _Needed(Relation(names[0]))
    raise only_provided(request, name, names) if names else unknown_name(request, name, index.names)


class _Matches(Sequence[_Candidate]):
    """Candidates in the order that they have when somebody asks. What a mere function finds, resolvelib asks only once."""

    def __init__(self, find: Callable[[], Iterator[_Candidate]]) -> None:
        self._find = find

    def __iter__(self) -> Iterator[_Candidate]:
        return self._find()

    def __len__(self) -> int:
        return sum(1 for _ in self._find())

    def __bool__(self) -> bool:
        return next(self._find(), None) is not None

    @overload
    def __getitem__(self, index: int) -> _Candidate: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[_Candidate]: ...

    def __getitem__(self, index: int | slice) -> _Candidate | Sequence[_Candidate]:
        return [*self._find()][index]


class _Provider(AbstractProvider[_Requirement, _Candidate, str]):
    """What resolvelib asks. Names of choices have a space in them, which no package's name has."""

    def __init__(self, index: DebianIndex) -> None:
        self._index = index
        self._taken: Mapping[str, _Candidate] = {}
        self._dependencies: dict[_Candidate, tuple[_Requirement, ...]] = {}
        self._satisfied: dict[tuple[_Requirement, DebianPackage], bool] = {}

    def identify(self, requirement_or_candidate: _Requirement | _Candidate) -> str:
        match requirement_or_candidate:
            case _Needed(relation=relation) | _Refused(relation=relation):
                return relation.name
            case _AnyOf(alternatives=alternatives) | _Chosen(alternatives=alternatives):
                return f"any of {_words(alternatives)}"
            case DebianPackage() | _Absent():
                return requirement_or_candidate.name

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, _Candidate],
        candidates: Mapping[str, Iterator[_Candidate]],
        information: Mapping[str, Iterator[_Information]],
        backtrack_causes: Sequence[_Information],
    ) -> tuple[bool, str]:
        """Choices come last: what is there for another reason is not to be chosen against, as apt has it."""
        self._taken = resolutions
        return " " in identifier, identifier

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[_Requirement]],
        incompatibilities: Mapping[str, Iterator[_Candidate]],
    ) -> Sequence[_Candidate]:
        asked, excluded = [*requirements[identifier]], {*incompatibilities[identifier]}
        return _Matches(lambda: (one for one in self._candidates(identifier, asked) if one not in excluded))

    def _candidates(self, name: str, asked: Sequence[_Requirement]) -> Iterator[_Candidate]:
        for one in asked:
            if isinstance(one, _AnyOf):
                packages = [package for relation in one.alternatives for package in self._index.admitted(relation)]
                distinct = dict.fromkeys(packages)
                # A stable sort: where nothing is there yet, the order is that of the relation.
                yield from (_Chosen(one.alternatives, package) for package in sorted(distinct, key=self._is_new))
                return
        if not any(isinstance(one, _Needed) for one in asked):
            yield _Absent(name)
            return
        yield from (package for package in self._index.versions(name) if all(self.is_satisfied_by(one, package) for one in asked))

    def _is_new(self, package: DebianPackage) -> bool:
        return self._taken.get(package.name) != package

    def is_satisfied_by(self, requirement: _Requirement, candidate: _Candidate) -> bool:
        if isinstance(requirement, _AnyOf) or not isinstance(candidate, DebianPackage):
            return not isinstance(requirement, _Needed)
        # resolvelib asks for all that is taken in each of its rounds.
        known = self._satisfied.get((requirement, candidate))
        if known is None:
            known = requirement.relation.admits(candidate.version) == isinstance(requirement, _Needed)
            self._satisfied[requirement, candidate] = known
        return known

    def get_dependencies(self, candidate: _Candidate) -> Iterable[_Requirement]:
        if candidate not in self._dependencies:
            self._dependencies[candidate] = tuple({str(one): one for one in self._requirements(candidate)}.values())
        return self._dependencies[candidate]

    def _requirements(self, candidate: _Candidate) -> Iterator[_Requirement]:
        if isinstance(candidate, _Chosen):
            yield _Needed(exactly(candidate.package.name, candidate.package.version))
        if not isinstance(candidate, DebianPackage):
            return
        for alternatives in candidate.needs:
            names = {one.name for relation in alternatives for one in self._index.admitted(relation)}
            if candidate.name in names:
                continue
            (relation, *others) = alternatives or (None,)
            if relation is not None and not others and names <= {relation.name}:
                yield _Needed(relation)
            else:
                yield _AnyOf(alternatives)
        for field, relation in candidate.refuses:
            for one in self._index.admitted(relation):
                if one.name != candidate.name:
                    yield _Refused(relation if one.name == relation.name else exactly(one.name, one.version), field)


def _reasons(causes: Iterable[_Information], index: DebianIndex) -> Iterator[str]:
    """What can't be at once, a line for each package that says so, as apt has them."""
    for cause in causes:
        if cause.parent is not None:
            name = cause.parent.package.name if isinstance(cause.parent, _Chosen) else cause.parent.name
            yield f"{name} : {cause.requirement}{_beside(cause.requirement, index)}"


def _beside(requirement: _Requirement, index: DebianIndex) -> str:
    """What there is instead of what is needed."""
    if isinstance(requirement, _Refused):
        return ""
    relations = (requirement.relation,) if isinstance(requirement, _Needed) else requirement.alternatives
    there = [str(one) for relation in relations for one in index.versions(relation.name)]
    if any(index.admitted(relation) for relation in relations):
        return ""
    return f", and there is {', '.join(there)}" if there else ", and no index has it"


def _words(alternatives: Alternatives) -> str:
    return " | ".join(map(str, alternatives))
