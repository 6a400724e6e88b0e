"""The output of `status`."""

import re
from collections.abc import Callable

from zosstorage.checkpoint import Checkpoint, Failure
from zosstorage.output import status


def test_prints_a_row_for_each_state(golden: Callable[[str, str], None]) -> None:
    checkpoint = Checkpoint()
    first, second = checkpoint.states[:2]
    first.status, first.finished, first.seconds = "done", "2026-01-01T00:00:00.000Z", 0.1234
    second.status, second.finished, second.seconds = "failed", "2026-01-01T00:00:01.000Z", 12.0
    second.error = Failure("1 of 2 disks may not be written", "erase it", 5)
    golden("status.txt", status.text(checkpoint))


def test_an_error_that_does_not_fit_80_columns_is_folded_below_its_row() -> None:
    checkpoint = Checkpoint()
    checkpoint.states[1].status = "failed"
    checkpoint.states[1].error = Failure("word " * 50, "look " * 30, 5)
    lines = status.text(checkpoint).splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines).count("word") == 50
    assert lines[3].startswith("  word")


def test_colours_only_if_asked() -> None:
    checkpoint = Checkpoint()
    checkpoint.states[0].status = "done"
    coloured = status.text(checkpoint, colour=True)
    assert "discover  \x1b[32mdone\x1b[0m" in coloured.replace("discover   ", "discover  ")
    assert re.sub(r"\x1b\[\d+m", "", coloured) == status.text(checkpoint)


def test_an_empty_checkpoint_has_all_states_pending() -> None:
    lines = status.text(Checkpoint()).splitlines()
    assert len(lines) == 7
    assert all(line.endswith("pending") for line in lines[1:])


def test_what_is_foreign_is_escaped() -> None:
    checkpoint = Checkpoint()
    checkpoint.states[0].error = Failure("label \x1b[2J\nreport  done", "", 5)
    lines = status.text(checkpoint).splitlines()
    assert len(lines) == 7
    assert "\\x1b[2J\\x0areport" in lines[1]
