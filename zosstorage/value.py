"""Classes of fields: values, which are frozen, and records, which change.

They are declared as classes of attrs are, and attrs and cattrs take them for such: `attrs.fields`, `attrs.evolve` and a
cattrs converter work on them. But attrs is not loaded before somebody asks for it (a schema, a mistake in the
configuration): loading it, and having it write and compile methods for each class, is a tenth of a run. The methods
here are written once.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

# Stands for a field without a default: None is one.
_REQUIRED: Any = object()


class Field(NamedTuple):
    """A field of a class.

    Attributes:
        type: the annotation, as it is written.
        factory: makes the default of a field that has no one value for all.
    """

    name: str
    type: str
    default: Any
    factory: Callable[[], Any] | None
    metadata: Mapping[str, Any]

    def usual(self) -> Any:
        """The value where none is given."""
        return self.factory() if self.factory else self.default


def field(
    *, default: Any = _REQUIRED, factory: Callable[[], Any] | None = None, metadata: Mapping[str, Any] | None = None
) -> Any:
    """What stands where a field has more than a plain default."""
    return Field("", "", default, factory, metadata or {})


class _Attributes:
    """`__attrs_attrs__`, by which attrs and cattrs know a class: made when one of them first asks for it."""

    def __get__(self, _: object, kind: Any) -> Any:
        return _attributes(kind)


@cache
def _attributes(kind: Any) -> Any:
    import attrs

    body = {one.name: _attribute(one) for one in fields(kind)}
    types = {one.name: one.type for one in fields(kind)}
    twin: Any = attrs.define(type(kind.__name__, (), {**body, "__annotations__": types}))
    return twin.__attrs_attrs__


def _attribute(one: Field) -> Any:
    import attrs

    given = {"factory": one.factory} if one.factory else {} if one.default is _REQUIRED else {"default": one.default}
    return attrs.field(metadata=dict(one.metadata), **given)


class Fielded:  # noqa: PLW1641 - a record has no hash; a value has
    """Has fields: those that it inherits, and then what its class annotates, in that order.

    Its instances show themselves by them, and compare so.
    """

    _fields: tuple[Field, ...] = ()
    __attrs_attrs__: Any = _Attributes()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._fields = (*cls._fields, *(cls._field(name, kind) for name, kind in cls.__annotations__.items()))

    @classmethod
    def _field(cls, name: str, kind: str) -> Field:
        given = cls.__dict__.get(name, _REQUIRED)
        if not isinstance(given, Field):
            return Field(name, kind, given, None, {})
        delattr(cls, name)
        return given._replace(name=name, type=kind)

    def __init__(self, *values: Any, **named: Any) -> None:
        """Take the fields in their order, or by their names.

        Raises:
            TypeError: one is missing, unknown, or given twice.
        """
        kind = type(self)
        if len(values) > len(kind._fields):
            raise TypeError(f"{kind.__name__} takes {', '.join(names(kind))}, and no more")
        state = dict(zip(names(kind), values, strict=False))
        for one in kind._fields[len(values) :]:
            state[one.name] = named.pop(one.name) if one.name in named else one.usual()
        if wrong := [*named, *(name for name, value in state.items() if value is _REQUIRED)]:
            allowed = ", ".join(names(kind))
            raise TypeError(f"{kind.__name__} takes {allowed}: missing or superfluous: {', '.join(wrong)}")
        self.__dict__.update(state)

    def __repr__(self) -> str:
        kind = type(self)
        shown = (f"{name}={getattr(self, name)!r}" for name in names(kind))
        return f"{kind.__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(self) is type(other) else NotImplemented


def fields(kind: type[Fielded]) -> tuple[Field, ...]:
    """The fields of a class."""
    return kind._fields


def names(kind: type[Fielded]) -> tuple[str, ...]:
    """The names of the fields of a class."""
    return tuple(one.name for one in fields(kind))


@dataclass_transform(field_specifiers=(field,))
class Record(Fielded):
    """Something that changes."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value(Fielded):
    """Something known: it never changes, and has one place in a set with its equals."""

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be deleted")


def evolve(value: T, **changes: Any) -> T:
    """The same value with some fields changed."""
    return type(value)(**{**vars(value), **changes})
