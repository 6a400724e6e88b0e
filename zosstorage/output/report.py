"""state.json: what an operator reads, and programs may rely on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from zosstorage.block import sysfs
from zosstorage.model import Action, Disk, Firmware, Mount, Role
from zosstorage.value import Value

if TYPE_CHECKING:
    from zosstorage.model import Facts, Filesystem

Status = Literal["provisioned", "already_provisioned"]


class ReportedPartition(Value):
    number: int
    device: str
    name: str
    type: str
    uuid: str
    start_bytes: int
    size_bytes: int


class ReportedDisk(Value):
    path: str
    role: Role
    size_bytes: int
    sector_size: int
    rotational: bool
    model: str
    serial: str
    wwn: str
    partitions: tuple[ReportedPartition, ...]


class ReportedFilesystem(Value):
    """A filesystem; `mountpoint` is where all of it is mounted, null for an ESP."""

    uuid: str
    label: str
    type: str
    devices: tuple[str, ...]
    mountpoint: str | None
    primary: bool


class Report(Value):
    """The document; sizes and offsets in bytes, `timestamp` RFC 3339 in UTC, `fstab` the path written or null."""

    version: Literal[1]
    status: Status
    timestamp: str
    topology: str
    firmware: Firmware
    disks: tuple[ReportedDisk, ...]
    filesystems: tuple[ReportedFilesystem, ...]
    mounts: tuple[Mount, ...]
    fstab: str | None


def build(facts: Facts, fstab: str | None) -> Report:
    """The report of a machine that is provisioned now."""
    plan = facts.plan
    return Report(
        1,
        "already_provisioned" if plan.action is Action.ADOPT else "provisioned",
        datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        plan.topology,
        plan.firmware,
        _disks(facts),
        tuple(_filesystem(filesystem, facts) for filesystem in facts.filesystems),
        facts.mounts,
        fstab,
    )


def _disks(facts: Facts) -> tuple[ReportedDisk, ...]:
    roles = {planned.disk.path: planned.role for planned in facts.plan.disks}
    disks = [*(planned.disk for planned in facts.plan.disks), *facts.plan.unused]
    return tuple(
        _disk(disk, roles.get(disk.path, Role.UNUSED), facts)
        for disk in sorted(disks, key=lambda disk: sysfs.natural_key(disk.name))
    )


def _disk(disk: Disk, role: Role, facts: Facts) -> ReportedDisk:
    partitions = tuple(
        ReportedPartition(part.number, part.device, part.name, part.type, part.uuid, part.start_bytes, part.size_bytes)
        for part in facts.partitions
        if part.disk == disk.path
    )
    return ReportedDisk(
        disk.path,
        role,
        disk.size_bytes,
        disk.sector_size,
        disk.rotational,
        disk.model,
        disk.serial,
        disk.wwn,
        partitions,
    )


def _filesystem(filesystem: Filesystem, facts: Facts) -> ReportedFilesystem:
    source = f"UUID={filesystem.uuid}"
    mounted = [mount.target for mount in facts.mounts if mount.source == source]
    return ReportedFilesystem(
        filesystem.uuid,
        filesystem.label,
        filesystem.type,
        filesystem.devices,
        mounted[0] if mounted else None,
        primary=len(mounted) > 1,
    )
