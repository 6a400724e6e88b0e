"""What all classes of attrs have in common here.

attrs writes and compiles the methods of a class anew in every process, and with 45 classes that is a part of each run
that one feels: these are written once. A field's own `eq` or `repr` has no meaning to them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from attrs import fields


@cache
def names(kind: Any) -> tuple[str, ...]:
    """The names of the fields of a class of attrs."""
    return tuple(field.name for field in fields(kind))


class Shown:
    """Shows itself by its fields; for `@define(repr=False)`."""

    __slots__ = ()

    def __repr__(self) -> str:
        kind: Any = type(self)
        shown = (f"{name}={getattr(self, name)!r}" for name in names(kind))
        return f"{kind.__name__}({', '.join(shown)})"


class Value(Shown):
    """Equal to what is of the same class with the same fields, and hashed so; for `@frozen(repr=False, eq=False)`."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        kind: Any = type(self)
        return all(getattr(self, name) == getattr(other, name) for name in names(kind))

    def __hash__(self) -> int:
        kind: Any = type(self)
        return hash((kind, *(getattr(self, name) for name in names(kind))))
