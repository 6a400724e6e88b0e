"""The plan: what a run will make, and where it will mount it. Decisions only; commands follow from them."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from zosstorage.model import Disk, Firmware, PartitionKind, Role


@frozen
class PlannedPartition:
    """A partition to be, or to be kept.

    Attributes:
        make: its content is to be made: it has the flag "in progress" until that was read back.
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
        blank: it was found blank; else it carries a table of ours.
        write_table: the table is to be written (the disk is blank, or our own table on it is torn).
        clear_marks: the table has, or will have, a flag "in progress" that is to be cleared at the end.
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
        """Whether its table has flags "in progress", or will have them."""
        return self.clear_marks or self.write_table


@frozen
class PlannedMount:
    """A mount to be.

    Attributes:
        target: where, with the root prefix.
        inside: the target as it is named inside the root prefix, which is what fstab needs.
        subvolume: its name, empty for the top of the filesystem.
        options: of mount(8), in order.
    """

    target: str
    inside: str
    subvolume: str
    options: tuple[str, ...]


@frozen
class PlannedFilesystem:
    """A filesystem to be, or to be kept.

    Attributes:
        uuid: of the filesystem; an ESP has a volume ID, `1A2B-3C4D`.
        members: the UUIDs of its partitions, in the order of the disks.
        make: False where it is there already.
        options: further words for mkfs, in order.
        profile: the btrfs profile that data and metadata must have once it is mounted, None for any.
        top: the mount of the whole filesystem, None for an ESP.
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
        primary: the UUID of the filesystem whose subvolumes are mounted. None where several finished filesystems are
            adopted: it is the one that has the subvolumes, which only Mount can see.
        unused: disks that are left alone.
        targets: the mounts of the primary's subvolumes.
        fstab: the file that takes them, with the root prefix; None for no file.
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
        """The disk that has the partition with that UUID.

        Raises:
            KeyError: none has.
        """
        return {part.uuid: one for one in self.disks for part in one.partitions}[partition_uuid]

    def members(self, filesystem: PlannedFilesystem) -> tuple[PlannedDisk, ...]:
        """The disks that a filesystem is on."""
        return tuple(self.owner(member) for member in filesystem.members)
