import importlib
import pkgutil
from unittest.mock import ANY

import attrs
import pytest
from support import config, disk, facts

import states
import zosstorage
from zosstorage.value import Value


def ours():
    """The classes of all modules; attrs makes a class with slots anew, and the first one stays without fields."""
    for package in (zosstorage, states):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return [kind for kind in Value.__subclasses__() if "__attrs_attrs__" in vars(kind)]


OURS = ours()


@attrs.frozen(repr=False, eq=False)
class Quick(Value):
    a: int
    b: str = "x"


@attrs.frozen(repr=False, eq=False)
class Alike(Value):
    a: int
    b: str = "x"


def test_it_shows_itself_as_attrs_would():
    @attrs.frozen
    class Shown:
        a: int
        b: str = "x"

    assert repr(Quick(1)) == repr(Shown(1)).replace("Shown", "Quick")


def test_it_is_equal_as_attrs_would_have_it():
    assert Quick(1) == Quick(1, "x")
    assert Quick(1) != Quick(2)
    assert Quick(1) != Quick(1, "y")
    assert Quick(1) != Alike(1)
    assert Quick(1) != (1, "x")
    assert Quick(1) == ANY


def test_equal_values_have_one_place_in_a_set():
    assert {Quick(1), Quick(1, "x"), Quick(2), Alike(1)} == {Quick(2), Quick(1), Alike(1)}
    assert len({Quick(1), Quick(1, "x"), Quick(2), Alike(1)}) == 3


def test_all_classes_were_found():
    assert len(OURS) > 40


@pytest.mark.parametrize("kind", OURS)
def test_no_class_of_ours_has_a_field_that_is_not_compared_or_shown(kind):
    assert all(field.eq and field.repr and field.hash is None for field in attrs.fields(kind))
    assert kind.__eq__ is Value.__eq__  # attrs was told to write none


@pytest.mark.parametrize("value", [disk(), facts(), config()], ids=lambda value: type(value).__name__)
def test_what_it_shows_is_all_of_it(value):
    shown = repr(value)
    assert shown.startswith(f"{type(value).__name__}(")
    assert all(f"{field.name}=" in shown for field in attrs.fields(type(value)))
    assert not hasattr(value, "__dict__")
