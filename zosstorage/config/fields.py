"""How a configuration key is declared. A field has the metadata of `zosstorage.converter` and these:

- `doc`: the meaning of the key: text, or a function that returns text;
- `schema`: the JSON Schema, if it does not follow from the type: a dict, or a function that returns one;
- `choices`: a function that returns the allowed values, if they do not follow from the type.

They are functions if they depend on the table of topologies, which may gain rows after this module was imported.
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
    """Declare a key with its default, its parser, its meaning and more metadata."""
    return field(default=default, metadata={"parse": parse, "doc": doc, **more})


def text_key(default: str, allowed: Callable[[], Iterable[str]], doc: str) -> Any:
    """Declare a key whose value is one of the texts that `allowed` returns."""
    return key(default, values.among(allowed), doc, choices=allowed, schema=lambda: {"enum": [*allowed()]})


def optional_text_key(allowed: Callable[[], Iterable[str]], doc: str | Callable[[], str]) -> Any:
    """Declare a key whose value is one of the texts that `allowed` returns, or null, the default."""
    return key(None, maybe(values.among(allowed)), doc, schema=lambda: {"enum": [*allowed(), None]})


def maybe(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a parser that also accepts null."""
    return lambda value: None if value is None else parse(value)


def section(kind: type[Any], doc: str) -> Any:
    """Declare a key whose value is a mapping of the keys of a class."""
    return field(factory=kind, metadata={"doc": doc})


def described(attribute: Attribute[Any]) -> str:
    """Return the meaning of a key."""
    doc = attribute.metadata["doc"]
    return str(doc() if callable(doc) else doc)
