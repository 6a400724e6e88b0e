"""The topologies: what each one needs and makes. No other module names a topology.

To add one: add a row here, a row in the README's table (a test compares them) and a test that provisions it.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

# The value of `topology.mode` that selects a topology by the number and the classes of the disks.
AUTO = "auto"


class Automatic(StrEnum):
    """The disks for which `auto` selects a topology."""

    ONE_DISK = "one disk"
    ONE_CLASS = "several disks of one class"
    BOTH_CLASSES = "SSDs and HDDs together"


@frozen
class Topology:
    """What a topology needs and makes.

    Attributes:
        name: the value of `topology.mode`.
        filesystem: the type of its data filesystems, `btrfs` or `bcachefs`.
        result: what it makes, in words.
        data: the smallest number of disks with the role data.
        cache: the smallest number of disks with the role cache.
        backing: the smallest number of disks with the role backing.
        most: the largest number of disks in total; None for no limit.
        shared: whether one filesystem spans all disks; otherwise each disk has its own, and the first is the primary.
        profile: the btrfs profile of data and metadata that it requires; None leaves the choice to mkfs.btrfs.
        replicas: the number of copies of data and metadata that it requires (bcachefs); None leaves the choice to the
            operator.
        automatic: the disks for which `auto` selects it; None for never.
    """

    name: str
    filesystem: str
    result: str
    data: int = 0
    cache: int = 0
    backing: int = 0
    most: int | None = None
    shared: bool = False
    profile: str | None = None
    replicas: int | None = None
    automatic: Automatic | None = None

    @property
    def tiered(self) -> bool:
        """Whether it has cache disks and backing disks."""
        return self.cache > 0

    @property
    def least(self) -> int:
        """The smallest number of disks in total."""
        return self.data + self.cache + self.backing


_ROWS = (
    Topology("single", "btrfs", "btrfs", data=1, most=1, automatic=Automatic.ONE_DISK),
    Topology(
        "dual_independent",
        "btrfs",
        "one btrfs on each disk; the first is the primary",
        data=2,
        automatic=Automatic.ONE_CLASS,
    ),
    Topology(
        "btrfs_raid1",
        "btrfs",
        "one btrfs over all disks, data and metadata in two copies",
        data=2,
        shared=True,
        profile="raid1",
    ),
    Topology("bcachefs_single", "bcachefs", "bcachefs", data=1, most=1, replicas=1),
    Topology(
        "ssd_hdd_bcachefs",
        "bcachefs",
        "one bcachefs: SSDs as cache, HDDs as backing store",
        cache=1,
        backing=1,
        shared=True,
        automatic=Automatic.BOTH_CLASSES,
    ),
    Topology("bcachefs_2copy", "bcachefs", "the same with two copies", cache=1, backing=2, shared=True, replicas=2),
)
TOPOLOGIES: dict[str, Topology] = {row.name: row for row in _ROWS}


def modes() -> tuple[str, ...]:
    """The values of `topology.mode`."""
    return (AUTO, *TOPOLOGIES)


def automatic(disks: int, classes: int) -> Topology:
    """The topology that `auto` selects.

    Args:
        disks: the number of disks; 0 counts as 1.
        classes: 1 if the disks are all SSDs or all HDDs, 2 otherwise.
    """
    wanted = Automatic.ONE_DISK if disks <= 1 else Automatic.ONE_CLASS if classes == 1 else Automatic.BOTH_CLASSES
    return next(row for row in TOPOLOGIES.values() if row.automatic is wanted)
