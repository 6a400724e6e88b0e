import pytest
from machines import A
from support import foreign

from zosstorage.errors import ConfigError, NoDiskError, NotEmptyError, ToolError
from zosstorage.model import Evidence
from zosstorage.planning.refusal import combined, contradiction, evidence_text, refusal


def test_the_refusal_of_one_disk_says_how_many_there_are():
    assert refusal([foreign(A)], 1).message.startswith(
        "1 of 1 target disk may not be written, nothing was written: /dev/sda: "
    )


def test_evidence_is_told_with_its_byte_and_check():
    found = [Evidence("wipefs", 0, "a signature"), Evidence("in use", None, "it is mounted")]
    assert evidence_text(found) == "a signature (at byte 0, check: wipefs), it is mounted (check: in use)"


def test_a_contradiction_says_that_nothing_was_written():
    error = contradiction("they differ", "choose one")
    assert (type(error), error.message, error.hint) == (
        NotEmptyError,
        "they differ; nothing was written",
        "choose one",
    )


WEIGHTS = [NoDiskError, NotEmptyError, ToolError, ConfigError]


@pytest.mark.parametrize("heaviest", range(len(WEIGHTS)))
def test_several_problems_are_one_error_of_the_weightiest_kind(heaviest):
    problems = [kind(kind.__name__, hint="do") for kind in reversed(WEIGHTS[heaviest:])]
    error = combined(problems)
    assert type(error) is WEIGHTS[heaviest]
    assert error.message == "; ".join(kind.__name__ for kind in reversed(WEIGHTS[heaviest:]))


def test_every_hint_is_given_once():
    problems = [
        ToolError("a", hint="install it"),
        ToolError("b", hint="install it"),
        ToolError("c"),
        ToolError("d", hint="x"),
    ]
    assert combined(problems).hint == "install it; x"
