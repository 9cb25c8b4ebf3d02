"""Frozen dataclasses that cost a start nothing: what a room has dozens of, and a run makes few of.

`dataclasses.dataclass` writes and compiles half a dozen methods for a class, which takes as long as importing a small module. A
`Record` is the same dataclass, but its methods are made when its first instance is. This module travels to hosts: standard
library only, Python 3.9 and up.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Set, Tuple, Type, TypeVar

if TYPE_CHECKING:
    from typing import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Callable[[type], type]:
        """Python 3.11 has it, and hosts may be older."""
        return lambda decorated: decorated


__all__ = ["Record", "dataclass_transform", "fields_of"]

_R = TypeVar("_R", bound="Record")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
class Record:
    """Each class below is a frozen dataclass of its annotated names; `dataclasses.replace` and the like take its instances.

    What looks at a class of which there may be no instance yet calls `fields_of`. Where a class says `kw_only=True`, its
    own fields are given by name; what travels to hosts can't, whose Pythons may be older than 3.10.
    """

    _options: ClassVar[Mapping[str, bool]] = {}

    def __init_subclass__(cls, **options: bool) -> None:
        """Keep what `dataclasses.dataclass` is to be told."""
        super().__init_subclass__()
        cls._options = options

    def __new__(cls: Type[_R], *_: Any, **__: Any) -> _R:
        """Have the class's methods made, once."""
        if cls not in _made:
            _make(cls)
        return super().__new__(cls)


def fields_of(kind: Type[Record]) -> Tuple[dataclasses.Field[Any], ...]:
    """The fields of a class, in order."""
    if kind not in _made:
        _make(kind)
    return dataclasses.fields(kind)  # type: ignore[arg-type]


def _make(kind: Type[Record]) -> None:
    """The bases come first: a dataclass takes over the fields of those that are dataclasses already."""
    with _making:
        for base in reversed(kind.__mro__):
            if issubclass(base, Record) and base not in _made:
                dataclasses.dataclass(frozen=True, **base._options)(base)
                _made.add(base)


_made: Set[Type[Record]] = {Record}
_making: Final = threading.Lock()
"""Instances are made in threads too, and no other thread may see a class half done."""
