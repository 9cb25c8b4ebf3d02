"""A configuration as one looks around in it: nothing is evaluated before it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

Look = Callable[[str], Any]
"""The value that a dotted path means. Raises what is wrong with it, and that there is none."""


class Explored(Mapping[str, Any]):
    """What lies below a path, by item and by attribute: `config.etc["motd"].text`."""

    def __init__(self, look: Look, options: Collection[str], path: str = "") -> None:
        """`options` are the names of all that there are."""
        self._look, self._options, self._path = look, options, path

    def __getitem__(self, key: str) -> Any:
        """Raises what is wrong with the configuration there."""
        path = f"{self._path}.{key}" if self._path else key
        if path not in self._options and any(option.startswith(f"{path}.") for option in self._options):
            return Explored(self._look, self._options, path)
        return wrapped(self._look, path, self._look(path))

    def __getattr__(self, name: str) -> Any:
        """The same, for names that are none of Python's own."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        """The next parts of the names."""
        below = f"{self._path}." if self._path else ""
        names = (option[len(below) :].partition(".")[0] for option in self._options if option.startswith(below))
        return iter(dict.fromkeys(sorted(names)))

    def __len__(self) -> int:
        """How many there are."""
        return sum(1 for _ in self)

    def __dir__(self) -> list[str]:
        """For completion."""
        return [*self]

    def __repr__(self) -> str:
        """Names only: all the values would be long."""
        return f"<{self._path or 'config'}: {', '.join(self)}>"


class Value(Explored):
    """The mapping that an option has."""

    def __init__(self, look: Look, path: str, value: Mapping[str, Any]) -> None:
        """It has been evaluated."""
        super().__init__(look, (), path)
        self._value = value

    def __getitem__(self, key: str) -> Any:
        """Raises that there is none of this name, with the nearest that there is."""
        path = f"{self._path}.{key}"
        return wrapped(self._look, path, self._value[key] if key in self._value else self._look(path))

    def __iter__(self) -> Iterator[str]:
        """As they are."""
        return iter(self._value)

    def __repr__(self) -> str:
        """As Python has it."""
        return repr(self._value)


def wrapped(look: Look, path: str, value: Any) -> Any:
    """A value, which one can look around in where it is a mapping."""
    return Value(look, path, value) if isinstance(value, Mapping) else value


def inner(value: Any) -> Any:
    """The value itself, of one that can be looked around in."""
    return value._value if isinstance(value, Value) else value


def completions(text: str, options: Collection[str], names: Collection[str]) -> list[str]:
    """What may be meant by the beginning of an expression. Evaluates nothing."""
    if not text.startswith("config."):
        return sorted(name for name in names if name.startswith(text))
    meant = text.removeprefix("config.")
    known = meant.count(".")
    begun = {".".join(option.split(".")[: known + 1]) for option in options if option.startswith(meant)}
    return sorted(f"config.{one}" for one in begun)
