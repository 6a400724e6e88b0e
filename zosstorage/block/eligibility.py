"""Which disks may be taken at all, by what sysfs says of them; nothing is opened."""

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


@frozen
class Selection:
    """What an operator says about disks.

    Attributes:
        include: globs over nodes and links of the disks that may be taken; `exclude` of those that may not.
        min_size: the fewest bytes of an eligible disk.
        esp_size: bytes of the ESP that must fit.
        firmware: None to look for `/sys/firmware/efi`.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    allow_removable: bool
    min_size: int
    esp_size: int
    firmware: Firmware | None = None


def discover(selection: Selection, *, root: Path = Path("/")) -> Discovery:
    """Sort every whole block device into the eligible ones and the rejected ones, each in natural order."""
    found = list(_examined(selection, root))
    return Discovery(
        selection.firmware or _firmware(root),
        tuple(disk for disk, reason in found if not reason),
        tuple(Rejected(disk, reason) for disk, reason in found if reason),
    )


def matches(disk: Disk, globs: Iterable[str]) -> bool:
    """Whether a glob names the disk's node or one of its links."""
    return _named((disk.path, *disk.links), globs)


def _named(names: Iterable[str], globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in globs for name in names)


def _examined(selection: Selection, root: Path) -> Iterator[tuple[Disk, str]]:
    """Each disk with the reason why it is not eligible, empty when it is; in natural order."""
    links = sysfs.links(root=root)
    for name in sorted(_candidates(selection, root), key=sysfs.natural_key):
        try:
            disk = sysfs.read_disk(name, links=links, root=root)
        except FileNotFoundError:  # unplugged since it was listed
            continue
        yield disk, _reason(disk, selection, root)


def _candidates(selection: Selection, root: Path) -> list[str]:
    """Whole disks, and such partitions as the operator named while leaving out their disk: a mistake worth a reason."""
    return [
        name
        for name in sysfs.block_names(root=root)
        if not sysfs.attribute(name, "partition", root=root) or _is_named_alone(name, selection, root)
    ]


def _is_named_alone(name: str, selection: Selection, root: Path) -> bool:
    disk = sysfs.whole_disk(name, root=root)
    return _named([sysfs.node(name)], selection.include) and not _named([sysfs.node(disk)], selection.include)


def _reason(disk: Disk, selection: Selection, root: Path) -> str:
    """Why a disk is not eligible; empty when it is."""
    least, esp = layout.smallest(selection.esp_size), vfat.smallest(disk.sector_size)
    size = f"too small: {disk.size_bytes} bytes, and "
    checks = (
        (bool(sysfs.attribute(disk.name, "partition", root=root)), "a partition, not a whole disk"),
        (sysfs.attribute(disk.name, "device/type", root=root) == _SCSI_CDROM, "a CD-ROM drive"),
        (disk.size_bytes == 0, "its size is 0: no medium, or an idle device"),
        (not matches(disk, selection.include), "devices.include does not name it"),
        (matches(disk, selection.exclude), "devices.exclude names it"),
        (disk.removable and not selection.allow_removable, "removable, and devices.allow_removable is false"),
        (disk.read_only, "read-only"),
        (disk.size_bytes < selection.min_size, f"{size}devices.min_size is {selection.min_size}"),
        (disk.size_bytes < least, f"{size}our own layout needs {least}"),
        (disk.sector_size not in (512, 4096), f"sectors of {disk.sector_size} bytes are not supported"),
        (
            selection.esp_size < esp,
            f"FAT32 takes {esp} bytes in its sectors, and partitions.esp_size is {selection.esp_size}",
        ),
    )
    return next((reason for applies, reason in checks if applies), "")


def _firmware(root: Path) -> Firmware:
    return Firmware.UEFI if (root / "sys/firmware/efi").exists() else Firmware.BIOS
