"""Build the plan from disks in their roles and the configuration. Pure: equal input and UUIDs give an equal plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from zosstorage import filesystems
from zosstorage.block import layout
from zosstorage.filesystems import bcachefs, btrfs, vfat
from zosstorage.model import Disk, Firmware, Kind, PartitionKind
from zosstorage.planned import Action, Plan, PlannedDisk, PlannedFilesystem, PlannedMount, PlannedPartition
from zosstorage.planning.roles import Target
from zosstorage.system.files import under

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from zosstorage.config.schema import Config
    from zosstorage.planning.roles import Member
    from zosstorage.topologies import Topology

    NewUuid = Callable[[], UUID]


@frozen
class _Layout:
    """A target disk and what is planned for it."""

    target: Target
    planned: PlannedDisk

    def partition(self, kind: PartitionKind) -> PlannedPartition:
        """The planned partition of a kind."""
        return next(part for part in self.planned.partitions if part.kind is kind)


def build(
    topology: Topology,
    members: Sequence[Member],
    firmware: Firmware,
    config: Config,
    new_uuid: NewUuid,
    unused: Sequence[Disk] = (),
) -> Plan:
    """Plan the disks of a topology: finished filesystems are kept, all others are made.

    One partition without the in-progress flag is enough to call a filesystem finished: a run clears the first flag only
    after it read back all of the filesystem.

    Args:
        topology: the topology that the disks get or have.
        members: the disks in their roles.
        firmware: how the machine boots.
        config: sizes, options and paths.
        new_uuid: called for each new UUID.
        unused: the eligible disks that the run does not use.
    """
    finished = finished_uuids(member.target for member in members)
    layouts = [_Layout(member.target, _disk(member, firmware, config, finished, new_uuid)) for member in members]
    esps = [_esp(one, config, new_uuid) for one in layouts]
    data = _data(topology, layouts, config, finished, new_uuid)
    return Plan(
        _action(layouts),
        topology.name,
        firmware,
        tuple(one.planned for one in layouts),
        (*esps, *data),
        _primary(data),
        tuple(unused),
        _targets(topology, config),
        under(config.root, config.fstab.path) if config.fstab.enabled else None,
    )


def finished_uuids(targets: Iterable[Target]) -> set[str]:
    """The UUIDs of the data filesystems that have a partition without the in-progress flag."""
    partitions = (target.seen(PartitionKind.DATA) for target in targets)
    return {part.content.uuid for part in partitions if part and part.content and not part.marked}


def _disk(member: Member, firmware: Firmware, config: Config, finished: set[str], new_uuid: NewUuid) -> PlannedDisk:
    target, verdict = member.target, member.target.verdict
    blank = verdict.kind is Kind.BLANK
    guid = verdict.guid or str(new_uuid())
    without_uuids = layout.partitions(target.disk, firmware, member.role, config.partitions.esp_size)
    partitions = tuple(_partition(part, target, finished, new_uuid) for part in without_uuids)
    clear_marks = blank or any(part.marked for part in verdict.partitions)
    return PlannedDisk(target.disk, member.role, guid, blank, blank or verdict.torn, clear_marks, partitions)


def _partition(part: PlannedPartition, target: Target, finished: set[str], new_uuid: NewUuid) -> PlannedPartition:
    seen = target.seen(part.kind)
    kept = bool(seen and (not seen.marked or (seen.content and seen.content.uuid in finished)))
    return evolve(part, uuid=seen.uuid if seen else str(new_uuid()), make=not kept)


def _esp(of: _Layout, config: Config, new_uuid: NewUuid) -> PlannedFilesystem:
    planned, seen = of.partition(PartitionKind.ESP), of.target.seen(PartitionKind.ESP)
    serial = f"{new_uuid().int & 0xFFFFFFFF:08X}"
    volume_id = seen.content.uuid if seen and seen.content and not planned.make else f"{serial[:4]}-{serial[4:]}"
    options = config.filesystems.vfat.mkfs_options
    return PlannedFilesystem(vfat.TYPE, vfat.LABEL, volume_id, (planned.uuid,), planned.make, options)


def _data(
    topology: Topology, layouts: Sequence[_Layout], config: Config, finished: set[str], new_uuid: NewUuid
) -> list[PlannedFilesystem]:
    groups = [layouts] if topology.shared else [[one] for one in layouts]
    return [_filesystem(topology, group, config, finished, new_uuid) for group in groups]


def _filesystem(
    topology: Topology, group: Sequence[_Layout], config: Config, finished: set[str], new_uuid: NewUuid
) -> PlannedFilesystem:
    kept = [uuid for one in group if (uuid := one.target.verdict.data_uuid) in finished]
    uuid = kept[0] if kept else str(new_uuid())
    module = filesystems.module(topology.filesystem)
    path = f"{config.mounts.data_root}/{uuid}"
    return PlannedFilesystem(
        topology.filesystem,
        module.LABEL,
        uuid,
        tuple(one.partition(PartitionKind.DATA).uuid for one in group),
        not kept,
        _mkfs_options(topology, config),
        topology.profile,
        PlannedMount(under(config.root, path), path, "", module.top_options(_mount_options(topology, config))),
    )


def _mkfs_options(topology: Topology, config: Config) -> tuple[str, ...]:
    """Extra arguments for mkfs: profile and replicas as configured, else as the topology requires."""
    if topology.filesystem == btrfs.TYPE:
        settings = config.filesystems.btrfs
        data, metadata = settings.data_profile or topology.profile, settings.metadata_profile or topology.profile
        return btrfs.mkfs_options(data, metadata, settings.mkfs_options, discard=settings.discard)
    of_bcachefs = config.filesystems.bcachefs
    required = topology.replicas if topology.shared else None  # one disk holds one copy without an option
    return bcachefs.mkfs_options(of_bcachefs.compression, of_bcachefs.replicas or required, of_bcachefs.mkfs_options)


def _mount_options(topology: Topology, config: Config) -> tuple[str, ...]:
    if topology.filesystem == btrfs.TYPE:
        settings = config.filesystems.btrfs
        return btrfs.mount_options(settings.mount_options, settings.compression)
    of_bcachefs = config.filesystems.bcachefs
    return bcachefs.mount_options(of_bcachefs.mount_options, of_bcachefs.compression)


def _targets(topology: Topology, config: Config) -> tuple[PlannedMount, ...]:
    module = filesystems.module(topology.filesystem)
    options = _mount_options(topology, config)
    return tuple(
        PlannedMount(under(config.root, target), target, name, module.subvolume_options(name, options))
        for name, target in config.mounts.targets.items()
    )


def _primary(data: Sequence[PlannedFilesystem]) -> str | None:
    """The UUID of the primary: the finished filesystem, or the first if all are new; None if several are finished."""
    kept = [one.uuid for one in data if not one.make]
    if len(kept) > 1:
        return None
    return kept[0] if kept else data[0].uuid


def _action(layouts: Sequence[_Layout]) -> Action:
    if all(one.planned.blank for one in layouts):
        return Action.CREATE
    return Action.RESUME if any(one.planned.flagged for one in layouts) else Action.ADOPT
