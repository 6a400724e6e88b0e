"""What each state found or made, as the checkpoint stores it."""

from __future__ import annotations

from typing import TypeVar

from attrs import fields, frozen

from zosstorage.model import Discovery, Verdict
from zosstorage.planned import Plan, PlannedFilesystem

T = TypeVar("T")


@frozen
class Validated:
    """What Validate decided.

    Attributes:
        plan: the plan.
        verdicts: the verdicts on the disks of `Discovery`, in the same order.
        writes: by disk path, the kernel's write counters before the disk was read; None if the kernel has none.
    """

    plan: Plan
    verdicts: tuple[Verdict, ...]
    writes: dict[str, str | None]


@frozen
class Partition:
    """A partition that exists. The kernel reports its node and extent, the table on the disk the rest.

    Attributes:
        number: the number of the partition, from 1.
        device: its device node.
        name: the GPT name.
        type: the GPT type GUID.
        uuid: the PARTUUID.
        start_bytes: the offset of the partition in bytes.
        size_bytes: the size of the partition in bytes.
    """

    number: int
    device: str
    name: str
    type: str
    uuid: str
    start_bytes: int
    size_bytes: int


@frozen
class Filesystem:
    """A filesystem that exists, as read back from the superblock of each of its devices.

    Attributes:
        uuid: its UUID, or the volume ID of a FAT.
        label: its label.
        type: `btrfs`, `bcachefs` or `vfat`.
        devices: the device nodes of its partitions, in the order of the plan.
    """

    uuid: str
    label: str
    type: str
    devices: tuple[str, ...]


@frozen
class Mount:
    """A mount that was made and read back.

    Attributes:
        source: `UUID=…`.
        target: the mount point, with the root prefix.
        fstype: the filesystem type.
        options: the options that were asked for, separated by commas.
    """

    source: str
    target: str
    fstype: str
    options: str


@frozen
class Mounted:
    """The mounts that were made.

    Attributes:
        primary: the UUID of the filesystem whose subvolumes are mounted.
        mounts: all mounts, in the order in which they were made.
    """

    primary: str
    mounts: tuple[Mount, ...]


@frozen
class Written:
    """What Report wrote.

    Attributes:
        report: the path of the report.
        sha256: the digest of the report, in hex.
        status: the `status` in the report.
        fstab: the path of the fstab; None if none was written.
    """

    report: str
    sha256: str
    status: str
    fstab: str | None


@frozen
class Facts:
    """All that is known so far; each state fills in the field of its name.

    The properties return the same values without None; they raise LookupError if the state has not been completed.
    """

    discover: Discovery | None = None
    validate: Validated | None = None
    partition: tuple[Partition, ...] | None = None
    format: tuple[Filesystem, ...] | None = None
    mount: Mounted | None = None
    report: Written | None = None

    @property
    def discovery(self) -> Discovery:
        """What Discover found."""
        return _known(self.discover, "discover")

    @property
    def validated(self) -> Validated:
        """What Validate decided."""
        return _known(self.validate, "validate")

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.validated.plan

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions of the plan's disks."""
        return _known(self.partition, "partition")

    @property
    def filesystems(self) -> tuple[Filesystem, ...]:
        """The filesystems of the plan."""
        return _known(self.format, "format")

    @property
    def mounted(self) -> Mounted:
        """The mounts."""
        return _known(self.mount, "mount")

    @property
    def written(self) -> Written:
        """What Report wrote."""
        return _known(self.report, "report")

    def device(self, partition_uuid: str) -> str:
        """The device node of the partition with that PARTUUID.

        Raises:
            KeyError: there is none.
        """
        return {part.uuid: part.device for part in self.partitions}[partition_uuid]

    def devices(self, filesystem: PlannedFilesystem) -> tuple[str, ...]:
        """The device nodes of the partitions of a filesystem, in the order of its members."""
        return tuple(self.device(member) for member in filesystem.members)


def _known(value: T | None, state: str) -> T:
    if value is None:
        raise LookupError(f"the state {state} has not been completed")
    return value


# The names of the states, in the order in which they run.
STATES: tuple[str, ...] = tuple(field.name for field in fields(Facts))
