"""JSON Schema from attrs classes."""

from enum import StrEnum
from typing import Any, Literal

import jsonschema
import pytest
from attrs import field, frozen

from zosstorage.output.jsonschema import json_schema


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@frozen
class Leaf:
    name: str
    weight: float = 1.0


@frozen
class Tree:
    """A tree.

    More about it.
    """

    kind: Literal["tree", "bush"]
    colour: Colour
    leaves: tuple[Leaf, ...]
    pair: tuple[int, str]
    notes: dict[str, list[int]]
    parent: "Tree | None" = None
    shade: Colour | None = None
    height: int | None = None
    either: int | Leaf = 0
    anything: Any = None
    seen: bool = field(default=False, metadata={"doc": "Was it seen?"})
    other_name: int = field(default=4, metadata={"name": "other-name", "schema": {"type": "integer", "minimum": 3}})
    hidden: int = field(default=0, metadata={"flag": True})
    made: list[int] = field(factory=list)


SCHEMA = json_schema(Tree)
GOOD = {
    "kind": "tree",
    "colour": "red",
    "leaves": [{"name": "a"}, {"name": "b", "weight": 2}],
    "pair": [1, "a"],
    "notes": {"x": [1, 2]},
}


def valid(document: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


def test_makes_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (SCHEMA["title"], SCHEMA["description"]) == ("Tree", "A tree.")
    assert SCHEMA["required"] == ["kind", "colour", "leaves", "pair", "notes"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"parent": {**GOOD, "parent": GOOD}},
        {"parent": None, "shade": None, "height": None},
        {
            "shade": "blue",
            "height": 3,
            "either": {"name": "x"},
            "anything": [1],
            "seen": True,
            "other-name": 3,
            "made": [1],
        },
    ],
)
def test_accepts_good_documents(more: dict[str, Any]) -> None:
    assert valid({**GOOD, **more})


@pytest.mark.parametrize(
    "more",
    [
        {"kind": "x"},
        {"colour": "green"},
        {"leaves": [{}]},
        {"leaves": [{"name": "a", "x": 1}]},
        {"pair": [1]},
        {"pair": [1, "a", 2]},
        {"notes": {"x": ["a"]}},
        {"parent": {}},
        {"shade": "green"},
        {"height": 1.5},
        {"either": "x"},
        {"seen": 1},
        {"other-name": 2},
        {"other_name": 3},
        {"hidden": 1},
        {"made": ["a"]},
        {"pair": ["a", 1]},
    ],
)
def test_refuses_bad_documents(more: dict[str, Any]) -> None:
    assert not valid({**GOOD, **more})


def test_a_complete_schema_requires_all_fields_and_has_no_defaults() -> None:
    schema = json_schema(Tree, complete=True)
    for described in (schema, *schema["$defs"].values()):
        assert described["required"] == list(described["properties"])
        assert all("default" not in field for field in described["properties"].values())
    assert not jsonschema.Draft202012Validator(schema).is_valid(GOOD)


def test_properties_have_defaults_and_descriptions() -> None:
    properties = SCHEMA["properties"]
    assert properties["seen"] == {"type": "boolean", "description": "Was it seen?", "default": False}
    assert properties["other-name"] == {"type": "integer", "minimum": 3, "default": 4}
    assert properties["shade"] == {"enum": ["red", "blue", None], "default": None}
    assert "default" not in properties["made"]


def test_a_class_without_a_docstring_has_no_description() -> None:
    assert "description" not in json_schema(Leaf)


def test_raises_for_a_type_without_a_schema() -> None:
    @frozen
    class Odd:
        what: complex

    with pytest.raises(TypeError, match="has no JSON Schema"):
        json_schema(Odd)
