from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import pytest

from zosstorage.plain import plain, structure
from zosstorage.value import Record, Value


class Colour(StrEnum):
    RED = "red"


class Inner(Value):
    number: int
    ratio: float = 0.5


class Outer(Record):
    name: str
    colour: Colour
    inner: Inner | None
    many: tuple[Inner, ...] = ()
    status: Literal["done", "failed"] = "done"
    listed: list[bool] | None = None
    any: Any = None


WHOLE = Outer("a", Colour.RED, Inner(1), (Inner(2, 3.0), Inner(4)), "failed", [True, False], {"free": [1]})
PLAIN = {
    "name": "a",
    "colour": "red",
    "inner": {"number": 1, "ratio": 0.5},
    "many": [{"number": 2, "ratio": 3.0}, {"number": 4, "ratio": 0.5}],
    "status": "failed",
    "listed": [True, False],
    "any": {"free": [1]},
}


def test_there_and_back():
    assert plain(WHOLE) == PLAIN
    assert structure(PLAIN, Outer) == WHOLE
    assert isinstance(structure(PLAIN, Outer).many, tuple)


def test_defaults_stand_in_for_what_is_missing():
    found = structure({"name": "a", "colour": "red", "inner": None}, Outer)
    assert found == Outer("a", Colour.RED, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": 1},
        {"name": None},
        {"colour": "blue"},
        {"colour": None},
        {"inner": []},
        {"inner": {"number": True}},
        {"inner": {"number": 1.0}},
        {"inner": {"number": "1"}},
        {"inner": {"ratio": 1.0}},
        {"inner": {"number": 1, "more": 1}},
        {"many": {}},
        {"many": "ab"},
        {"many": [None]},
        {"status": "pending"},
        {"listed": [0]},
        {"more": 1},
    ],
    ids=str,
)
def test_nothing_is_converted_and_nothing_ignored(changes):
    with pytest.raises((ValueError, TypeError)):
        structure(PLAIN | changes, Outer)


@pytest.mark.parametrize("data", [None, 1, "a", [], [1]])
def test_what_is_no_map_at_all(data):
    with pytest.raises((ValueError, TypeError)):
        structure(data, Outer)


def test_a_whole_number_is_a_ratio_too():
    assert structure({"number": 1, "ratio": 2}, Inner).ratio == 2
