"""The output of `plan`: each disk with its verdict and what a run would do to it, as text and as a document."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict, frozen

from zosstorage.model import Discovery, Disk, Firmware, Kind, PartitionKind, Verdict
from zosstorage.output import terminal
from zosstorage.output.terminal import paint
from zosstorage.planned import Plan, PlannedDisk, PlannedFilesystem, PlannedPartition
from zosstorage.planning.commands import PlannedCommand, commands
from zosstorage.planning.refusal import blank_text, evidence_text
from zosstorage.text import size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


def text(shown: PlanDocument, *, every: bool = False, verbose: bool = False, colour: bool = False) -> str:
    """Format the document as a table of at most 80 columns.

    Args:
        shown: the document.
        every: also show rejected disks of size 0.
        verbose: all evidence instead of one line a disk.
        colour: whether to add colours.
    """
    rejected = [one for one in shown.rejected if every or one.size_bytes]
    disks: list[ShownDisk | ShownRejected] = [*shown.disks, *rejected]
    rows = [("DISK", "SIZE", "TYPE", "TRANSPORT", "SERIAL", "VERDICT"), *map(_row, disks)]
    head, *lines = terminal.table(rows, shrinks=4)
    found = [*terminal.fold(_headline(shown)), ""]
    found.append(paint(head, "bold", on=colour))
    for disk, line in zip(disks, lines, strict=True):
        word = _row(disk)[-1]
        found.append(line.removesuffix(word) + paint(word, _COLOURS.get(word, ""), on=colour))
        found += _below(disk, shown, verbose=verbose)
    if hidden := len(shown.rejected) - len(rejected):
        found += ["", f"{hidden} of size 0 not shown: --all shows all devices"]
    if shown.commands:
        found += ["", "commands:"]
        for one in shown.commands:
            found += terminal.command([shlex.quote(word) for word in one.argv], f"  {one.state:<9}  ")
    if shown.error:
        found += ["", paint(f"refused with exit code {shown.error.exit_code}", "red", on=colour)]
        found += terminal.fold(shown.error.message, "", _INDENT)  # a label cannot forge a hint at the start of a line
        found += terminal.fold(shown.error.hint, "hint: ") if shown.error.hint else []
    return "\n".join(found) + "\n"


_COLOURS = {"blank": "green", "ours": "blue", "foreign": "red", "rejected": "dim"}
# Below the row of a disk.
_INDENT = "  "


def _headline(shown: PlanDocument) -> str:
    if shown.plan is None:
        return "refuse: nothing would be written"
    return f"{shown.action}: topology {shown.topology}, firmware {shown.firmware}"


def _row(disk: ShownDisk | ShownRejected) -> tuple[str, ...]:
    """The cells of a disk."""
    kind = "HDD" if disk.rotational else "SSD"
    verdict = str(disk.verdict.kind) if disk.verdict else "-"
    if isinstance(disk, ShownRejected):
        verdict = "rejected"
    return (disk.path, size(disk.size_bytes), kind, disk.transport or "-", disk.serial or "-", verdict)


def _below(disk: ShownDisk | ShownRejected, shown: PlanDocument, *, verbose: bool) -> Iterator[str]:
    """The lines below the row of a disk: why, what it will look like, what would be done."""
    reasons = [f"rejected: {disk.reason}"] if isinstance(disk, ShownRejected) else []
    if disk.verdict and disk.verdict.kind is Kind.BLANK:
        reasons.append(_blank(disk.verdict, verbose=verbose))
    if disk.verdict:
        reasons += [evidence_text([found]) for found in disk.verdict.evidence]
    if verbose:
        reasons = [f"model {disk.model or 'unknown'}, wwn {disk.wwn or 'unknown'}", *reasons]
        for reason in reasons:
            yield from terminal.fold(reason, _INDENT)
    elif reasons:
        yield terminal.one_line(
            reasons[0], _INDENT, f"(+{len(reasons) - 1}, --verbose)" if reasons[1:] else "(--verbose)"
        )
    if isinstance(disk, ShownDisk):
        yield from _bar(disk, shown.plan)
        for action in disk.actions:
            yield from terminal.fold(action, f"{_INDENT}> ")


def _blank(verdict: Verdict, *, verbose: bool) -> str:
    if verbose or not verdict.read:
        return blank_text(verdict)
    return f"zeros, no signature, no user; read {verdict.read}"


def _bar(disk: ShownDisk, plan: Plan | None) -> list[str]:
    """What the disk will look like, drawn: its partitions, each with the filesystem that will be in it."""
    planned = next((one for one in plan.disks if one.disk.path == disk.path), None) if plan else None
    if plan is None or planned is None:
        return []
    types = {member: one.type for one in plan.filesystems for member in one.members}
    parts = [(_label(part, types.get(part.uuid, "")), part.size_bytes) for part in planned.partitions]
    return [f"{_INDENT}{terminal.bar(parts, terminal.WIDTH - len(_INDENT))}"]


def _label(part: PlannedPartition, filesystem: str) -> str:
    if part.kind is PartitionKind.BIOS_BOOT:
        return "bios_boot"
    name = "ESP" if part.kind is PartitionKind.ESP else f"{part.name} {filesystem}"
    return f" {name} {size(part.size_bytes)} "
