"""YAML that remembers where everything stands, and in which nothing changes its meaning silently.

Files are read as YAML 1.2: `no`, `0644`, `1:30` and `2024-01-01` are strings. What could be a trap or an attack is refused:
aliases that multiply, keys that stand twice or are no strings, depth, size, NaN, more than one document, tags of programming
languages. Local tags (`!force`) survive on the nodes for those who give them a meaning.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from deployer.errors import ConfigurationError, DeployerError, Place, raise_all

MAX_SIZE: Final = 4 << 20
"""Bytes of a file."""
MAX_DEPTH: Final = 32
"""Collections within collections."""
MAX_ALIASED: Final = 50_000
"""Nodes that aliases may add to those that are written down."""

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""A node without places and tags."""


class YamlRefused(ConfigurationError):
    """A file is not YAML, or not YAML that we read."""

    place: Place
    reason: str
    advice: str = ""

    @property
    def message(self) -> str:
        """What is wrong."""
        return self.reason

    @property
    def remedy(self) -> str:
        """How to write it instead."""
        return self.advice


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value."""

    value: bool | int | float | str | None
    place: Place
    tag: str | None = None
    """A local tag, `!force`."""
    text: str = ""
    """The value as it is written, without quotes: `1.10` where `value` is 1.1."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """Several nodes in order."""

    value: tuple[Node, ...]
    place: Place
    tag: str | None = None

    def __iter__(self) -> Iterator[Node]:
        """The nodes."""
        return iter(self.value)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Nodes by name, in the order of the file."""

    value: dict[str, Node]
    place: Place
    tag: str | None = None
    key_places: dict[str, Place] = field(default_factory=dict)
    """Where each key stands."""

    def place_of(self, key: str) -> Place:
        """Where a key stands; the mapping's own place for a key that it lacks."""
        return self.key_places.get(key, self.place)

    def get(self, key: str) -> Node | None:
        """The node of a key."""
        return self.value.get(key)


Node: TypeAlias = Scalar | Sequence | Mapping


def load(path: Path) -> Node:
    """The one document of a file. Raises `YamlRefused` for all that is wrong with it, also where it can't be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise YamlRefused(
            Place(str(path)), f"it can't be read: {error.strerror or error}", "Check the path, and who may read it."
        ) from None
    if len(data) > MAX_SIZE:
        raise _too_large(str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Place(str(path), before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise YamlRefused(place, "it is not UTF-8", "Save the file as UTF-8.") from None
    return loads(text, str(path))


def loads(text: str, file: str) -> Node:
    """The one document of a text. `file` is what places name. An empty text is the value null."""
    if len(text) > MAX_SIZE:
        raise _too_large(file)
    text = text.removeprefix("\ufeff")
    if bad := _FORBIDDEN.search(text):
        raise YamlRefused(_at(text, bad.start(), file), f"the control character {bad[0]!r} stands here", "Remove it.")
    try:
        top = _composed(text)
    except _Deep as error:
        raise YamlRefused(
            _place(file, error.node), f"more than {MAX_DEPTH} levels are nested here", "Write it flatter."
        ) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, text, file) from None
    except yaml.YAMLError as error:
        raise YamlRefused(Place(file), f"it is not YAML: {error}", "") from None
    if top is None:
        return Scalar(None, Place(file, 1, 1))
    reader = _Reader(file)
    node = reader.convert(top, 0)
    raise_all(reader.errors)
    assert node is not None
    return node


def top_mapping(node: Node, what: str) -> Mapping:
    """The document's top as a mapping; nothing at all is an empty one. `what` names what the file is to hold."""
    match node:
        case Mapping():
            return node
        case Scalar(value=None, tag=None):
            return Mapping({}, node.place)
    raise YamlRefused(node.place, f"{what} is a mapping, and this is {kind_of(node)}", "Write `key: value` lines at the top.")


def kind_of(node: Node) -> str:
    """What a node is, in words for messages."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=bool()):
            return f"the boolean {node.text}"
        case Scalar(value=int() | float()):
            return f"the number {node.text}"
    return f"the text {node.value!r}"


def to_plain(node: Node, *, ignore_tags: bool = False) -> Any:
    """The bare value. Raises `YamlRefused` for a local tag, which would be lost."""
    if node.tag is not None and not ignore_tags:
        raise YamlRefused(
            node.place, f"the tag {node.tag} has no meaning here", "Remove it, or quote the text if it is part of it."
        )
    match node:
        case Mapping():
            return {key: to_plain(value, ignore_tags=ignore_tags) for key, value in node.value.items()}
        case Sequence():
            return [to_plain(value, ignore_tags=ignore_tags) for value in node.value]
        case Scalar():
            return node.value


_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_STANDARD: Final = "tag:yaml.org,2002:"
_SCALAR_TAGS: Final = {"str", "int", "float", "bool", "null"}
_MERGE: Final = "<<"


class _Deep(Exception):
    """Ends composing at the limit of depth, before the composer's own stack is in danger."""

    def __init__(self, node: yaml.Node) -> None:
        self.node = node


