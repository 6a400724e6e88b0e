"""The events of the log: their names, what they mean, and the fields of a line."""

from __future__ import annotations

from attrs import field, frozen

# Every line of the log has one of these names; they are stable.
EVENTS = {
    "run.begin": "a run or a step begins",
    "step.end": "what the last state of a step found or made, and which comes next",
    "run.end": "it ended with exit code 0",
    "state.begin": "a state begins",
    "state.end": "a state is done; `seconds` says how long it took",
    "state.skipped": "a state of an earlier run in this boot still holds",
    "done": "every state still holds: there was nothing to do",
    "disk.found": "an eligible disk",
    "disk.rejected": "a disk that is not eligible, with the reason; level debug",
    "disk.silent": "a device that is no target does not answer, so what it carries is not known",
    "scan.progress": "how much of whole disks was read",
    "verdict": "what a disk carries (`kind`: blank, ours or foreign); `check` and `offset` are of the first finding",
    "command": "a tool ended; `argv`, `status` and `seconds`",
    "command.retry": "a tool failed and is tried once more",
    "umount.failed": "a mount of this run could not be undone",
    "checkpoint.untrusted": "the checkpoint is not used, with the reason",
    "checkpoint.unsaved": "the checkpoint could not be written after a failure",
    "checkpoint.reset": "`reset` forgot states",
    "status": "the checkpoint that `status --json` prints is of another boot",
    "report.stale": "the report of an earlier run was renamed, because this run failed",
    "log.lost": "the reader of stderr stalled, and so many `lines` were dropped",
    "log.failed": "the log file cannot be written",
    "evidence": "one finding that led to the error below it",
    "refused": "the command ends before it changed anything: exit codes 2, 3, 4, 5, 7 and 8",
    "failed": "the command ends because something went wrong: exit codes 1 and 6",
    "stopped": "a signal ended the command",
    "traceback": "where in the program a defect is; level debug",
}


@frozen
class Event:
    """A line of the log in JSON. Lines have further fields: ignore those that you do not know.

    Attributes:
        time: when, RFC 3339.
        level: how severe it is.
        message: what happened, for people; its words may change.
        event: what happened, as a stable name.
        state: the state of the run.
        disk: the device node of the disk.
        check: the name of the check.
        offset: where on the disk, in bytes.
        exit_code: the exit code of the program.
        hint: what the operator can do.
    """

    time: str
    level: str = field(metadata={"schema": {"enum": ["DEBUG", "INFO", "WARNING", "ERROR"]}})
    message: str
    event: str = field(metadata={"schema": lambda: {"enum": list(EVENTS)}})
    state: str | None = None
    disk: str | None = None
    check: str | None = None
    offset: int | None = None
    exit_code: int | None = None
    hint: str | None = None
