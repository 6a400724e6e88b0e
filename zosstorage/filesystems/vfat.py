"""The EFI system partition: FAT32 labelled ZOSBOOT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.model import Content

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import PlannedFilesystem

TYPE = "vfat"
LABEL = "ZOSBOOT"
TOOLS = ("mkfs.fat",)
# The bytes that `read` goes by: serial to type, and the signature.
DECISIVE = ((67, 23), (510, 2))


def read(at: Callable[[int, int], bytes]) -> Content | None:
    """Read a FAT32 boot sector (fatgen103, section 3): serial at 67, label at 71, type at 82, signature at 510."""
    sector = at(0, 512)
    if sector[510:512] != b"\x55\xaa" or sector[82:90] != b"FAT32   ":
        return None
    serial = f"{int.from_bytes(sector[67:71], 'little'):08X}"
    return Content(TYPE, sector[71:82].decode("ascii", "replace").rstrip(), f"{serial[:4]}-{serial[4:]}")


def mkfs_argv(filesystem: PlannedFilesystem, device: str, config: Config) -> list[str]:
    """The command mkfs.fat, which asks nothing and overwrites: what stands there was judged before."""
    serial = filesystem.uuid.replace("-", "")
    options: Sequence[str] = config.filesystems.vfat.mkfs_options
    return ["mkfs.fat", "-F", "32", "-n", filesystem.label, "-i", serial, *options, device]
