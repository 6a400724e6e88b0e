"""Find what uses a disk: kernel partitions, mounts in any namespace, swap, holders, and exclusive opens."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from attrs import frozen

from zosstorage.block import claim, sysfs
from zosstorage.model import Disk, Evidence
from zosstorage.system import mountinfo

# Filesystems whose mounts have an anonymous device number, because they can have several disks.
_NUMBERLESS = ("btrfs", "bcachefs")


@frozen
class Usage:
    """Mounts, swap and btrfs devices of the whole machine, read once for all disks.

    Attributes:
        mounts: mount targets by `major:minor` and, for btrfs and bcachefs, by source node.
        swaps: nodes and files in /proc/swaps.
        btrfs: kernel names of the devices of mounted btrfs filesystems; mountinfo shows only one device of each.
    """

    mounts: dict[str, tuple[str, ...]]
    swaps: frozenset[str]
    btrfs: frozenset[str]

    @classmethod
    def read(cls) -> Usage:
        """Read mounts, swap and btrfs devices of the whole machine."""
        found: dict[str, list[str]] = {}
        for mounted in mountinfo.every_namespace():
            for key in {mounted.number, *_members(mounted)}:
                found.setdefault(key, []).append(mounted.target)
        return cls({key: tuple(dict.fromkeys(targets)) for key, targets in found.items()}, _swaps(), _btrfs_devices())

    def evidence(self, disk: Disk, *, claim: bool = True) -> tuple[Evidence, ...]:
        """All evidence that a disk or a partition of it is in use; only with `claim` is the disk opened."""
        nodes = _numbers(disk)
        return (
            *self._mounted(nodes),
            *(_busy(f"{node} is swap space", f"swapoff {node}") for node in nodes if node in self.swaps),
            *(
                _busy(f"{node} is a device of a mounted btrfs", "unmount that filesystem")
                for node in nodes
                if Path(node).name in self.btrfs
            ),
            *(
                _busy(f"{node} is held by {', '.join(names)}", "stop what is stacked on it (dmsetup, mdadm --stop)")
                for node, names in sysfs.holders(disk).items()
            ),
            *(_busy(f"it is stacked on {name}", "include the lowest disk instead") for name in sysfs.slaves(disk)),
            *(_claim_evidence(disk) if claim else ()),
        )

    def _mounted(self, nodes: dict[str, str]) -> list[Evidence]:
        return [
            _busy(f"{node} is mounted at {', '.join(targets)}", f"umount {targets[0]}")
            for node, number in nodes.items()
            if (targets := self.mounts.get(number, self.mounts.get(node, ())))
        ]


def _members(mounted: mountinfo.Mounted) -> list[str]:
    """The nodes in the source of a mount.

    Only btrfs and bcachefs need it: their number is that of no disk. bcachefs shows all members, separated by colons.
    The source of other filesystems can be any text: a user may mount a tmpfs with the name of a disk.
    """
    return mounted.source.split(":") if mounted.fstype in _NUMBERLESS else []


def kernel_partitions(disk: Disk) -> tuple[Evidence, ...]:
    """Evidence for each partition that the kernel has on a disk that should have none."""
    return tuple(
        Evidence(
            "kernel partitions",
            part.start_bytes,
            f"the kernel has the partition {part.device} of {part.size_bytes} bytes",
            f"if it is stale, partx --delete {disk.path}",
        )
        for part in sysfs.partitions(disk).values()
    )


def _busy(found: str, hint: str) -> Evidence:
    return Evidence("in use", None, found, hint)


def _claim_evidence(disk: Disk) -> tuple[Evidence, ...]:
    """Claim the disk for a moment: the kernel refuses if anything has claimed it or a partition of it."""
    try:
        os.close(claim.claim(disk.path))
    except OSError as error:
        if error.errno != errno.EBUSY:
            return (Evidence("in use", None, f"it cannot be opened: {error.strerror}", "look in the kernel's log"),)
        return (_busy("another program or the kernel holds it exclusively", f"see fuser -v {disk.path} and lsblk"),)
    return ()


def _numbers(disk: Disk) -> dict[str, str]:
    """Node → `major:minor` of the disk and its partitions."""
    found = {disk.path: disk.number}
    for part in sysfs.partitions(disk).values():
        try:
            found[part.device] = sysfs.device_number(part.device)
        except OSError:  # the partition was removed in the meantime
            continue
    return found


def _swaps() -> frozenset[str]:
    try:
        lines = (mountinfo.PROC / "swaps").read_text("utf-8", "surrogateescape").splitlines()[1:]
    except OSError:  # the kernel has no support for swap
        return frozenset()
    return frozenset(line.split()[0] for line in lines if line.strip())


def _btrfs_devices() -> frozenset[str]:
    return frozenset(entry.name for entry in Path("/sys/fs/btrfs").glob("*/devices/*"))
