"""The EFI system partition: FAT32 labelled ZOSBOOT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.model import Content

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zosstorage.model import Role
    from zosstorage.planned import PlannedFilesystem

TYPE = "vfat"
LABEL = "ZOSBOOT"
TOOLS = ("mkfs.fat",)
FORMAT_STATUS = (0,)
_CLUSTERS = 65525
_MIB = 1 << 20


def read(at: Callable[[int, int], bytes]) -> Content | None:
    """Read a FAT32 boot sector (fatgen103, section 3): serial at 67, label at 71, type at 82, signature at 510."""
    sector = at(0, 512)
    if sector[510:512] != b"\x55\xaa" or sector[82:90] != b"FAT32   ":
        return None
    serial = f"{int.from_bytes(sector[67:71], 'little'):08X}"
    return Content(TYPE, sector[71:82].decode("ascii", "replace").rstrip(), f"{serial[:4]}-{serial[4:]}")


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
