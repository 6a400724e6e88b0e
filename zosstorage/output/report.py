"""The report, state.json, for operators and programs; docs/REPORT.md describes it."""

from __future__ import annotations

import json
from typing import Literal

from attrs import frozen

from zosstorage import converter
from zosstorage.block.sysfs import natural_key
from zosstorage.facts import Facts, Filesystem, Mount, Partition
from zosstorage.model import Disk, Firmware, Role
from zosstorage.planned import Action, PlannedDisk
from zosstorage.text import utc_now

Status = Literal["provisioned", "already_provisioned"]


@frozen
class ReportedDisk:
    """A disk and its partitions.

    Attributes:
        path: its device node.
        role: its purpose.
        size_bytes: its size in bytes.
        sector_size: its logical sector size in bytes.
        rotational: whether the kernel reports rotating media.
        model: its model name; empty if there is none.
        serial: its serial number; empty if there is none.
        wwn: its World Wide Name; empty if there is none.
        partitions: its partitions; empty for an unused disk, whatever is on it.
    """

    path: str
    role: Role
    size_bytes: int
    sector_size: int
    rotational: bool
    model: str
    serial: str
    wwn: str
    partitions: tuple[Partition, ...]


@frozen
class ReportedFilesystem:
    """A filesystem.

    Attributes:
        uuid: its UUID, or the volume ID of an ESP.
        label: its label.
        type: `btrfs`, `bcachefs` or `vfat`.
        devices: the device nodes of its partitions.
        mountpoint: where the top of the filesystem is mounted; null for an ESP.
        primary: whether its subvolumes are mounted at the targets.
    """

    uuid: str
    label: str
    type: str
    devices: tuple[str, ...]
    mountpoint: str | None
    primary: bool


@frozen
class Report:
    """The report about a provisioned machine. Sizes and offsets are in bytes.

    Attributes:
        version: the version of the document format.
        status: whether this run made the filesystems or found them finished.
        timestamp: when the report was written, RFC 3339 in UTC.
        topology: the name of the topology.
        firmware: how the machine boots.
        disks: all eligible disks, in natural order.
        filesystems: the ESPs and the data filesystems.
        mounts: the mounts that were made.
        fstab: the path of the fstab that was written, or null.
    """

    version: Literal[1]
    status: Status
    timestamp: str
    topology: str
    firmware: Firmware
    disks: tuple[ReportedDisk, ...]
    filesystems: tuple[ReportedFilesystem, ...]
    mounts: tuple[Mount, ...]
    fstab: str | None


def build(facts: Facts) -> Report:
    """Make the report from the facts of all states; the timestamp is the current time."""
    plan = facts.plan
    return Report(
        1,
        "already_provisioned" if plan.action is Action.ADOPT else "provisioned",
        utc_now(),
        plan.topology,
        plan.firmware,
        _disks(facts),
        tuple(_filesystem(one, facts) for one in facts.filesystems),
        facts.mounted.mounts,
        plan.fstab,
    )


def text(report: Report) -> str:
    """Format the report as indented JSON, with a newline at its end."""
    return json.dumps(converter.unstructure(report), indent=2) + "\n"


def _disks(facts: Facts) -> tuple[ReportedDisk, ...]:
    used = [_disk(planned.disk, planned.role, _partitions(planned, facts)) for planned in facts.plan.disks]
    unused = [_disk(disk, Role.UNUSED, ()) for disk in facts.plan.unused]
    return tuple(sorted((*used, *unused), key=lambda disk: natural_key(disk.path)))


def _partitions(planned: PlannedDisk, facts: Facts) -> tuple[Partition, ...]:
    mine = {part.uuid for part in planned.partitions}
    return tuple(part for part in facts.partitions if part.uuid in mine)


def _disk(disk: Disk, role: Role, partitions: tuple[Partition, ...]) -> ReportedDisk:
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


def _filesystem(made: Filesystem, facts: Facts) -> ReportedFilesystem:
    planned = next(one for one in facts.plan.filesystems if one.uuid == made.uuid)
    return ReportedFilesystem(
        made.uuid,
        made.label,
        made.type,
        made.devices,
        planned.top.target if planned.top else None,
        made.uuid == facts.mounted.primary,
    )
