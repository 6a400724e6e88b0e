"""How a key is declared. The metadata of a field:

`parse` turns what YAML gave into the value or raises WrongValueError, `show` turns it back into what a file would
hold, `schema` is its JSON Schema where the type does not say it all, `doc` is its meaning, `name` is the key in the
file where it is no Python name, and `flag` is set on what only flags set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zosstorage.config import values
from zosstorage.value import field

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = {"type": "string", "pattern": values.PATH_PATTERN}


def key(default: Any, parse: Callable[[Any], Any], doc: str, **more: Any) -> Any:
    return field(default=default, metadata={"parse": parse, "doc": doc, **more})


def maybe(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same parser, and null."""
    return lambda value: None if value is None else parse(value)


def section(kind: type[Any], doc: str) -> Any:
    return field(factory=kind, metadata={"doc": doc})


def key_of(attribute: Any) -> str:
    """The attribute's name as a file spells it."""
    return str(attribute.metadata.get("name", attribute.name))
