"""The converter: it reads strictly and writes plain data."""

from enum import StrEnum
from typing import Any, Literal

import pytest
from attrs import field, frozen
from cattrs import ClassValidationError

from zosstorage.converter import NotAMappingError, keys_of, structure, unstructure


class Colour(StrEnum):
    RED = "red"


@frozen
class Inner:
    number: int = 0


@frozen
class Outer:
    text: str = ""
    switch: bool = False
    ratio: float = 0.5
    colour: Colour = Colour.RED
    version: Literal[1] = 1
    maybe: int | None = None
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    listed: list[str] = field(factory=list)
    mapped: dict[str, str | None] = field(factory=dict)
    anything: Any = None
    renamed: int = field(default=4, metadata={"name": "re-named", "parse": lambda data: data * 2, "show": str})
    hidden: int = field(default=7, metadata={"flag": True})


FULL = Outer("t", True, 1.5, Colour.RED, 1, 3, Inner(1), (Inner(2), Inner(3)), ["a"], {"k": None}, {"x": [1]})


def test_unstructure_makes_plain_data() -> None:
    plain = unstructure(FULL)
    assert plain["many"] == [{"number": 2}, {"number": 3}]
    assert type(plain["colour"]) is str
    assert plain["re-named"] == "4"
    assert "hidden" not in plain
    assert "renamed" not in plain


def test_structure_restores_the_types() -> None:
    plain = {**unstructure(FULL), "re-named": 2}
    again = structure(plain, Outer)
    assert again == FULL
    assert type(again.colour) is Colour
    assert type(again.many) is tuple


def test_a_missing_key_has_its_default() -> None:
    assert structure({}, Outer) == Outer()


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        *(("text", 1), ("text", None), ("switch", "no"), ("switch", 1), ("switch", "true")),
        *(("maybe", 1.5), ("maybe", "3"), ("maybe", True), ("ratio", "1"), ("ratio", True)),
        *(("colour", "blue"), ("colour", 1), ("version", 2), ("version", True), ("version", 1.0)),
        *(("inner", []), ("inner", {"number": "1"}), ("inner", {"more": 1}), ("many", "abc"), ("many", {"a": 1})),
        *(("many", [1]), ("listed", "abc"), ("listed", ("a",)), ("listed", [1]), ("mapped", {"k": 1}), ("unknown", 1)),
    ],
)
def test_refuses_a_value_of_another_type(key: str, wrong: Any) -> None:
    with pytest.raises(ClassValidationError):
        structure({key: wrong}, Outer)


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_refuses_data_that_are_not_a_mapping(data: Any) -> None:
    with pytest.raises(NotAMappingError) as error:
        structure(data, Inner)
    assert error.value.kind is Inner


def test_raises_all_errors_in_one_group() -> None:
    with pytest.raises(ClassValidationError) as error:
        structure({"text": 1, "switch": 2, "unknown": 3}, Outer)
    assert len(error.value.exceptions) == 3


def test_keys_are_those_of_the_document() -> None:
    assert "re-named" in keys_of(Outer)
    assert "hidden" not in keys_of(Outer)
