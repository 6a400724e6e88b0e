"""The plan: what a run will make, and where it will mount it. It holds decisions; the commands follow from them."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from zosstorage.model import Disk, Firmware, PartitionKind, Role


@frozen
class PlannedPartition:
    """A partition that will be made or kept.

    Attributes:
        number: the number of the partition, from 1.
        kind: its purpose.
        name: the GPT name.
        type: the GPT type GUID.
        uuid: the PARTUUID.
        start_bytes: the offset of the partition in bytes.
        size_bytes: the size of the partition in bytes.
        make: whether the run makes its content; the in-progress flag is set until that content was read back.
    """

    number: int
    kind: PartitionKind
    name: str
    type: str
    uuid: str
    start_bytes: int
    size_bytes: int
    make: bool


@frozen
class PlannedDisk:
    """A disk of the plan.

    Attributes:
        disk: the disk as Discover found it.
        role: its purpose.
        guid: the disk GUID of its table.
        blank: whether it was found blank; otherwise it carries a table of ours.
        write_table: whether the run writes the table (the disk is blank, or our own table on it is torn).
        clear_marks: whether the table has, or will have, an in-progress flag that the run clears at the end.
        partitions: all its partitions, in the order of their numbers.
    """

    disk: Disk
    role: Role
    guid: str
    blank: bool
    write_table: bool
    clear_marks: bool
    partitions: tuple[PlannedPartition, ...]

    @property
    def flagged(self) -> bool:
        """Whether its table has in-progress flags, or will have them."""
        return self.clear_marks or self.write_table


@frozen
class PlannedMount:
    """A mount that will be made.

    Attributes:
        target: the mount point, with the root prefix.
        inside: the mount point without the root prefix, as fstab names it.
        subvolume: the name of the subvolume; empty for the top of the filesystem.
        options: the options for mount(8), in order.
    """

    target: str
    inside: str
    subvolume: str
    options: tuple[str, ...]


@frozen
class PlannedFilesystem:
    """A filesystem that will be made or kept.

    Attributes:
        type: `btrfs`, `bcachefs` or `vfat`.
        label: its label.
        uuid: its UUID; for an ESP the volume ID, `1A2B-3C4D`.
        members: the PARTUUIDs of its partitions, in the order of the disks.
        make: whether the run makes it; False if it exists.
        options: extra arguments for mkfs, in order.
        profile: the btrfs profile that data and metadata must have after the mount; None for any.
        top: the mount of the whole filesystem; None for an ESP.
    """

    type: str
    label: str
    uuid: str
    members: tuple[str, ...]
    make: bool
    options: tuple[str, ...] = ()
    profile: str | None = None
    top: PlannedMount | None = None


class Action(StrEnum):
    """What a run does to the disks of a plan."""

    CREATE = "create"
    RESUME = "resume"
    ADOPT = "adopt"


@frozen
class Plan:
    """What a run will make, on which disks, and where it will mount it.

    Attributes:
        action: what the run does to the disks.
        topology: the name of the topology.
        firmware: how the machine boots.
        disks: the disks that the run uses.
        filesystems: the ESPs and the data filesystems.
        primary: the UUID of the filesystem whose subvolumes are mounted. None if several finished filesystems are
            adopted: the primary is the one that has the subvolumes, and only Mount can see them.
        unused: the eligible disks that the run does not use.
        targets: the mounts of the subvolumes of the primary.
        fstab: the path of the fstab that gets these mounts, with the root prefix; None if no fstab is written.
    """

    action: Action
    topology: str
    firmware: Firmware
    disks: tuple[PlannedDisk, ...]
    filesystems: tuple[PlannedFilesystem, ...]
    primary: str | None
    unused: tuple[Disk, ...]
    targets: tuple[PlannedMount, ...]
    fstab: str | None

    @property
    def data(self) -> tuple[PlannedFilesystem, ...]:
        """The data filesystems."""
        return tuple(one for one in self.filesystems if one.top)

    def owner(self, partition_uuid: str) -> PlannedDisk:
        """The disk that has the partition with that PARTUUID.

        Raises:
            KeyError: no disk of the plan has it.
        """
        return {part.uuid: one for one in self.disks for part in one.partitions}[partition_uuid]

    def members(self, filesystem: PlannedFilesystem) -> tuple[PlannedDisk, ...]:
        """The disks of a filesystem, in the order of its members."""
        return tuple(self.owner(member) for member in filesystem.members)
