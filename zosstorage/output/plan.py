"""The output of `plan`: each disk with its verdict and what a run would do to it, as text and as a document."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict, frozen

from zosstorage.model import Discovery, Disk, Firmware, Kind, Verdict
from zosstorage.planned import Plan, PlannedDisk, PlannedFilesystem
from zosstorage.planning.commands import PlannedCommand, commands
from zosstorage.planning.refusal import blank_text, evidence_text
from zosstorage.text import escaped, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.errors import ZosstorageError


@frozen
class ShownDisk(Disk):
    """An eligible disk with its verdict and what a run would do to it.

    Attributes:
        verdict: the verdict; null if the disk was not examined.
        actions: one phrase for each action; empty if the plan was refused.
    """

    verdict: Verdict | None = None
    actions: tuple[str, ...] = ()


@frozen
class ShownRejected(Disk):
    """A disk that is not eligible.

    Attributes:
        reason: why it is not eligible.
        verdict: the verdict; null if the disk was not examined.
    """

    reason: str = ""
    verdict: Verdict | None = None


@frozen
class Refusal:
    """Why a run would write nothing.

    Attributes:
        message: what is wrong, in one sentence.
        hint: what the operator can do; may be empty.
        exit_code: the exit code of a run.
    """

    message: str
    hint: str
    exit_code: int


@frozen
class PlanDocument:
    """What a run would do.

    Attributes:
        version: the version of the document format.
        action: what the run would do to the disks, or `refuse`.
        topology: the name of the topology; null if refused.
        firmware: how the machine boots.
        disks: the eligible disks, in natural order.
        rejected: the disks that are not eligible, in natural order.
        filesystems: the filesystems that the run would make or keep.
        error: why the run would be refused, or null.
        plan: the decisions; null if refused.
        commands: the commands that would run, in order.
    """

    version: Literal[1]
    action: Literal["create", "resume", "adopt", "refuse"]
    topology: str | None
    firmware: Firmware
    disks: tuple[ShownDisk, ...]
    rejected: tuple[ShownRejected, ...]
    filesystems: tuple[PlannedFilesystem, ...]
    error: Refusal | None
    plan: Plan | None
    commands: tuple[PlannedCommand, ...]


def document(
    discovery: Discovery, verdicts: Sequence[Verdict], plan: Plan | None, error: ZosstorageError | None
) -> PlanDocument:
    """Make the document of a plan or, with an `error`, of a refusal.

    Args:
        discovery: the eligible and the rejected disks.
        verdicts: the verdicts on some of these disks, in any order.
        plan: the plan; None if it was refused.
        error: why it was refused; None if it was not.
    """
    known = {verdict.path: verdict for verdict in verdicts}
    return PlanDocument(
        1,
        plan.action.value if plan else "refuse",
        plan.topology if plan else None,
        discovery.firmware,
        tuple(
            ShownDisk(**_fields(one), verdict=known.get(one.path), actions=_actions(one, plan))
            for one in discovery.disks
        ),
        tuple(
            ShownRejected(**_fields(one.disk), reason=one.reason, verdict=known.get(one.disk.path))
            for one in discovery.rejected
        ),
        plan.filesystems if plan else (),
        Refusal(error.message, error.hint, int(error.exit_code)) if error else None,
        plan,
        commands(plan) if plan else (),
    )


def _fields(disk: Disk) -> dict[str, Any]:
    return asdict(disk, recurse=False)


def _actions(disk: Disk, plan: Plan | None) -> tuple[str, ...]:
    if plan is None:
        return ()
    planned = next((one for one in plan.disks if one.disk == disk), None)
    return tuple(_planned_actions(planned, plan)) if planned else ("leave unchanged",)


def _planned_actions(planned: PlannedDisk, plan: Plan) -> list[str]:
    found = []
    if planned.write_table:
        parts = (f"{part.number} {part.name} ({part.kind}) {size(part.size_bytes)}" for part in planned.partitions)
        found.append(f"write a GPT: {', '.join(parts)}")
    here = {part.uuid: part for part in planned.partitions}
    for filesystem in plan.filesystems:
        mine = [here[member] for member in filesystem.members if member in here]
        found += [_filesystem_action(filesystem, part.number, planned.role) for part in mine]
    if planned.clear_marks and not any(part.make for part in planned.partitions):
        found.append("clear the in-progress flags of an earlier run")
    return found


def _filesystem_action(filesystem: PlannedFilesystem, number: int, role: str) -> str:
    what = f"{filesystem.type} {filesystem.label}"
    if not filesystem.make:
        return f"keep {what} on partition {number}"
    count = len(filesystem.members)
    shared = f" across {count} disks, as {role}" if count > 1 else ""
    return f"make {what} on partition {number}{shared}"


def text(shown: PlanDocument) -> str:
    """Format the document as text."""
    lines = [_headline(shown)]
    for disk in shown.disks:
        lines += [*_disk_lines(disk, disk.verdict), *(f"  → {action}" for action in disk.actions)]
    for one in shown.rejected:
        first, *others = _disk_lines(one, one.verdict)
        lines += [f"{first}  rejected: {one.reason}", *others]
    if shown.commands:
        lines += ["commands:", *(f"  {one.state:<9}  {shlex.join(one.argv)}" for one in shown.commands)]
    return "\n".join(map(escaped, lines)) + "\n"


def _headline(shown: PlanDocument) -> str:
    if shown.plan is None:
        return "refuse: nothing would be written"
    return f"{shown.action}: topology {shown.topology}, firmware {shown.firmware}"


def _disk_lines(disk: Disk, verdict: Verdict | None) -> list[str]:
    kind = "rotating" if disk.rotational else "SSD"
    name = " ".join(word for word in (disk.model, disk.serial) if word)
    head = "  ".join(word for word in (disk.path, size(disk.size_bytes), kind, name) if word)
    if verdict is None:
        return [head]
    lines = [f"{head}  {verdict.kind}"]
    if verdict.kind is Kind.BLANK:
        lines.append(f"    {blank_text(verdict)}")
    return lines + [f"    {evidence_text([found])}" for found in verdict.evidence]
