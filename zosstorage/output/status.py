"""The output of `status`: the checkpoint as a table, and what it means for this boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.errors import ExitCode
from zosstorage.output import terminal
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


_COLOURS = {"done": "green", "failed": "red", "pending": "dim"}


def text(found: Checkpoint, *, colour: bool = False) -> str:
    """Format a row for each state: its name, its status, when it ended, the seconds that it took, and its error.

    No line has more than 80 columns: an error that does not fit is folded below its row.
    """
    rows = [("STATE", "STATUS", "FINISHED", "SECONDS"), *(_row(record) for record in found.states)]
    head, *lines = terminal.table(rows)
    shown = [terminal.paint(head, "bold", on=colour)]
    width = max(map(len, (head, *lines)))
    for record, line in zip(found.states, lines, strict=True):
        error = escaped(record.error.message) if record.error else ""
        beside = len(error) <= terminal.WIDTH - width - 2
        whole = f"{line.ljust(width)}  {error}".rstrip() if beside else line
        painted = terminal.paint(record.status, _COLOURS[record.status], on=colour)
        shown.append(whole.replace(record.status, painted, 1) if colour else whole)
        shown += [] if beside else terminal.fold(error, "  ")
        shown += terminal.fold(record.error.hint, "  hint: ") if record.error and record.error.hint else []
    return "\n".join(shown) + "\n"


def _row(record: StateRecord) -> tuple[str, str, str, str]:
    seconds = "" if record.seconds is None else f"{record.seconds:.3f}"
    return (record.name, record.status, record.finished or "", seconds)
