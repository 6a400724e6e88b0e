"""Sort block devices into eligible and rejected disks, by their attributes in sysfs; no device is opened."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage.block import layout, sysfs
from zosstorage.filesystems import vfat
from zosstorage.model import Discovery, Disk, Firmware, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# SCSI peripheral device type of CD and DVD drives (SPC-6, table 150).
_SCSI_CDROM = "5"
# The number of partitions that a device can have, itself included, of a device without any: an eMMC boot area, zram
# (block/genhd.c, disk_ext_range_show).
_NO_PARTITIONS = "1"


@frozen
class Selection:
    """The part of the configuration that decides which disks are eligible.

    Attributes:
        include: globs that match a node or a link of each eligible disk.
        exclude: globs that match no node or link of an eligible disk.
        min_size: the smallest size of an eligible disk, in bytes.
        esp_size: the size of the ESP, which must fit on the disk, in bytes.
        firmware: the configured firmware type; None to detect it by `/sys/firmware/efi`.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    allow_removable: bool
    min_size: int
    esp_size: int
    firmware: Firmware | None = None


def discover(selection: Selection, *, root: Path = Path("/")) -> Discovery:
    """Sort all whole block devices into eligible and rejected ones, each in natural order."""
    found = list(_candidates(selection, root))
    return Discovery(
        selection.firmware or _firmware(root),
        tuple(disk for disk, reason in found if not reason),
        tuple(Rejected(disk, reason) for disk, reason in found if reason),
    )


def matches(disk: Disk, globs: Iterable[str]) -> bool:
    """Whether a glob matches the node of a disk or one of its links."""
    return _match((disk.path, *disk.links), globs)


def _match(names: Iterable[str], globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in globs for name in names)


def _candidates(selection: Selection, root: Path) -> Iterator[tuple[Disk, str]]:
    """Each disk with the reason why it is not eligible, empty if it is; in natural order."""
    links = sysfs.links(root=root)
    for name in sorted(_candidate_names(selection, root), key=sysfs.natural_key):
        try:
            disk = sysfs.read_disk(name, links=links, root=root)
        except FileNotFoundError:  # unplugged after it was listed
            continue
        yield disk, _reason(disk, selection, root)


def _candidate_names(selection: Selection, root: Path) -> list[str]:
    """All whole disks, and each partition that is included without its disk: a mistake that needs an explanation."""
    return [
        name
        for name in sysfs.block_names(root=root)
        if not sysfs.attribute(name, "partition", root=root) or _is_included_alone(name, selection, root)
    ]


def _is_included_alone(name: str, selection: Selection, root: Path) -> bool:
    disk = sysfs.whole_disk(name, root=root)
    return _match([sysfs.node(name)], selection.include) and not _match([sysfs.node(disk)], selection.include)


def _reason(disk: Disk, selection: Selection, root: Path) -> str:
    """Why a disk is not eligible; empty if it is."""
    least, esp = layout.smallest(selection.esp_size), vfat.smallest(disk.sector_size)
    size = f"too small: {disk.size_bytes} bytes, and "
    checks = (
        (bool(sysfs.attribute(disk.name, "partition", root=root)), "a partition, not a whole disk"),
        (sysfs.attribute(disk.name, "device/type", root=root) == _SCSI_CDROM, "a CD-ROM drive"),
        (disk.size_bytes == 0, "its size is 0: it has no medium, or the device is not set up"),
        (not matches(disk, selection.include), "devices.include does not name it"),
        (matches(disk, selection.exclude), "devices.exclude names it"),
        (disk.removable and not selection.allow_removable, "removable, and devices.allow_removable is false"),
        (disk.read_only, "read-only"),
        (sysfs.attribute(disk.name, "ext_range", root=root) == _NO_PARTITIONS, "the kernel has no partitions on it"),
        (disk.size_bytes < selection.min_size, f"{size}devices.min_size is {selection.min_size}"),
        (disk.size_bytes < least, f"{size}our own layout needs {least}"),
        (disk.sector_size not in (512, 4096), f"sectors of {disk.sector_size} bytes are not supported"),
        (
            selection.esp_size < esp,
            f"a FAT32 with its sector size needs {esp} bytes, and partitions.esp_size is {selection.esp_size}",
        ),
    )
    return next((reason for applies, reason in checks if applies), "")


def _firmware(root: Path) -> Firmware:
    return Firmware.UEFI if (root / "sys/firmware/efi").exists() else Firmware.BIOS
