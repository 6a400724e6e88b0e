"""How a key is declared. The metadata of a field are those of `zosstorage.converter`, and:

- `doc` is its meaning: text, or a function that returns it;
- `schema` is its JSON Schema where the type does not say it all: a dict, or a function that returns one;
- `choices` is a function that returns its only values, where the type does not say them.

They are functions where they depend on the table of topologies, which may grow after this module was imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field

from zosstorage.config import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from attrs import Attribute

PATH = {"type": "string", "pattern": values.PATH_PATTERN}


def key(default: Any, parse: Callable[[Any], Any], doc: str | Callable[[], str], **more: Any) -> Any:
    """A key: its default, its parser, its meaning, and more metadata."""
    return field(default=default, metadata={"parse": parse, "doc": doc, **more})


def word(default: str, allowed: Callable[[], Iterable[str]], doc: str) -> Any:
    """A key whose value is one of some words that are no enum."""
    return key(default, values.among(allowed), doc, choices=allowed, schema=lambda: {"enum": [*allowed()]})


def maybe_word(allowed: Callable[[], Iterable[str]], doc: str | Callable[[], str]) -> Any:
    """A key whose value is one of some words, or null, its default; `doc` names the words."""
    return key(None, maybe(values.among(allowed)), doc, schema=lambda: {"enum": [*allowed(), None]})


def maybe(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same parser, which also takes null."""
    return lambda value: None if value is None else parse(value)


def section(kind: type[Any], doc: str) -> Any:
    """A key that holds a mapping of keys, those of a class."""
    return field(factory=kind, metadata={"doc": doc})


def described(attribute: Attribute[Any]) -> str:
    """The meaning of a key."""
    doc = attribute.metadata["doc"]
    return str(doc() if callable(doc) else doc)
