"""What is known, state by state: frozen values that are saved, printed and held against the machine.

All offsets and sizes are bytes. UUIDs are lower-case strings, GPT type GUIDs upper-case ones, as sfdisk prints them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from zosstorage.value import Value

T = TypeVar("T")


class Firmware(StrEnum):
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


class PartitionKind(StrEnum):
    BIOS_BOOT = "bios_boot"
    ESP = "esp"
    DATA = "data"


class Disk(Value):
    """A whole disk as sysfs shows it.

    Attributes:
        path: its node, `/dev/sda`.
        name: its kernel name, `sda`.
        number: `major:minor`.
        sector_size: logical sector in bytes (512 or 4096).
        wwn: the World Wide Name (sysfs `wwid`), empty where there is none.
        diskseq: the kernel's count of attached media; another number is another disk. None before Linux 5.15.
        links: the `/dev/disk/by-*` links that name it.
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

    @property
    def identity(self) -> tuple[str, str, str, int, int, int | None]:
        """What must not change between the plan and the first write."""
        return (self.number, self.serial, self.wwn, self.size_bytes, self.sector_size, self.diskseq)


class Rejected(Value):
    """A block device that Discover saw and did not take."""

    disk: Disk
    reason: str


class Discovery(Value):
    firmware: Firmware
    disks: tuple[Disk, ...]
    rejected: tuple[Rejected, ...]


class Evidence(Value):
    """One finding: which check, at which byte of the disk (None: not on the medium), what it found, what to do."""

    check: str
    offset: int | None
    found: str
    hint: str = ""


class Content(Value):
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


class SeenPartition(Value):
    """A partition of our own layout, as the disk says it."""

    number: int
    kind: PartitionKind
    name: str
    type: str
    uuid: str
    start_bytes: int
    size_bytes: int
    marked: bool
    content: Content | None


class Verdict(Value):
    """Whether a disk may be written, with the evidence.

    Attributes:
        evidence: why it is not blank; for our own disks what was recognised.
        guid: the disk GUID of our own table, empty otherwise.
        torn: our own table, one of whose copies was cut off while it was written.
        partitions: those of our own layout, empty otherwise.
    """

    path: str
    kind: Kind
    evidence: tuple[Evidence, ...] = ()
    guid: str = ""
    torn: bool = False
    partitions: tuple[SeenPartition, ...] = ()

    @property
    def data(self) -> SeenPartition:
        """The data partition of a disk of ours."""
        return next(part for part in self.partitions if part.kind is PartitionKind.DATA)

    @property
    def finished(self) -> bool:
        """A disk of ours without any mark "in progress" and with a whole table."""
        return self.kind is Kind.OURS and not self.torn and not any(part.marked for part in self.partitions)


class PlannedPartition(Value):
    """A partition to be, or to be kept.

    Attributes:
        make: its content is to be made: it is marked "in progress" until that was read back.
    """

    number: int
    kind: PartitionKind
    name: str
    type: str
    uuid: str
    start_bytes: int
    size_bytes: int
    make: bool


class PlannedDisk(Value):
    """A disk of the plan.

    Attributes:
        write_table: the table is to be written (the disk is blank, or our own table on it is torn).
        clear_marks: the table carries a mark that is to be cleared at the end.
    """

    disk: Disk
    role: Role
    guid: str
    write_table: bool
    clear_marks: bool
    partitions: tuple[PlannedPartition, ...]


class PlannedFilesystem(Value):
    """A filesystem to be, or to be kept.

    Attributes:
        uuid: of the filesystem; an ESP has a volume ID, `1A2B-3C4D`.
        members: the UUIDs of its partitions, in the order of the disks.
        primary: the one whose subvolumes are mounted at the targets. Where several filesystems are adopted,
            the one that carries the subvolumes is it, which Mount finds out.
        make: False where it is there already.
    """

    type: str
    label: str
    uuid: str
    members: tuple[str, ...]
    primary: bool
    make: bool

    @property
    def is_data(self) -> bool:
        return self.type != "vfat"


class Action(StrEnum):
    """What a run does to the disks of a plan."""

    CREATE = "create"
    RESUME = "resume"
    ADOPT = "adopt"


class Plan(Value):
    """What a run will make, on which disks, and what was found on every disk."""

    action: Action
    topology: str
    firmware: Firmware
    disks: tuple[PlannedDisk, ...]
    filesystems: tuple[PlannedFilesystem, ...]
    unused: tuple[Disk, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def partitions(self) -> dict[str, tuple[PlannedDisk, PlannedPartition]]:
        """Every partition and its disk, by partition UUID."""
        return {part.uuid: (disk, part) for disk in self.disks for part in disk.partitions}


class Partition(Value):
    """A partition that is there, with its node; read back from the disk and the kernel."""

    disk: str
    number: int
    device: str
    name: str
    type: str
    uuid: str
    start_bytes: int
    size_bytes: int


class Filesystem(Value):
    """A filesystem that is there: read back from the superblock of each of its devices."""

    uuid: str
    label: str
    type: str
    devices: tuple[str, ...]


class Mount(Value):
    """A mount as asked for and read back; `source` is `UUID=…`, `target` includes the root prefix."""

    source: str
    target: str
    fstype: str
    options: str


class Written(Value):
    """What Report wrote."""

    report: str
    sha256: str
    status: str
    fstab: str | None


class Facts(Value):
    """Everything known so far; each state fills in one field and leaves the others as they are."""

    discover: Discovery | None = None
    validate: Plan | None = None
    partition: tuple[Partition, ...] | None = None
    format: tuple[Filesystem, ...] | None = None
    mount: tuple[Mount, ...] | None = None
    report: Written | None = None

    @property
    def discovery(self) -> Discovery:
        return _known(self.discover, "discover")

    @property
    def plan(self) -> Plan:
        return _known(self.validate, "validate")

    @property
    def partitions(self) -> tuple[Partition, ...]:
        return _known(self.partition, "partition")

    @property
    def filesystems(self) -> tuple[Filesystem, ...]:
        return _known(self.format, "format")

    @property
    def mounts(self) -> tuple[Mount, ...]:
        return _known(self.mount, "mount")

    @property
    def written(self) -> Written:
        return _known(self.report, "report")

    def device(self, partition_uuid: str) -> str:
        """The node of the partition with that UUID."""
        return next(part.device for part in self.partitions if part.uuid == partition_uuid)


def _known(value: T | None, state: str) -> T:
    if value is None:
        raise LookupError(f"the state {state} has not been completed")
    return value
