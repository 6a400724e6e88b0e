"""The output of `status`: the checkpoint as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.text import escaped

if TYPE_CHECKING:
    from zosstorage.checkpoint import Checkpoint, StateRecord


def text(found: Checkpoint) -> str:
    """Format a row for each state: its name, its status, when it ended, the seconds that it took, and its error."""
    rows = [("STATE", "STATUS", "FINISHED", "SECONDS", "ERROR"), *(_row(record) for record in found.states)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]).rstrip()
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _row(record: StateRecord) -> tuple[str, str, str, str, str]:
    seconds = "" if record.seconds is None else f"{record.seconds:.3f}"
    error = record.error.message if record.error else ""
    return (record.name, record.status, escaped(record.finished or ""), seconds, escaped(error))
