import copy
import importlib
import pkgutil
import subprocess
import sys
from unittest.mock import ANY

import attrs
import cattrs
import pytest
from support import config, disk, facts

import states
import zosstorage
from zosstorage.value import Record, Value, evolve, field, fields, names


def ours():
    """The classes of all modules."""
    for package in (zosstorage, states):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found = [*Value.__subclasses__(), *Record.__subclasses__()]
    return [kind for kind in found if kind.__module__.partition(".")[0] in ("zosstorage", "states")]


OURS = ours()


class Quick(Value):
    a: int
    b: str = "x"
    c: list[int] = field(factory=list, metadata={"doc": "numbers"})


class Alike(Value):
    a: int
    b: str = "x"
    c: list[int] = field(factory=list)


@attrs.frozen
class Theirs:
    """What attrs makes of the same declaration: what ours must do too."""

    a: int
    b: str = "x"
    c: list[int] = attrs.field(factory=list, metadata={"doc": "numbers"})


class Changing(Record):
    a: int
    b: str = "x"


CALLS = [
    ((1,), {}),
    ((1, "y"), {}),
    ((1, "y", [2]), {}),
    ((), {"a": 1}),
    ((), {"b": "y", "a": 1}),
    ((1,), {"c": [3]}),
    ((), {}),
    ((1, "y", [2], 4), {}),
    ((1,), {"a": 1}),
    ((1,), {"d": 1}),
    ((), {"b": "y"}),
]


@pytest.mark.parametrize(("given", "named"), CALLS)
def test_it_is_made_as_attrs_makes_it(given, named):
    try:
        wanted = attrs.asdict(Theirs(*given, **named))
    except TypeError:
        with pytest.raises(TypeError, match="Quick takes a, b, c"):
            Quick(*given, **named)
    else:
        made = Quick(*given, **named)
        assert vars(made) == wanted
        assert [*vars(made)] == [*wanted]


def test_a_factory_makes_a_default_for_each():
    assert Quick(1).c is not Quick(1).c


def test_it_shows_itself_as_attrs_would():
    assert repr(Quick(1)) == repr(Theirs(1)).replace("Theirs", "Quick")


@pytest.mark.parametrize("kind", [Quick, Changing])
def test_it_is_equal_as_attrs_would_have_it(kind):
    assert kind(1) == kind(1, "x")
    assert kind(1) == kind(b="x", a=1)
    assert kind(1) != kind(2)
    assert kind(1) != kind(1, "y")
    assert kind(1) != Alike(1)
    assert kind(1) != (1, "x")
    assert kind(1) == ANY


def test_equal_values_have_one_place_in_a_set():
    some = {Quick(1, c=()), Quick(c=(), b="x", a=1), Quick(2, c=()), Alike(1, c=())}
    assert some == {Quick(2, c=()), Quick(1, c=()), Alike(1, c=())}
    assert len(some) == 3


def test_a_value_never_changes():
    value = Quick(1)
    with pytest.raises(AttributeError, match="Quick is frozen: a"):
        value.a = 2
    with pytest.raises(AttributeError, match="Quick is frozen: a"):
        del value.a
    with pytest.raises(AttributeError, match="Quick is frozen: other"):
        value.other = 2
    assert vars(value) == vars(Quick(1))


def test_a_record_changes_and_has_no_place_in_a_set():
    record = Changing(1)
    record.a = 2
    assert record == Changing(2)
    with pytest.raises(TypeError, match="unhashable"):
        hash(record)


def test_evolve_changes_a_copy():
    value = Quick(1, "y")
    assert evolve(value, a=2) == Quick(2, "y")
    assert value == Quick(1, "y")
    with pytest.raises(TypeError, match="superfluous: d"):
        evolve(value, d=2)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_is_equal(copied):
    assert copied(disk()) == disk()


def test_attrs_and_cattrs_take_it_for_a_class_of_theirs():
    assert attrs.has(Quick)
    assert [one.name for one in attrs.fields(Quick)] == ["a", "b", "c"]
    assert attrs.fields(Quick).b.default == attrs.fields(Theirs).b.default
    assert attrs.fields(Quick).c.default == attrs.fields(Theirs).c.default
    assert attrs.fields(Quick).c.metadata == {"doc": "numbers"}
    assert attrs.fields(Quick).a.default is attrs.NOTHING
    assert [one.type for one in attrs.fields(attrs.resolve_types(Quick))] == [int, str, list[int]]
    assert attrs.evolve(Quick(1), a=2) == Quick(2)
    assert attrs.asdict(Quick(1)) == attrs.asdict(Theirs(1))
    assert cattrs.Converter().structure({"a": 1, "b": "y", "c": [2]}, Quick) == Quick(1, "y", [2])
    assert cattrs.Converter().unstructure(Quick(1)) == {"a": 1, "b": "x", "c": []}


def test_fields_are_inherited():
    class More(Quick):
        d: int = 4

    assert names(More) == ("a", "b", "c", "d")
    assert More(1) == More(1, "x", [], 4)
    assert More(1) != Quick(1)
    assert [one.name for one in attrs.fields(More)] == ["a", "b", "c", "d"]


def test_what_attrs_sees_of_a_base_is_not_what_it_sees_of_a_class():
    class New(Value):
        a: int

    assert attrs.fields(Value) == ()
    assert [one.name for one in attrs.fields(New)] == ["a"]


def test_attrs_is_not_loaded_before_it_is_asked_for():
    text = "import sys; from zosstorage.model import Facts; Facts(); assert 'attr' not in sys.modules; import attrs; "
    text += "assert [one.name for one in attrs.fields(Facts)][0] == 'discover'"
    subprocess.run([sys.executable, "-c", text], check=True)


def test_all_classes_were_found():
    assert len(OURS) > 40


@pytest.mark.parametrize("kind", OURS)
def test_every_class_of_ours_has_the_fields_that_attrs_sees(kind):
    assert [one.name for one in attrs.fields(kind)] == [*names(kind)]
    for one, seen in zip(fields(kind), attrs.fields(kind), strict=True):
        if one.factory:
            assert seen.default.factory is one.factory
        else:
            assert seen.default in (one.default, attrs.NOTHING)
        assert dict(seen.metadata) == one.metadata
    assert kind.__eq__ in (Value.__eq__, Record.__eq__)


@pytest.mark.parametrize("value", [disk(), facts(), config()], ids=lambda value: type(value).__name__)
def test_what_it_shows_is_all_of_it(value):
    shown = repr(value)
    assert shown.startswith(f"{type(value).__name__}(")
    assert all(f"{name}=" in shown for name in vars(value))
    assert [*vars(value)] == [*names(type(value))]
