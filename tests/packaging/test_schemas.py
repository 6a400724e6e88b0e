"""The JSON Schemas that are installed as files."""

import json
from pathlib import Path

import jsonschema
import pytest
from program import call

from zosstorage import cli

SCHEMAS = Path(__file__).parents[2] / "schemas"


def test_there_is_a_file_for_each_document() -> None:
    assert {path.name for path in SCHEMAS.iterdir()} == {f"{name}.json" for name in cli.DOCUMENTS}


@pytest.mark.parametrize("name", cli.DOCUMENTS)
def test_a_file_is_what_the_program_prints_and_has_an_identifier(name: str) -> None:
    text = (SCHEMAS / f"{name}.json").read_text("utf-8")
    assert text == call("schema", name).stdout
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:zosstorage:schema:{name}"
    # References work with that identifier as the base.
    assert not jsonschema.Draft202012Validator(schema).is_valid({"version": "none"})
