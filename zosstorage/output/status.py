"""The output of `status`: the checkpoint as a table, and what it means for this boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.errors import ExitCode
from zosstorage.text import escaped

if TYPE_CHECKING:
    from zosstorage.checkpoint import Checkpoint, StateRecord


def exit_code(found: Checkpoint | None, boot: str) -> ExitCode:
    """The exit code of `status`.

    Args:
        found: the checkpoint; None if there is none.
        boot: the UUID of this boot; empty if it is unknown, which no checkpoint is of.

    Returns:
        OK if all states are done in this boot, DEFECT if one failed in it, else NO_DISK: a run is still to come.
    """
    if found is None or not _is_of(found, boot):
        return ExitCode.NO_DISK
    if any(record.status == "failed" for record in found.states):
        return ExitCode.DEFECT
    return ExitCode.OK if found.completed == len(found.states) else ExitCode.NO_DISK


def _is_of(found: Checkpoint, boot: str) -> bool:
    return bool(boot) and found.boot_id == boot


def summary(found: Checkpoint | None, boot: str) -> str:
    """One sentence: what the checkpoint says about this boot."""
    if found is None:
        return "no checkpoint: nothing was run in this boot, or it was reset"
    if not _is_of(found, boot):
        return f"the checkpoint is of another boot ({found.boot_id or 'unknown'}): in this one, nothing was run"
    failed = next((record.name for record in found.states if record.status == "failed"), None)
    if failed:
        return f"{failed} failed in this boot"
    count = len(found.states)
    if found.completed == count:
        return "all states are done in this boot"
    following = found.states[found.completed].name
    return f"{found.completed} of {count} states are done in this boot; the next one is {following}"


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
