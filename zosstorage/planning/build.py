"""Disks and configuration → what to make: pure, no I/O; the same input and UUIDs give the same plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from zosstorage.block import layout
from zosstorage.block.sysfs import matches
from zosstorage.errors import NoDiskError
from zosstorage.filesystems import LABELS, bcachefs, btrfs, vfat
from zosstorage.model import (
    Action,
    Disk,
    Firmware,
    Kind,
    PartitionKind,
    Plan,
    PlannedDisk,
    PlannedFilesystem,
    PlannedPartition,
    Role,
    SeenPartition,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from zosstorage.config.schema import Config


class Shape(NamedTuple):
    """What a topology asks for and makes.

    Attributes:
        single: each data filesystem has one device; else all disks share one.
        minimum: the fewest disks of data, of cache and of backing.
        maximum: the most disks in all, None for any number.
    """

    fstype: str
    single: bool
    minimum: tuple[int, int, int]
    maximum: int | None = None


SHAPES = {
    "single": Shape(btrfs.TYPE, single=True, minimum=(1, 0, 0), maximum=1),
    "dual_independent": Shape(btrfs.TYPE, single=True, minimum=(2, 0, 0)),
    "btrfs_raid1": Shape(btrfs.TYPE, single=False, minimum=(2, 0, 0)),
    "bcachefs_single": Shape(bcachefs.TYPE, single=True, minimum=(1, 0, 0), maximum=1),
    "ssd_hdd_bcachefs": Shape(bcachefs.TYPE, single=False, minimum=(0, 1, 1)),
    "bcachefs_2copy": Shape(bcachefs.TYPE, single=False, minimum=(0, 1, 2)),
}


def assign(disks: Sequence[Disk], config: Config) -> tuple[str, dict[str, Role]]:
    """Choose the topology (`auto` by the classes of the disks) and the role of each disk by its path.

    Raises:
        NoDiskError: the topology needs another number of disks, of cache disks or of backing disks.
    """
    classes = {disk.path: _class(disk, config) for disk in disks}
    mode = str(config.topology.mode)
    topology = _automatic(classes) if mode == "auto" else mode
    shape = SHAPES[topology]
    tiered = shape.minimum[1] > 0
    roles = classes if tiered else dict.fromkeys(classes, Role.DATA)
    _check_counts(topology, shape, roles)
    return topology, roles


def _class(disk: Disk, config: Config) -> Role:
    """Cache or backing: by the operator's globs, else an SSD is cache and a rotating disk is backing."""
    if matches(disk, config.topology.cache):
        return Role.CACHE
    if matches(disk, config.topology.backing):
        return Role.BACKING
    return Role.BACKING if disk.rotational else Role.CACHE


def _automatic(classes: dict[str, Role]) -> str:
    if len(classes) == 1:
        return "single"
    return "dual_independent" if len(set(classes.values())) == 1 else "ssd_hdd_bcachefs"


def _check_counts(topology: str, shape: Shape, roles: dict[str, Role]) -> None:
    have = list(roles.values())
    counts = [have.count(role) for role in (Role.DATA, Role.CACHE, Role.BACKING)]
    enough = all(count >= least for count, least in zip(counts, shape.minimum, strict=True))
    if enough and (shape.maximum is None or len(have) <= shape.maximum):
        return
    needs = [
        f"{'exactly' if shape.maximum else 'at least'} {least} {name} disk{'s' if least > 1 else ''}"
        for least, name in zip(shape.minimum, ("data", "cache", "backing"), strict=True)
        if least
    ]
    got = ", ".join(f"{path} as {role}" for path, role in roles.items()) or "none"
    raise NoDiskError(
        f"the topology {topology} needs {' and '.join(needs)}; eligible: {got}",
        hint="choose another topology.mode, or the disks by devices.include, topology.cache and topology.backing",
    )


class Target(NamedTuple):
    """A disk that the plan is about, and what it carries."""

    disk: Disk
    verdict: Verdict

    @property
    def seen(self) -> dict[PartitionKind, SeenPartition]:
        return {part.kind: part for part in self.verdict.partitions}


