"""Disks, their partitions and verdicts: frozen values that are saved, printed and compared with the machine.

All offsets and sizes are in bytes. UUIDs are lower-case strings; GPT type GUIDs are upper-case, as sfdisk prints them.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen


class Firmware(StrEnum):
    """How the machine boots."""

    BIOS = "bios"
    UEFI = "uefi"


class Role(StrEnum):
    """The purpose of a disk."""

    DATA = "data"
    CACHE = "cache"
    BACKING = "backing"
    UNUSED = "unused"


class Kind(StrEnum):
    """The kind of content of a disk, which decides whether the disk may be written."""

    BLANK = "blank"
    OURS = "ours"
    FOREIGN = "foreign"


class Depth(StrEnum):
    """How much of a disk is read to check that it is empty."""

    SIGNATURES = "signatures"
    SAMPLED = "sampled"
    FULL = "full"


class PartitionKind(StrEnum):
    """The purpose of a partition of our layout."""

    BIOS_BOOT = "bios_boot"
    ESP = "esp"
    DATA = "data"


@frozen
class Disk:
    """A whole disk as sysfs shows it.

    Attributes:
        path: its device node, `/dev/sda`.
        name: its kernel name, `sda`.
        number: its device number, `major:minor`.
        size_bytes: its size in bytes.
        sector_size: its logical sector size in bytes (512 or 4096).
        rotational: whether the kernel reports rotating media; it does for every disk that does not say, such as a
            virtio disk.
        removable: whether the kernel reports removable media.
        read_only: whether the kernel reports it as read-only.
        model: its model name; empty if there is none.
        serial: its serial number; empty if there is none.
        wwn: its World Wide Name (sysfs `wwid`); empty if there is none.
        diskseq: the sequence number that the kernel gives to each attached medium; a different number means a different
            disk. None before Linux 5.15.
        links: the `/dev/disk/by-*` links to it.
        rotation_rate: its speed in revolutions per minute, as the disk itself reports it (VPD page B1h); 0 if it
            reports none or does not rotate.
        transport: how it is attached: `sata`, `nvme`, `usb`, `scsi`, `virtio` or `mmc`; empty if it is none of these.
    """

    path: str
    name: str
    number: str
    size_bytes: int
    sector_size: int
    rotational: bool
    removable: bool
    read_only: bool
    model: str
    serial: str
    wwn: str
    diskseq: int | None
    links: tuple[str, ...] = ()
    rotation_rate: int = 0
    transport: str = ""

    @property
    def identity(self) -> tuple[str, str, str, int, int, int | None]:
        """The properties that must not change between the plan and the first write."""
        return (self.number, self.serial, self.wwn, self.size_bytes, self.sector_size, self.diskseq)


@frozen
class Rejected:
    """A disk that is not eligible, and why."""

    disk: Disk
    reason: str


@frozen
class Discovery:
    """The eligible disks and the rejected ones, each in natural order."""

    firmware: Firmware
    disks: tuple[Disk, ...]
    rejected: tuple[Rejected, ...]


@frozen
class Evidence:
    """One finding about a disk.

    Attributes:
        check: the name of the check.
        offset: where on the disk, in bytes; None if the finding is not about bytes of the disk.
        found: what the check found.
        hint: what the operator can do; may be empty.
    """

    check: str
    offset: int | None
    found: str
    hint: str = ""


@frozen
class Content:
    """A filesystem superblock as read from a partition.

    Attributes:
        type: `btrfs`, `bcachefs` or `vfat`.
        label: the label of the filesystem.
        uuid: the UUID of the filesystem, or the volume ID of a FAT (`1A2B-3C4D`).
        member: the UUID of this device within its filesystem (UUID_SUB); empty if there is none.
        devices: the number of devices of the filesystem, according to the superblock.
        replicas: the number of data copies that it is set to keep (bcachefs); 0 if the superblock does not say.
    """

    type: str
    label: str
    uuid: str
    member: str = ""
    devices: int = 1
    replicas: int = 0


@frozen
class SeenPartition:
    """An entry of the partition table on a disk, and the content of the partition.

    Attributes:
        number: the number of the partition, from 1.
        kind: follows from the type; a type that our layout does not use counts as data.
        name: the GPT name.
        type: the GPT type GUID.
        uuid: the PARTUUID.
        start_bytes: the offset of the partition in bytes.
        size_bytes: the size of the partition in bytes.
        marked: whether the in-progress flag is set.
        content: the superblock; None if it is not one of our filesystems, or was not read.
        attributes: the other GPT attribute bits.
    """

    number: int
    kind: PartitionKind
    name: str
    type: str
    uuid: str
    start_bytes: int
    size_bytes: int
    marked: bool
    content: Content | None = None
    attributes: int = 0


@frozen
class Verdict:
    """Whether a disk may be written, with the evidence.

    Attributes:
        path: the device node of the disk.
        kind: the answer.
        evidence: why the disk is not blank; for a disk of ours, what was recognised.
        guid: the disk GUID of our own table; empty otherwise.
        torn: whether the table is ours and the write of one of its copies was interrupted.
        partitions: the partitions of our own layout; empty otherwise.
        read: for a blank disk, how much was read of how much: "16.5 MiB of 40 GiB, sampled".
    """

    path: str
    kind: Kind
    evidence: tuple[Evidence, ...] = ()
    guid: str = ""
    torn: bool = False
    partitions: tuple[SeenPartition, ...] = ()
    read: str = field(default="", eq=False)  # a deeper scan gives the same verdict

    def seen(self, kind: PartitionKind) -> SeenPartition | None:
        """The partition of a kind on a disk of ours; None if there is none."""
        return next((part for part in self.partitions if part.kind is kind), None)

    @property
    def data(self) -> SeenPartition:
        """The data partition of a disk of ours.

        Raises:
            StopIteration: the disk is not ours.
        """
        return next(part for part in self.partitions if part.kind is PartitionKind.DATA)

    @property
    def data_uuid(self) -> str:
        """The UUID of our filesystem on the data partition; empty if there is none or the disk is not ours."""
        data = self.seen(PartitionKind.DATA)
        return data.content.uuid if data and data.content else ""
