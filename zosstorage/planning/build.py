"""Disks in their roles, and configuration → the plan: pure; the same input and UUIDs give the same plan."""

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
class _Part:
    """A disk of the plan with what it carries today."""

    target: Target
    planned: PlannedDisk

    def partition(self, kind: PartitionKind) -> PlannedPartition:
        return next(part for part in self.planned.partitions if part.kind is kind)


def build(
    topology: Topology,
    members: Sequence[Member],
    firmware: Firmware,
    config: Config,
    new_uuid: NewUuid,
    unused: Sequence[Disk] = (),
) -> Plan:
    """The plan for those disks: what is finished is kept, all else is to be made.

    A filesystem is finished when one of its partitions is: the marks are cleared only after all of it was read back.
    """
    done = finished_uuids(member.target for member in members)
    parts = [_Part(member.target, _disk(member, firmware, config, done, new_uuid)) for member in members]
    esps = [_esp(part, config, new_uuid) for part in parts]
    data = _data(topology, parts, config, done, new_uuid)
    return Plan(
        _action(parts),
        topology.name,
        firmware,
        tuple(part.planned for part in parts),
        (*esps, *data),
        _primary(data),
        tuple(unused),
        _targets(topology, config),
        under(config.root, config.fstab.path) if config.fstab.enabled else None,
    )


def finished_uuids(targets: Iterable[Target]) -> set[str]:
    """The UUIDs of the data filesystems that have an unmarked partition."""
    seen = (target.seen(PartitionKind.DATA) for target in targets)
    return {data.content.uuid for data in seen if data and data.content and not data.marked}


def _disk(member: Member, firmware: Firmware, config: Config, done: set[str], new_uuid: NewUuid) -> PlannedDisk:
    target, verdict = member.target, member.target.verdict
    blank = verdict.kind is Kind.BLANK
    guid = verdict.guid or str(new_uuid())
    empty = layout.partitions(target.disk, firmware, member.role, config.partitions.esp_size)
    partitions = tuple(_partition(part, target, done, new_uuid) for part in empty)
    marks = blank or any(part.marked for part in verdict.partitions)
    return PlannedDisk(target.disk, member.role, guid, blank, blank or verdict.torn, marks, partitions)


def _partition(part: PlannedPartition, target: Target, done: set[str], new_uuid: NewUuid) -> PlannedPartition:
    seen = target.seen(part.kind)
    kept = bool(seen and (not seen.marked or (seen.content and seen.content.uuid in done)))
    return evolve(part, uuid=seen.uuid if seen else str(new_uuid()), make=not kept)


def _esp(part: _Part, config: Config, new_uuid: NewUuid) -> PlannedFilesystem:
    planned, seen = part.partition(PartitionKind.ESP), part.target.seen(PartitionKind.ESP)
    serial = f"{new_uuid().int & 0xFFFFFFFF:08X}"
    kept = seen.content.uuid if seen and seen.content and not planned.make else f"{serial[:4]}-{serial[4:]}"
    options = config.filesystems.vfat.mkfs_options
    return PlannedFilesystem(vfat.TYPE, vfat.LABEL, kept, (planned.uuid,), planned.make, options)


def _data(
    topology: Topology, parts: Sequence[_Part], config: Config, done: set[str], new_uuid: NewUuid
) -> list[PlannedFilesystem]:
    groups = [parts] if topology.shared else [[part] for part in parts]
    return [_filesystem(topology, group, config, done, new_uuid) for group in groups]


def _filesystem(
    topology: Topology, group: Sequence[_Part], config: Config, done: set[str], new_uuid: NewUuid
) -> PlannedFilesystem:
    kept = [uuid for part in group if (uuid := part.target.verdict.data_uuid) in done]
    uuid = kept[0] if kept else str(new_uuid())
    module = filesystems.module(topology.filesystem)
    path = f"{config.mounts.data_root}/{uuid}"
    return PlannedFilesystem(
        topology.filesystem,
        module.LABEL,
        uuid,
        tuple(part.partition(PartitionKind.DATA).uuid for part in group),
        not kept,
        _mkfs_options(topology, config),
        topology.profile,
        PlannedMount(under(config.root, path), path, "", module.top_options(_mount_options(topology, config))),
    )


def _mkfs_options(topology: Topology, config: Config) -> tuple[str, ...]:
    """Further words for mkfs: what the operator set, else what the topology promises."""
    if topology.filesystem == btrfs.TYPE:
        chosen = config.filesystems.btrfs
        data, metadata = chosen.data_profile or topology.profile, chosen.metadata_profile or topology.profile
        return btrfs.mkfs_options(data, metadata, chosen.mkfs_options, discard=chosen.discard)
    settings = config.filesystems.bcachefs
    promised = topology.replicas if topology.shared else None  # on one disk there is one copy anyway
    return bcachefs.mkfs_options(settings.compression, settings.replicas or promised, settings.mkfs_options)


def _mount_options(topology: Topology, config: Config) -> tuple[str, ...]:
    if topology.filesystem == btrfs.TYPE:
        chosen = config.filesystems.btrfs
        return btrfs.mount_options(chosen.mount_options, chosen.compression)
    settings = config.filesystems.bcachefs
    return bcachefs.mount_options(settings.mount_options, settings.compression)


def _targets(topology: Topology, config: Config) -> tuple[PlannedMount, ...]:
    module = filesystems.module(topology.filesystem)
    options = _mount_options(topology, config)
    return tuple(
        PlannedMount(under(config.root, target), target, name, module.subvolume_options(name, options))
        for name, target in config.mounts.targets.items()
    )


def _primary(data: Sequence[PlannedFilesystem]) -> str | None:
    """The first one, or the one that is finished; of several finished ones only Mount can see which it is."""
    kept = [one.uuid for one in data if not one.make]
    if len(kept) > 1:
        return None
    return kept[0] if kept else data[0].uuid


def _action(parts: Sequence[_Part]) -> Action:
    if all(part.planned.blank for part in parts):
        return Action.CREATE
    return Action.RESUME if any(part.planned.flagged for part in parts) else Action.ADOPT
