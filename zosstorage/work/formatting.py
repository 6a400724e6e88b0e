"""Makes the filesystems of a plan in parallel and reads them back."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.block import claim, probe, sysfs, unfinished
from zosstorage.block.contents import read_content
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.facts import Filesystem
from zosstorage.filesystems import btrfs, vfat
from zosstorage.model import PartitionKind
from zosstorage.planning import commands
from zosstorage.system import blkidcache, reading, run, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zosstorage.facts import Facts
    from zosstorage.planned import Plan, PlannedFilesystem


def make(wanted: Sequence[PlannedFilesystem], facts: Facts, require_marks: Callable[[], None]) -> None:
    """Make filesystems in parallel, in partitions with the in-progress flag, and flush them.

    Args:
        wanted: the filesystems.
        facts: what the states before Format found or made.
        require_marks: raises if a partition lacks the in-progress flag on its disk. It is called while the probers
            read the partitions, and once more right before the first tool that writes is started.

    Raises:
        NotEmptyError: a partition carries something that zosstorage would not make there.
        ToolError: a mkfs is missing, failed or timed out.
    """
    _check_marked(wanted, facts.plan)
    leftovers = _leftovers(wanted, facts, require_marks)
    check_unused(wanted, facts, require_marks)
    _erase([filesystem for filesystem in wanted if filesystem.uuid in leftovers], facts)
    argvs = [commands.mkfs(facts.plan, one, facts.devices(one), force=one.uuid in leftovers) for one in wanted]
    with blkidcache.without_filesystems(sysfs.devices()) as env:
        completed = run.commands(argvs, ok=run.ANY_STATUS, env=env, writes=True)
    for filesystem, done in zip(wanted, completed, strict=True):
        if done.status not in filesystems.module(filesystem.type).FORMAT_STATUS:
            raise run.status_error(done)
    threads.flush([device for filesystem in wanted for device in facts.devices(filesystem)])


def _check_marked(wanted: Sequence[PlannedFilesystem], plan: Plan) -> None:
    """Check that the plan makes each partition of these filesystems: only those flags are required on the disk."""
    marked = {part.uuid for disk in plan.disks for part in disk.partitions if part.make}
    if unmarked := [one.uuid for one in wanted if not marked.issuperset(one.members)]:
        raise NotEmptyError(
            f"the plan makes {', '.join(unmarked)} in a partition that it keeps; nothing was made",
            hint="run zosstorage reset, then run again",
        )


def _leftovers(wanted: Sequence[PlannedFilesystem], facts: Facts, meanwhile: Callable[[], None]) -> set[str]:
    """Return the UUIDs of the filesystems whose partitions carry an unfinished filesystem of the same kind.

    Raises:
        NotEmptyError: a prober sees something else there. The in-progress flag means that content that zosstorage made
            is worthless, but other content must not be overwritten.
    """
    nodes = {device: filesystem for filesystem in wanted for device in facts.devices(filesystem)}
    signatures = probe.signatures(list(nodes), meanwhile)
    foreign = [
        f"{row.device} carries a signature of {row.type} labelled {row.label!r} at byte {row.offset} of it"
        for row in signatures
        if row.type != nodes[row.device].type or (row.label or _own_label(row.device)) != nodes[row.device].label
    ]
    if foreign:
        raise NotEmptyError(
            f"{'; '.join(foreign)}; the plan makes something else there, and nothing was made",
            hint="if it is not needed, erase it by hand (wipefs -a) and run again",
        )
    return {nodes[row.device].uuid for row in signatures}


def check_unused(wanted: Sequence[PlannedFilesystem], facts: Facts, then: Callable[[], None] = lambda: None) -> None:
    """Check by our own readers that partitions carry nothing but unfinished work of ours; then call `then`.

    All partitions are claimed until `then` has returned, so that no other program can start to use them.

    Raises:
        NotEmptyError: a partition is in use, or carries something that must not be overwritten.
    """
    kinds = {device: one.type for one in wanted for device in facts.devices(one)}
    parts = [part for part in facts.partitions if part.device in kinds]
    with ExitStack() as stack:
        flagged = [
            unfinished.Flagged(
                PartitionKind.ESP if kinds[part.device] == vfat.TYPE else PartitionKind.DATA,
                part.size_bytes,
                stack.enter_context(claim.claimed(part.device)),
                part.device,
            )
            for part in parts
        ]
        found = [
            f"{part.device} carries {problem}"
            for part, problem in zip(parts, reading.apart(partial(unfinished.problems, flagged)), strict=True)
            if problem
        ]
        if found:
            raise NotEmptyError(f"{'; '.join(found)}; nothing was written to it", hint=unfinished.HINT)
        then()


def _own_label(device: str) -> str:
    """Return the label in the superblock: wipefs shows none if the root directory of a FAT was never written."""
    content = read_content(device)
    return content.label if content else ""


def _erase(unfinished: Sequence[PlannedFilesystem], facts: Facts) -> None:
    """Erase the signatures of an unfinished btrfs; otherwise mkfs.btrfs refuses its UUID as one that is in use."""
    stale = [node for one in unfinished if one.type == btrfs.TYPE for node in facts.devices(one)]
    if stale:
        run.command(["wipefs", "--all", "--quiet", *stale], writes=True)


def read_back(facts: Facts) -> tuple[Filesystem, ...]:
    """Read each superblock of the filesystems of the plan, compare it with the plan, and return the filesystems.

    Raises:
        ToolError: a filesystem is missing or differs from the plan.
    """
    return reading.apart(lambda: tuple(_read_back(filesystem, facts) for filesystem in facts.plan.filesystems))


def _read_back(filesystem: PlannedFilesystem, facts: Facts) -> Filesystem:
    nodes = facts.devices(filesystem)
    wanted = (filesystem.type, filesystem.label, filesystem.uuid.lower(), len(nodes))
    seen = {device: read_content(device) for device in nodes}
    for device, content in seen.items():
        found = content and (content.type, content.label, content.uuid.lower(), content.devices)
        if found != wanted:
            raise ToolError(
                f"{device} was read back as {found or 'no filesystem of ours'}, expected {wanted}",
                hint="look for I/O errors in the kernel's log and run again",
            )
    if len({content.member for content in seen.values() if content}) != len(nodes):
        raise ToolError(f"the members of {filesystem.uuid} are not distinct devices of it", hint="run again")
    return Filesystem(filesystem.uuid, filesystem.label, filesystem.type, nodes)


def read_back_twice(facts: Facts) -> tuple[Filesystem, ...]:
    """Do the same as `read_back`, and compare with what libblkid reads.

    Raises:
        ToolError: a filesystem is missing or differs from the plan, or libblkid reads another type, label or UUID.
    """
    wanted = {
        device: (filesystem.type, filesystem.label, filesystem.uuid.lower())
        for filesystem in facts.plan.filesystems
        for device in facts.devices(filesystem)
    }
    seen, found = probe.contents(list(wanted), lambda: read_back(facts))
    for device, expected in wanted.items():
        if seen.get(device) != expected:
            raise ToolError(
                f"blkid reports {seen.get(device)} on {device}, expected {expected}",
                hint="look for I/O errors in the kernel's log and run again",
            )
    return found
