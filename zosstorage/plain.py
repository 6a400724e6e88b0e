"""Facts as JSON data, and back: for the few kinds of types that facts are made of.

A rerun reads its checkpoint by this, and has no time to import a library for it.
"""

from __future__ import annotations

from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from zosstorage.value import Fielded, names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Values and records as maps, tuples as lists, enums as their values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Fielded):
        return {name: plain(getattr(value, name)) for name in names(type(value))}
    return value


def structure(data: object, kind: Callable[..., T]) -> T:
    """A value of a type from what `plain` made of it.

    Raises:
        ValueError, TypeError: the data are no such value; nothing is converted, and no key may be too many.
    """
    read: Callable[[object], T] = _reader(kind)
    return read(data)


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda data: data
    if origin in (tuple, list):
        return partial(_sequence, origin, _reader(arguments[0]))
    if origin is Literal:
        return partial(_one_of, arguments)
    if origin in (Union, UnionType):
        return partial(_maybe, *(_reader(part) for part in arguments if part is not NoneType))
    if issubclass(kind, Fielded):
        return partial(_class, kind, {name: _reader(hint) for name, hint in get_type_hints(kind).items()})
    return kind if issubclass(kind, Enum) else partial(_scalar, kind)


def _sequence(kind: type, read: Callable[[Any], Any], data: object) -> Any:
    if not isinstance(data, list):
        raise TypeError(f"{data!r} is no list")
    return kind(map(read, data))


def _one_of(allowed: tuple[Any, ...], data: object) -> object:
    if data not in allowed:
        raise ValueError(f"{data!r} is none of {allowed}")
    return data


def _maybe(read: Callable[[Any], Any], data: object) -> Any:
    return None if data is None else read(data)


def _class(kind: type[Any], readers: Mapping[str, Callable[[Any], Any]], data: object) -> Any:
    if not isinstance(data, dict) or not data.keys() <= readers.keys():
        raise ValueError(f"{data!r} is no {kind.__name__}")
    return kind(**{name: readers[name](value) for name, value in data.items()})


def _scalar(kind: type, data: object) -> object:
    if type(data) is not kind and not (kind is float and type(data) is int):  # bool is an int, and never meant by one
        raise TypeError(f"{data!r} is no {kind.__name__}")
    return data
