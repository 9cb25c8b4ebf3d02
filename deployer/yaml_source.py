"""YAML that remembers where everything stands, and means only what it says.

YAML 1.2's core scalars: `no`, `0644` and `1:30` are text, whatever YAML 1.1 made of them. Refused, because nobody means them:
duplicate keys, keys that are not text, anchors and aliases that multiply, depth over 32, files over 4 MiB, infinities.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deployer.errors import ConfigurationError, Place

if TYPE_CHECKING:
    import yaml

MAX_SIZE: Final = 4 << 20
"""Bytes of one file."""
MAX_DEPTH: Final = 32
MAX_NODES: Final = 200_000
"""Values of one file, aliases counted as often as they are used."""
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO: Final = re.compile(r"[-+]?0[0-9]")
_WORDS: Final[dict[str, Any]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


@dataclass(eq=False)
class YamlRefused(ConfigurationError):
    """A file is not YAML that we read."""

    reason: str
    place: Place
    advice: str = ""

    @property
    def message(self) -> str:
        """What is wrong."""
        return self.reason

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.advice


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands."""

    value: Any
    """A `dict` of text to `Node`, a `list` of `Node`, text, a number, true, false or null."""
    place: Place
    tag: str = ""
    """A local tag such as `!force`; empty: none."""
    key_places: dict[str, Place] | None = None
    """Of a mapping: where each key stands."""

    def plain(self) -> Any:
        """The value without places."""
        match self.value:
            case dict():
                return {key: node.plain() for key, node in self.value.items()}
            case list():
                return [node.plain() for node in self.value]
        return self.value

    def place_of(self, key: str) -> Place:
        """Where a key of a mapping stands."""
        return (self.key_places or {}).get(key, self.place)


def load(path: Path) -> Node:
    """Read a file. Raises `YamlRefused`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = f"it can't be read: {error.strerror or error}"
        raise YamlRefused(reason, Place(str(path)), "Check the path, and that you may read it.") from None
    return loads(data, str(path))


def loads(text: bytes | str, file: str) -> Node:
    """Read a text; `file` is what messages call it. An empty text is an empty mapping. Raises `YamlRefused`."""
    import yaml

    data = text.encode() if isinstance(text, str) else text
    if len(data) > MAX_SIZE:
        raise YamlRefused(
            f"it has {len(data)} bytes; at most {MAX_SIZE} are read", Place(file), "Split it, and import the parts."
        )
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(data.decode("utf-8"))
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except UnicodeDecodeError:
        raise YamlRefused("it is not UTF-8", Place(file), "Save it as UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        raise YamlRefused(f"it is not YAML: {error.problem or error.context}", place, _advice(str(error.problem))) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise YamlRefused(f"it is not YAML: {str(error).splitlines()[0]}", Place(file)) from None
    if root is None:
        return Node({}, Place(file, 1, 1), key_places={})
    return _Converter(file).node(root, MAX_DEPTH)


def load_mapping(path: Path) -> Node:
    """Read a file whose top must be a mapping. Raises `YamlRefused`."""
    node = load(path)
    if not isinstance(node.value, dict):
        raise YamlRefused("it must be a mapping at the top (`key: value` lines)", node.place, "Write `key: value` lines.")
    return node


class _Converter:
    """From PyYAML's nodes to ours, with what we refuse."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0

    def node(self, node: yaml.Node, depth: int) -> Node:
        import yaml

        place = self._place(node)
        self._count += 1
        if depth == 0:
            raise YamlRefused(f"it is nested deeper than {MAX_DEPTH}", place, "Nest less.")
        if self._count > MAX_NODES:
            raise YamlRefused(f"it has more than {MAX_NODES} values, counting aliases as often as they are used", place)
        tag = "" if node.tag.startswith("tag:yaml.org,2002:") else node.tag
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, tag, depth)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.node(item, depth - 1) for item in node.value], place, tag)
        if node.tag.startswith("tag:yaml.org,2002:python"):
            raise YamlRefused(f"the tag {node.tag} is refused", place, "Write plain values.")
        plain = getattr(node, "style", None) is None and node.tag != "tag:yaml.org,2002:str"
        return Node(self._scalar(node.value, place) if plain or (tag and node.style is None) else node.value, place, tag)

    def _mapping(self, node: yaml.MappingNode, place: Place, tag: str, depth: int) -> Node:
        import yaml

        values: dict[str, Node] = {}
        places: dict[str, Place] = {}
        for key_node, value_node in node.value:
            at = self._place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlRefused("a key must be text", at, "Quote it, if it is meant as text.")
            key = key_node.value
            if key in values:
                raise YamlRefused(f"the key '{key}' stands twice; first at {places[key]}", at, "Remove one of them.")
            values[key], places[key] = self.node(value_node, depth - 1), at
        return Node(values, place, tag, places)

    def _scalar(self, text: str, place: Place) -> Any:
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        if _FLOAT.fullmatch(text) and not _LEADING_ZERO.match(text):
            return float(text)
        if text.lower().lstrip("+-") in {".inf", ".nan"}:
            raise YamlRefused(f"{text} is not a number that we take", place, "Write a number, or quote it.")
        return text

    def _place(self, node: yaml.Node) -> Place:
        mark = node.start_mark
        return Place(self._file, mark.line + 1, mark.column + 1) if mark else Place(self._file)


def _advice(problem: str) -> str:
    if "\\t" in problem:
        return "Indent with spaces, not with tabs."
    return "Look at the line, and at the one before it: often a colon, a quote or an indent is missing."
