"""Refusals as errors, and several errors as one."""

import pytest
from machines import A
from support import foreign

from zosstorage.errors import ConfigError, NoDiskError, NotEmptyError, ToolError, ZosstorageError
from zosstorage.model import Evidence
from zosstorage.planning.refusal import combined, contradiction, evidence_text, refusal


def test_the_refusal_of_one_disk_says_how_many_there_are() -> None:
    assert refusal([foreign(A)], 1).message.startswith(
        "1 of 1 target disk may not be written, nothing was written: /dev/sda: "
    )


def test_the_text_of_evidence_has_byte_and_check() -> None:
    found = [Evidence("wipefs", 0, "a signature"), Evidence("in use", None, "it is mounted")]
    assert evidence_text(found) == "a signature (at byte 0, check: wipefs), it is mounted (check: in use)"


def test_a_contradiction_says_that_nothing_was_written() -> None:
    error = contradiction("they differ", "choose one")
    assert (type(error), error.message, error.hint) == (
        NotEmptyError,
        "they differ; nothing was written",
        "choose one",
    )


BY_GRAVITY: list[type[ZosstorageError]] = [NoDiskError, NotEmptyError, ToolError, ConfigError]


@pytest.mark.parametrize("gravest", range(len(BY_GRAVITY)))
def test_a_combined_error_has_the_gravest_class(gravest: int) -> None:
    problems = [kind(kind.__name__, hint="do") for kind in reversed(BY_GRAVITY[gravest:])]
    error = combined(problems)
    assert type(error) is BY_GRAVITY[gravest]
    assert error.message == "; ".join(kind.__name__ for kind in reversed(BY_GRAVITY[gravest:]))


def test_a_combined_error_has_each_hint_once() -> None:
    problems = [
        ToolError("a", hint="install it"),
        ToolError("b", hint="install it"),
        ToolError("c"),
        ToolError("d", hint="x"),
    ]
    assert combined(problems).hint == "install it; x"