class _Resolver:
    """Takes the place of YAML 1.1's guesses: nothing is resolved while composing, and depth is bounded."""

    depth = 0

    def descend_resolver(self, parent: yaml.Node | None, index: object) -> None:
        """One level down."""
        self.depth += 1
        if self.depth > MAX_DEPTH + 1 and parent is not None:
            raise _Deep(parent)

    def ascend_resolver(self) -> None:
        """One level up."""
        self.depth -= 1

    def resolve(self, kind: object, value: object, implicit: object) -> str:
        """No tag."""
        return ""


class _PythonLoader(_Resolver, yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer):
    """PyYAML's own parser: its messages say more than libyaml's."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)


if yaml.__with_libyaml__:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class _FastLoader(_Resolver, CParser):
        """libyaml's parser, ten times as fast."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)


def _composed(text: str) -> yaml.Node | None:
    """The document's node. What libyaml refuses is read again by PyYAML's own parser, so that messages are always its."""
    if yaml.__with_libyaml__:
        loader = _FastLoader(text)
        try:
            return loader.get_single_node()
        except yaml.YAMLError:
            pass
        finally:
            loader.dispose()
    return _PythonLoader(text).get_single_node()


class _Reader:
    """Makes our nodes of PyYAML's. Each is made once; aliases share it."""

    def __init__(self, file: str) -> None:
        self.errors: list[DeployerError] = []
        self._file = file
        self._done: dict[int, tuple[Node | None, int, int]] = {}
        self._open: set[int] = set()
        self._aliased = 0
        self._size = 0
        self._height = 0

    def convert(self, node: yaml.Node, depth: int) -> Node | None:
        """The node; None where it was refused. Leaves its size and height behind."""
        known = self._done.get(id(node))
        if known is not None:
            made, self._size, self._height = known
            self._aliased += self._size
            if self._aliased > MAX_ALIASED:
                raise YamlRefused(
                    _place(self._file, node), "aliases multiply this out of proportion", "Write it out, or use fewer aliases."
                )
            if depth + self._height > MAX_DEPTH:
                raise YamlRefused(
                    _place(self._file, node), f"aliases nest this deeper than {MAX_DEPTH} levels", "Write it flatter."
                )
            return made
        if id(node) in self._open:
            raise YamlRefused(_place(self._file, node), "an alias makes this a part of itself", "Remove the alias.")
        self._open.add(id(node))
        result: Node | None
        if isinstance(node, yaml.ScalarNode):
            result, self._size, self._height = self._scalar(node), 1, 0
        elif isinstance(node, yaml.SequenceNode):
            result = self._sequence(node, depth)
        else:
            assert isinstance(node, yaml.MappingNode)
            result = self._mapping(node, depth)
        self._open.discard(id(node))
        self._done[id(node)] = (result, self._size, self._height)
        return result

    def _sequence(self, node: yaml.SequenceNode, depth: int) -> Sequence:
        items, size, height = [], 1, 0
        for item in node.value:
            made = self.convert(item, depth + 1)
            size, height = size + self._size, max(height, self._height)
            if made is not None:
                items.append(made)
        self._size, self._height = size, height + 1
        return Sequence(tuple(items), _place(self._file, node), self._collection_tag(node, "seq"))

    def _mapping(self, node: yaml.MappingNode, depth: int) -> Mapping:
        values: dict[str, Node] = {}
        places: dict[str, Place] = {}
        merged: list[Mapping] = []
        size, height = 1, 0
        for key_node, value_node in node.value:
            place = _place(self._file, key_node)
            key = self._key(key_node)
            made = self.convert(value_node, depth + 1)
            size, height = size + self._size, max(height, self._height)
            if key is None or made is None:
                continue
            if key in values:
                self._refuse(place, f"the key '{key}' stands twice; first in line {places[key].line}", "Keep one of the two.")
            elif key == _MERGE and not key_node.style:
                merged += self._merged(made)
            else:
                values[key], places[key] = made, place
        for other in merged:
            for key, made in other.value.items():
                if key not in values:
                    values[key], places[key] = made, other.place_of(key)
        self._size, self._height = size, height + 1
        return Mapping(values, _place(self._file, node), self._collection_tag(node, "map"), places)

    def _merged(self, node: Node) -> list[Mapping]:
        found = [*node.value] if isinstance(node, Sequence) else [node]
        good = [item for item in found if isinstance(item, Mapping)]
        if len(good) < len(found):
            self._refuse(
                node.place, "`<<` merges mappings, and this is none", "Give it an alias of a mapping, or a list of such."
            )
        return good

    def _key(self, node: yaml.Node) -> str | None:
        place = _place(self._file, node)
        if not isinstance(node, yaml.ScalarNode):
            self._refuse(place, "a key is a list or a mapping", "Keys are strings; write text that holds `[` or `{` in quotes.")
            return None
        made = self._scalar(node)
        if made is None:
            return None
        if not isinstance(made.value, str):
            self._refuse(place, f"the key `{node.value}` is not a string", f'Write it in quotes: "{node.value}".')
            return None
        return made.value

    def _scalar(self, node: yaml.ScalarNode) -> Scalar | None:
        place, text = _place(self._file, node), node.value
        tag = node.tag or ""
        standard = tag.removeprefix(_STANDARD) if tag.startswith(_STANDARD) else ""
        if standard and standard not in _SCALAR_TAGS:
            self._refuse(place, f"the tag !!{standard} is not read", "Remove it.")
            return None
        value = text if node.style or standard == "str" else self._resolve(text, place)
        if standard in _SCALAR_TAGS - {"str"} and standard != _type_of(value := self._resolve(text, place)):
            self._refuse(place, f"{text!r} is not what its tag !!{standard} says", "Correct the value, or remove the tag.")
            return None
        return Scalar(value, place, tag if len(tag) > 1 and not standard else None, text)

    def _resolve(self, text: str, place: Place) -> bool | int | float | str | None:
        """The type of a plain scalar by YAML 1.2's core schema; a number with a leading 0 is text."""
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in "-+.0123456789":
            return text
        if _INTEGER.fullmatch(text):
            if len(text) > 1000:
                self._refuse(place, "this number has more than 1000 digits", "Write it in quotes if it is text.")
                return None
            return int(text, 0)
        if _NOT_FINITE.fullmatch(text) or (_FLOAT.fullmatch(text) and not math.isfinite(float(text))):
            self._refuse(place, f"{text} is not a finite number", "Write it in quotes if it is text.")
            return None
        return float(text) if _FLOAT.fullmatch(text) else text

    def _collection_tag(self, node: yaml.CollectionNode, own: str) -> str | None:
        tag = node.tag or ""
        if tag.startswith(_STANDARD):
            if tag != _STANDARD + own:
                self._refuse(_place(self._file, node), f"the tag !!{tag.removeprefix(_STANDARD)} is not read", "Remove it.")
            return None
        return tag if len(tag) > 1 else None

    def _refuse(self, place: Place, reason: str, advice: str) -> None:
        self.errors.append(YamlRefused(place, reason, advice))


