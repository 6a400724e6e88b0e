"""The EFI system partition: FAT32 labelled ZOSBOOT."""

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
_CLUSTERS = 65525
_MIB = 1 << 20
# Of a directory entry: its first byte if it was deleted; attribute bits of a part of a long name, and of the label.
_DELETED, _LONG_NAME, _VOLUME = 0xE5, 0x0F, 0x08
# Cluster numbers: the first of all, and the first that ends a chain.
_FIRST_CLUSTER, _END = 2, 0x0FFFFFF8


def read(at: Callable[[int, int], bytes]) -> Content | None:
    """Read a FAT32 boot sector (fatgen103, section 3): serial at 67, label at 71, type at 82, signature at 510."""
    sector = at(0, 512)
    if sector[510:512] != b"\x55\xaa" or sector[82:90] != b"FAT32   ":
        return None
    serial = f"{int.from_bytes(sector[67:71], 'little'):08X}"
    return Content(TYPE, sector[71:82].decode("ascii", "replace").rstrip(), f"{serial[:4]}-{serial[4:]}")


def use(members: Sequence[Callable[[int, int], bytes]], names: Sequence[str]) -> str:  # noqa: ARG001 - as the others
    """What somebody put into the root directory besides the label; empty if nothing (fatgen103, sections 3 to 6)."""
    (at,) = members
    for entry in _root_entries(at):
        if entry[0] in (0, _DELETED) or entry[11] & _LONG_NAME == _LONG_NAME:
            continue
        if not entry[11] & _VOLUME:
            name, extension = (entry[part].decode("ascii", "replace").rstrip() for part in (slice(8), slice(8, 11)))
            return f"a file or folder '{name}{'.' if extension else ''}{extension}'"
    return ""


def _root_entries(at: Callable[[int, int], bytes]) -> Iterator[bytes]:
    """The entries of the root directory, of 32 bytes each, up to the first that was never used.

    Raises:
        UnreadableFilesystemError: the boot sector contradicts itself.
    """
    sector = at(0, 512)
    sector_bytes, per_cluster, reserved = struct.unpack_from("<HBH", sector, 11)
    copies, fat_sectors, cluster = (
        sector[16],
        *struct.unpack_from("<I", sector, 36),
        *struct.unpack_from("<I", sector, 44),
    )
    if sector_bytes not in (512, 1024, 2048, 4096) or not per_cluster or not fat_sectors:
        raise UnreadableFilesystemError("its boot sector is malformed")
    fat, data = reserved * sector_bytes, (reserved + copies * fat_sectors) * sector_bytes
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
    force: bool,  # noqa: ARG001 - the same call as for the others
) -> list[str]:
    """The command mkfs.fat, which asks nothing and overwrites: what stands there was judged before."""
    ((node, _),) = members
    serial = filesystem.uuid.replace("-", "")
    return ["mkfs.fat", "-F", "32", "-n", filesystem.label, "-i", serial, *filesystem.options, node]


def smallest(sector_size: int) -> int:
    """The fewest bytes of a FAT32: 65525 clusters of a sector each (fatgen103, 3.5), and what stands before them."""
    return -(-_CLUSTERS * sector_size // _MIB) * _MIB + _MIB
