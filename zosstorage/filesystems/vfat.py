"""vfat: the FAT32 of an EFI system partition, labelled ZOSBOOT.

"fatgen103" is Microsoft's FAT specification, version 1.03.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from zosstorage.errors import UnreadableFilesystemError
from zosstorage.model import Content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from zosstorage.model import Role
    from zosstorage.planned import PlannedFilesystem

TYPE = "vfat"
LABEL = "ZOSBOOT"
TOOLS = ("mkfs.fat",)
FORMAT_STATUS = (0,)
# The smallest number of clusters of a FAT32 (fatgen103, section 3.5).
_CLUSTERS = 65525
_MIB = 1 << 20
# A directory entry (fatgen103, section 6): first byte of a deleted one; attributes of a part of a long name; attribute
# bit of the volume label.
_DELETED, _LONG_NAME, _VOLUME = 0xE5, 0x0F, 0x08
# Cluster numbers: the first one, and the lowest one that marks the end of a chain.
_FIRST_CLUSTER, _END = 2, 0x0FFFFFF8


def read(at: Callable[[int, int], bytes]) -> Content | None:
    """Read a FAT32 boot sector (fatgen103, section 3): serial at 67, label at 71, type at 82, signature at 510."""
    sector = at(0, 512)
    if sector[510:512] != b"\x55\xaa" or sector[82:90] != b"FAT32   ":
        return None
    serial = f"{int.from_bytes(sector[67:71], 'little'):08X}"
    return Content(TYPE, sector[71:82].decode("ascii", "replace").rstrip(), f"{serial[:4]}-{serial[4:]}")


def use(members: Sequence[Callable[[int, int], bytes]], names: Sequence[str]) -> str:  # noqa: ARG001 - other types need it
    """The first entry of the root directory besides the volume label; empty if there is none.

    Args:
        members: one reader, as the filesystem has one device; it takes (offset, length) in bytes.
        names: not used.

    Raises:
        UnreadableFilesystemError: the boot sector is malformed.
    """
    (at,) = members
    for entry in _root_entries(at):
        if entry[0] in (0, _DELETED) or entry[11] & _LONG_NAME == _LONG_NAME:
            continue
        if not entry[11] & _VOLUME:
            name, extension = (entry[part].decode("ascii", "replace").rstrip() for part in (slice(8), slice(8, 11)))
            return f"a file or directory '{name}{'.' if extension else ''}{extension}'"
    return ""


def _root_entries(at: Callable[[int, int], bytes]) -> Iterator[bytes]:
    """The entries of the root directory, 32 bytes each, up to the first that was never used (fatgen103, 3 to 6).

    Raises:
        UnreadableFilesystemError: the boot sector is malformed.
    """
    sector = at(0, 512)
    sector_bytes, per_cluster, reserved = struct.unpack_from("<HBH", sector, 11)
    fats = sector[16]
    fat_sectors, cluster = struct.unpack_from("<I4xI", sector, 36)
    if sector_bytes not in (512, 1024, 2048, 4096) or not per_cluster or not fat_sectors:
        raise UnreadableFilesystemError("its boot sector is malformed")
    fat, data = reserved * sector_bytes, (reserved + fats * fat_sectors) * sector_bytes
    size = per_cluster * sector_bytes
    seen: set[int] = set()
    while _FIRST_CLUSTER <= cluster < _END and cluster not in seen:
        seen.add(cluster)
        content = at(data + (cluster - _FIRST_CLUSTER) * size, size)
        for start in range(0, size, 32):
            if not content[start]:
                return
            yield content[start : start + 32]
        cluster = struct.unpack("<I", at(fat + 4 * cluster, 4))[0] & 0x0FFFFFFF


def mkfs_argv(
    filesystem: PlannedFilesystem,
    members: Sequence[tuple[str, Role]],
    *,
    force: bool,  # noqa: ARG001 - other types need it
) -> list[str]:
    """The mkfs.fat command. It overwrites without asking, so the partition must have been examined before."""
    ((node, _),) = members
    serial = filesystem.uuid.replace("-", "")
    return ["mkfs.fat", "-F", "32", "-n", filesystem.label, "-i", serial, *filesystem.options, node]


def smallest(sector_size: int) -> int:
    """The smallest size of a FAT32 in bytes: 65525 clusters of one sector each, and 1 MiB for what precedes them."""
    return -(-_CLUSTERS * sector_size // _MIB) * _MIB + _MIB
