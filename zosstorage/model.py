"""What is known, state by state: frozen values that are saved, printed and held against the machine.

All offsets and sizes are bytes. UUIDs are lower-case strings, GPT type GUIDs upper-case ones, as sfdisk prints them.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen


class Firmware(StrEnum):
    """How the machine boots."""

    BIOS = "bios"
    UEFI = "uefi"


class Role(StrEnum):
    """What a disk is for."""

    DATA = "data"
    CACHE = "cache"
    BACKING = "backing"
    UNUSED = "unused"


class Kind(StrEnum):
    """What a disk holds, as far as the right to write to it goes."""

    BLANK = "blank"
    OURS = "ours"
    FOREIGN = "foreign"


class Depth(StrEnum):
    """How far "empty" is checked beyond signatures."""

    SIGNATURES = "signatures"
    SAMPLED = "sampled"
    FULL = "full"


class PartitionKind(StrEnum):
    """What a partition of our layout is for."""

    BIOS_BOOT = "bios_boot"
    ESP = "esp"
    DATA = "data"


@frozen
class Disk:
    """A whole disk as sysfs shows it.

    Attributes:
        path: its node, `/dev/sda`.
        name: its kernel name, `sda`.
        number: `major:minor`.
        sector_size: logical sector in bytes (512 or 4096).
        rotational: what the kernel says: true also for a disk that it knows nothing of, as every virtio disk.
        wwn: the World Wide Name (sysfs `wwid`), empty where there is none.
        diskseq: the kernel's count of attached media; another number is another disk. None before Linux 5.15.
        links: the `/dev/disk/by-*` links that name it.
        rotation_rate: revolutions a minute, as the disk itself says; 0 where it does not say, or does not rotate.
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

    @property
    def identity(self) -> tuple[str, str, str, int, int, int | None]:
        """What must not change between the plan and the first write."""
        return (self.number, self.serial, self.wwn, self.size_bytes, self.sector_size, self.diskseq)


@frozen
class Rejected:
    """A block device that Discover saw and did not take."""

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
    """One finding: which check, at which byte of the disk (None: not on the medium), what it found, what to do."""

    check: str
    offset: int | None
    found: str
    hint: str = ""


@frozen
class Content:
    """A filesystem superblock as read from a partition.

    Attributes:
        member: the UUID of this device within its filesystem (UUID_SUB), empty where there is none.
        devices: how many devices the filesystem says it has.
        replicas: copies of data it is set to keep (bcachefs), 0 where the superblock does not say.
    """

    type: str
    label: str
    uuid: str
    member: str = ""
    devices: int = 1
    replicas: int = 0


@frozen
class SeenPartition:
    """An entry of a partition table as a disk says it, and what the partition carries.

    Attributes:
        kind: by its type; every type that is not one of our layout's counts as data.
        marked: it has the flag "in progress".
        content: None where it is none of our filesystems, or was not read.
        attributes: the other attribute bits.
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
        evidence: why it is not blank; for our own disks what was recognised.
        guid: the disk GUID of our own table, empty otherwise.
        torn: our own table, one of whose copies was cut off while it was written.
        partitions: those of our own layout, empty otherwise.
        read: of a blank disk, how many bytes were read, and out of how many: "8.4 MiB of 40 GiB, sampled".
    """

    path: str
    kind: Kind
    evidence: tuple[Evidence, ...] = ()
    guid: str = ""
    torn: bool = False
    partitions: tuple[SeenPartition, ...] = ()
    read: str = field(default="", eq=False)  # as far as the verdict goes, a deeper scan says the same

    def seen(self, kind: PartitionKind) -> SeenPartition | None:
        """The partition of a kind on a disk of ours."""
        return next((part for part in self.partitions if part.kind is kind), None)

    @property
    def data(self) -> SeenPartition:
        """The data partition of a disk of ours."""
        return next(part for part in self.partitions if part.kind is PartitionKind.DATA)

    @property
    def data_uuid(self) -> str:
        """The UUID of our filesystem on the data partition; empty where there is none, or the disk is not ours."""
        data = self.seen(PartitionKind.DATA)
        return data.content.uuid if data and data.content else ""