def build(  # noqa: PLR0913 - the parts of a plan
    topology: str,
    roles: dict[str, Role],
    targets: Sequence[Target],
    firmware: Firmware,
    config: Config,
    *,
    verdicts: Sequence[Verdict] = (),
    unused: Sequence[Disk] = (),
    new_uuid: Callable[[], UUID] = uuid4,
) -> Plan:
    """The plan for those disks: what is finished is kept, all else is to be made.

    A filesystem is finished when one of its partitions is: the marks are cleared only after all of it was read back.
    """
    finished = finished_uuids(targets)
    disks = [_disk(target, roles[target.disk.path], firmware, config, finished, new_uuid) for target in targets]
    esps = [_esp(target, disk, new_uuid) for target, disk in zip(targets, disks, strict=True)]
    data = _data(SHAPES[topology], targets, disks, finished, new_uuid)
    return Plan(
        _action(targets, disks),
        topology,
        firmware,
        tuple(disks),
        (*esps, *data),
        tuple(unused),
        tuple(verdicts),
    )


def finished_uuids(targets: Sequence[Target]) -> set[str]:
    """The UUIDs of the data filesystems that have an unmarked partition."""
    found = set()
    for target in targets:
        data = target.seen.get(PartitionKind.DATA)
        if data and data.content and not data.marked:
            found.add(data.content.uuid)
    return found


def _disk(
    target: Target,
    role: Role,
    firmware: Firmware,
    config: Config,
    finished: set[str],
    new_uuid: Callable[[], UUID],
) -> PlannedDisk:
    verdict = target.verdict
    blank = verdict.kind is Kind.BLANK
    guid = verdict.guid or str(new_uuid())
    partitions = tuple(
        _partition(number, slot, target, finished, new_uuid)
        for number, slot in enumerate(layout.slots(target.disk, firmware, role, config.partitions.esp_size), 1)
    )
    marks = blank or any(part.marked for part in verdict.partitions)
    return PlannedDisk(target.disk, role, guid, blank or verdict.torn, marks, partitions)


def _partition(
    number: int, slot: layout.Slot, target: Target, finished: set[str], new_uuid: Callable[[], UUID]
) -> PlannedPartition:
    seen = target.seen.get(slot.kind)
    kept = bool(seen and (not seen.marked or (seen.content and seen.content.uuid in finished)))
    uuid = seen.uuid if seen else str(new_uuid())
    return PlannedPartition(
        number, slot.kind, slot.name, slot.type, uuid, slot.start_bytes, slot.size_bytes, make=not kept
    )


def _of_kind(disk: PlannedDisk, kind: PartitionKind) -> PlannedPartition:
    return next(part for part in disk.partitions if part.kind is kind)


def _esp(target: Target, disk: PlannedDisk, new_uuid: Callable[[], UUID]) -> PlannedFilesystem:
    part = _of_kind(disk, PartitionKind.ESP)
    seen = target.seen.get(PartitionKind.ESP)
    serial = f"{new_uuid().int & 0xFFFFFFFF:08X}"
    kept = seen.content.uuid if seen and seen.content and not part.make else f"{serial[:4]}-{serial[4:]}"
    return PlannedFilesystem(vfat.TYPE, vfat.LABEL, kept, (part.uuid,), primary=False, make=part.make)


def _data(
    shape: Shape,
    targets: Sequence[Target],
    disks: Sequence[PlannedDisk],
    finished: set[str],
    new_uuid: Callable[[], UUID],
) -> list[PlannedFilesystem]:
    members = list(zip(targets, disks, strict=True))
    groups = [[member] for member in members] if shape.single else [members]
    kept = [number for number, group in enumerate(groups) if any(_data_uuid(target) in finished for target, _ in group)]
    primary = kept[0] if kept else 0  # its marks are cleared first: where one filesystem is finished, it is that one
    return [
        _filesystem(shape, group, finished, new_uuid, primary=number == primary) for number, group in enumerate(groups)
    ]


def _data_uuid(target: Target) -> str | None:
    seen = target.seen.get(PartitionKind.DATA)
    return seen.content.uuid if seen and seen.content else None


def _filesystem(
    shape: Shape,
    group: Sequence[tuple[Target, PlannedDisk]],
    finished: set[str],
    new_uuid: Callable[[], UUID],
    *,
    primary: bool,
) -> PlannedFilesystem:
    kept = [uuid for target, _ in group if (uuid := _data_uuid(target)) in finished and uuid]
    uuid = kept[0] if kept else str(new_uuid())
    members = tuple(_of_kind(disk, PartitionKind.DATA).uuid for _, disk in group)
    return PlannedFilesystem(shape.fstype, LABELS[shape.fstype], uuid, members, primary=primary, make=not kept)


def _action(targets: Sequence[Target], disks: Sequence[PlannedDisk]) -> Action:
    if all(target.verdict.kind is Kind.BLANK for target in targets):
        return Action.CREATE
    return Action.RESUME if any(disk.write_table or disk.clear_marks for disk in disks) else Action.ADOPT
