"""What commands print: the plan, the status table, as text for people and as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zosstorage import checkpoint
from zosstorage.model import Kind
from zosstorage.plain import plain
from zosstorage.planning.decide import tell
from zosstorage.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.checkpoint import Checkpoint, StateRecord
    from zosstorage.errors import ZosstorageError
    from zosstorage.model import Discovery, Disk, Plan, PlannedDisk, PlannedFilesystem, Verdict

_KIB, _UNITS = 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float) -> str:
    """Bytes for people: 9.5 GiB."""
    for unit in _UNITS[:-1]:
        if count < _KIB:
            return f"{count:.4g} {unit}"
        count /= _KIB
    return f"{count:.4g} {_UNITS[-1]}"


class Outlook(Value):
    """What `plan` tells: every disk that was seen, and the plan or why there is none."""

    discovery: Discovery
    verdicts: tuple[Verdict, ...]
    plan: Plan | None
    error: ZosstorageError | None

    def as_text(self) -> str:
        lines = [self._headline()]
        verdicts = {verdict.path: verdict for verdict in self.verdicts}
        for disk in self.discovery.disks:
            lines += _disk_lines(disk, verdicts.get(disk.path), self._actions(disk))
        for one in self.discovery.rejected:
            first, *others = _disk_lines(one.disk, verdicts.get(one.disk.path), [])
            lines += [f"{first}  rejected: {one.reason}", *others]
        return "\n".join(lines) + "\n"

    def _headline(self) -> str:
        if self.plan:
            return f"{self.plan.action}: topology {self.plan.topology}, firmware {self.plan.firmware}"
        return "refuse: nothing would be written"

    def _actions(self, disk: Disk) -> list[str]:
        if self.plan is None:
            return []
        planned = next((one for one in self.plan.disks if one.disk.path == disk.path), None)
        return _planned_lines(planned, self.plan) if planned else ["leave it alone"]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON data."""
        verdicts = {verdict.path: plain(verdict) for verdict in self.verdicts}
        return {
            "version": 1,
            "action": self.plan.action if self.plan else "refuse",
            "topology": self.plan.topology if self.plan else None,
            "firmware": self.discovery.firmware,
            "disks": [
                {**plain(disk), "verdict": verdicts.get(disk.path), "actions": self._actions(disk)}
                for disk in self.discovery.disks
            ],
            "rejected": [
                {**plain(one.disk), "reason": one.reason, "verdict": verdicts.get(one.disk.path)}
                for one in self.discovery.rejected
            ],
            "filesystems": [plain(fs) for fs in self.plan.filesystems] if self.plan else [],
            "error": {"message": self.error.message, "hint": self.error.hint, "exit_code": int(self.error.exit_code)}
            if self.error
            else None,
        }


def _disk_lines(disk: Disk, verdict: Verdict | None, actions: Sequence[str]) -> list[str]:
    kind = "rotating" if disk.rotational else "SSD"
    name = " ".join(word for word in (disk.model, disk.serial) if word)
    head = "  ".join(word for word in (disk.path, size(disk.size_bytes), kind, name) if word)
    if verdict is None:
        return [head]
    lines = [f"{head}  {verdict.kind}"]
    if verdict.kind is Kind.BLANK:
        lines.append("    no signature, nothing uses it, every byte that was read is zero")
    lines += [f"    {tell([found])}" for found in verdict.evidence]
    return lines + [f"  → {action}" for action in actions]


def _planned_lines(planned: PlannedDisk, plan: Plan) -> list[str]:
    lines = []
    if planned.write_table:
        parts = ", ".join(
            f"{part.number} {part.name} ({part.kind}) {size(part.size_bytes)}" for part in planned.partitions
        )
        lines.append(f"write a GPT: {parts}")
    here = {part.uuid: part for part in planned.partitions}
    for filesystem in plan.filesystems:
        mine = [here[member] for member in filesystem.members if member in here]
        lines += [_filesystem_line(filesystem, part.number, planned.role) for part in mine]
    if planned.clear_marks and not any(part.make for part in planned.partitions):
        lines.append("clear the marks of an earlier run")
    return lines


def _filesystem_line(filesystem: PlannedFilesystem, number: int, role: str) -> str:
    what = f"{filesystem.type} {filesystem.label}"
    if not filesystem.make:
        return f"keep {what} on partition {number}"
    count = len(filesystem.members)
    shared = f" across {count} disks, as {role}" if count > 1 else ""
    return f"make {what} on partition {number}{shared}"


def status_text(found: Checkpoint | None) -> str:
    """The checkpoint as a table: state, status, when it ended, seconds, the error."""
    records = (found or checkpoint.Checkpoint()).states
    rows = [("STATE", "STATUS", "FINISHED", "SECONDS", "ERROR"), *(_status_row(record) for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]).rstrip()
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _status_row(record: StateRecord) -> tuple[str, str, str, str, str]:
    seconds = "" if record.seconds is None else f"{record.seconds:.3f}"
    error = record.error.message if record.error else ""
    return (record.name, record.status, record.finished or "", seconds, error)
