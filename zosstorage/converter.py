"""The one cattrs converter, which reads and writes all documents.

It is strict: it converts no types ("no" is not true, 1.5 is not 1) and rejects unknown keys. It uses these metadata of
a field:

- `name`: the key in the document, if it is not the name of the field;
- `parse`: a function that takes the value in the document and returns the value of the field, or raises ValueError;
- `show`: a function that turns the value of the field back into a value of a document;
- `flag`: if true, the field is not part of the document.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

from attrs import Attribute, fields, has, resolve_types
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class NotAMappingError(TypeError):
    """A document holds another value where it must hold a mapping.

    Attributes:
        kind: the class whose fields are the keys of that mapping.
    """

    def __init__(self, kind: type[Any]) -> None:
        """Make the message from the keys of `kind`."""
        super().__init__(f"not a mapping of keys ({', '.join(keys_of(kind))})")
        self.kind = kind


def key_of(field: Attribute[Any]) -> str:
    """The key of a field in a document."""
    return str(field.metadata.get("name", field.name))


def fields_of(kind: type[Any]) -> tuple[Attribute[Any], ...]:
    """The fields of a class that are part of a document, with their types resolved."""
    resolve_types(kind)
    return tuple(field for field in fields(kind) if not field.metadata.get("flag"))


def keys_of(kind: type[Any]) -> tuple[str, ...]:
    """The keys of a document of class `kind`."""
    return tuple(key_of(field) for field in fields_of(kind))


def structure(data: object, kind: type[T]) -> T:
    """Make a value of a class from plain data: maps, lists and scalars.

    Raises:
        ClassValidationError: a group of all errors (cattrs).
        NotAMappingError: the data are not a mapping.
    """
    return _CONVERTER.structure(data, kind)


def unstructure(value: Any) -> Any:
    """Turn a value into plain data: classes become maps, enums become their values."""
    return _CONVERTER.unstructure(value)


def _structure_hook(kind: type[Any]) -> Callable[[Any, Any], Any]:
    resolve_types(kind)
    overrides: dict[str, Any] = {
        field.name: override(
            rename=key_of(field), struct_hook=_parser(field), omit=bool(field.metadata.get("flag")) or None
        )
        for field in fields(kind)
    }
    build = make_dict_structure_fn(kind, _CONVERTER, _cattrs_forbid_extra_keys=True, **overrides)

    def hook(data: Any, wanted: Any) -> Any:
        if not isinstance(data, dict):
            raise NotAMappingError(kind)
        return build(data, wanted)

    return hook


def _parser(field: Attribute[Any]) -> Callable[[Any, Any], Any] | None:
    parse = field.metadata.get("parse")
    return (lambda data, _: parse(data)) if parse else None


def _unstructure_hook(kind: type[Any]) -> Callable[[Any], dict[str, Any]]:
    resolve_types(kind)
    overrides: dict[str, Any] = {
        field.name: override(
            rename=key_of(field),
            unstruct_hook=field.metadata.get("show"),
            omit=bool(field.metadata.get("flag")) or None,
        )
        for field in fields(kind)
    }
    return make_dict_unstructure_fn(kind, _CONVERTER, **overrides)


# The types of a scalar in a document that each type of a field accepts.
_SCALARS: dict[Any, tuple[type, ...]] = {bool: (bool,), int: (int,), str: (str,), float: (float, int)}


def _plain_text(value: str) -> str:
    return str(value.value) if isinstance(value, Enum) else value


def _scalar(data: Any, kind: Any) -> Any:
    """Accept a scalar of exactly that type, or a member of an enum: cattrs treats a StrEnum as str."""
    if issubclass(kind, Enum):
        return _member(data, kind)
    if type(data) not in _SCALARS[kind]:  # bool is a subclass of int, but not a number in a document
        raise TypeError(f"{data!r} is not of type {kind.__name__}")
    return data


def _sequence_hook(kind: Any) -> Callable[[Any, Any], Any]:
    origin, item = get_origin(kind), get_args(kind)[0]

    def hook(data: Any, _: Any) -> Any:
        if not isinstance(data, list):
            raise TypeError(f"{data!r} is not a list")
        return origin(_CONVERTER.structure(one, item) for one in data)

    return hook


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list)


def _literal(data: Any, kind: Any) -> Any:
    if not any(type(data) is type(allowed) and data == allowed for allowed in get_args(kind)):
        raise ValueError(f"{data!r} is not one of {get_args(kind)}")
    return data


def _member(data: Any, kind: type[Enum]) -> Enum:
    if not isinstance(data, str):
        raise TypeError(f"{data!r} is not text")
    return kind(data)


def _make_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for kind in _SCALARS:
        converter.register_structure_hook(kind, _scalar)
    converter.register_structure_hook_func(_is_literal, _literal)
    converter.register_structure_hook(Enum, _member)
    converter.register_structure_hook_factory(_is_sequence, _sequence_hook)
    converter.register_structure_hook_factory(has, _structure_hook)
    converter.register_unstructure_hook(str, _plain_text)
    converter.register_unstructure_hook_factory(has, _unstructure_hook)
    return converter


_CONVERTER = _make_converter()
