"""What each state found or made, as the checkpoint keeps it."""

from __future__ import annotations

from typing import TypeVar

from attrs import fields, frozen

from zosstorage.model import Discovery, Verdict
from zosstorage.planned import Plan, PlannedFilesystem

T = TypeVar("T")


@frozen
class Validated:
    """What Validate decided, and what it saw by then.

    Attributes:
        verdicts: on the disks of `Discovery`, in that order.
        writes: by disk path, the kernel's counts of writes to it before it was read; None where it keeps none.
    """

    plan: Plan
    verdicts: tuple[Verdict, ...]
    writes: dict[str, str | None]


@frozen
class Partition:
    """A partition that is there. The kernel gives its node and extent, the table on the disk the rest."""

    number: int
    device: str
    name: str
    type: str
    uuid: str
    start_bytes: int
    size_bytes: int


@frozen
class Filesystem:
    """A filesystem that is there: read back from the superblock of each of its devices."""

    uuid: str
    label: str
    type: str
    devices: tuple[str, ...]


@frozen
class Mount:
    """A mount as asked for and read back; `source` is `UUID=…`, `target` includes the root prefix."""

    source: str
    target: str
    fstype: str
    options: str


@frozen
class Mounted:
    """The mounts that were made, and the UUID of the filesystem whose subvolumes are among them."""

    primary: str
    mounts: tuple[Mount, ...]


@frozen
class Written:
    """What Report wrote."""

    report: str
    sha256: str
    status: str
    fstab: str | None


@frozen
class Facts:
    """Everything known so far; each state fills in one field and leaves the others as they are."""

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
        """The node of the partition with that UUID.

        Raises:
            KeyError: there is none.
        """
        return {part.uuid: part.device for part in self.partitions}[partition_uuid]

    def devices(self, filesystem: PlannedFilesystem) -> tuple[str, ...]:
        """The nodes of a filesystem's partitions."""
        return tuple(self.device(member) for member in filesystem.members)


def _known(value: T | None, state: str) -> T:
    if value is None:
        raise LookupError(f"the state {state} has not been completed")
    return value


# The names of the states, in the order of the machine.
STATES: tuple[str, ...] = tuple(field.name for field in fields(Facts))