def _type_of(value: object) -> str:
    return {bool: "bool", int: "int", float: "float", str: "str"}.get(type(value), "null")


def _place(file: str, node: yaml.Node) -> Place:
    mark = node.start_mark
    return Place(file, mark.line + 1, mark.column + 1)


def _at(text: str, index: int, file: str) -> Place:
    return Place(file, text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _too_large(file: str) -> YamlRefused:
    return YamlRefused(Place(file), f"it is larger than {MAX_SIZE >> 20} MiB", "Split it into several files.")


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> YamlRefused:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return YamlRefused(Place(file), f"it is not YAML: {error.problem or error.context}")
    place = Place(file, mark.line + 1, mark.column + 1)
    problem = error.problem or error.context or "it can't be understood"
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "single document" in str(error.context) or "another document" in problem:
        return YamlRefused(place, "a second document begins here", "Keep one document a file: remove the line `---`.")
    if "\t" in line[: mark.column + 1]:
        return YamlRefused(place, "a tab stands where YAML wants spaces", "Indent with spaces.")
    if "alias" in problem and "undefined" in problem:
        return YamlRefused(place, problem, "Define it by `&NAME` further up.")
    context = f" ({error.context})" if error.context and error.problem else ""
    return YamlRefused(
        place, f"it is not YAML: {problem}{context}", "Look for a missing quote, colon or bracket just before here."
    )
