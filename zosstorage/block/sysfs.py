"""What the kernel says of its block devices: sysfs and device links only; no udev, no lsblk, nothing is opened."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.facts import Partition
from zosstorage.model import Disk

if TYPE_CHECKING:
    from collections.abc import Mapping

# The unit of sysfs `size` and `start`, whatever the sector size of the disk is (Documentation/ABI/stable/sysfs-block).
SYSFS_SECTOR = 512
# A "Unit Serial Number" page (VPD 0x80) starts with 4 bytes of header.
_VPD_HEADER = 4
# In a "Block Device Characteristics" page (VPD 0xB1): the medium rotation rate, and the smallest that is one.
_ROTATION_RATE, _SLOWEST = slice(4, 6), 0x401
# Of /sys/block/*/stat: sectors written, discards completed and sectors discarded (Documentation/block/stat.rst). The
# number of writes is left out: a flush, which writes nothing, counts as one.
_WRITES = (6, 11, 13)


def read_disk(name: str, *, links: Mapping[str, tuple[str, ...]] | None = None, root: Path = Path("/")) -> Disk:
    """Everything sysfs knows of a block device.

    Raises:
        FileNotFoundError: it is gone.
    """
    folder = f"{root}/sys/class/block/{name}"  # text: a Path for each of the attributes takes longer than to read them
    return Disk(
        path=node(name),
        name=name,
        number=_number(folder),
        size_bytes=int(_read(f"{folder}/size") or 0) * SYSFS_SECTOR,
        sector_size=int(_read(f"{folder}/queue/logical_block_size") or 512),
        rotational=_read(f"{folder}/queue/rotational") == "1",
        removable=_read(f"{folder}/removable") == "1",
        read_only=_read(f"{folder}/ro") == "1",
        model=_first(folder, "device/model", "device/name"),
        serial=_first(folder, "serial", "device/serial") or _vpd_serial(Path(folder, "device/vpd_pg80")),
        wwn=_first(folder, "wwid", "device/wwid"),
        diskseq=int(text) if (text := _read(f"{folder}/diskseq")) else None,
        links=(links or {}).get(node(name), ()),
        rotation_rate=_rotation_rate(Path(folder, "device/vpd_pgb1")),
    )


def devices(*, root: Path = Path("/")) -> list[str]:
    """The nodes of all block devices that have a size: disks, partitions and what is stacked on them."""
    block = f"{root}/sys/class/block"
    return [node(name) for name in _names(block) if _read(f"{block}/{name}/size") not in ("", "0")]


def partitions(disk: Disk, *, root: Path = Path("/")) -> dict[int, Partition]:
    """The partitions that the kernel has on a disk, by number; it knows neither their names nor their types."""
    folder = f"{root}/sys/class/block/{disk.name}"
    found = {
        int(number): Partition(
            number=int(number),
            device=node(name),
            name="",
            type="",
            uuid="",
            start_bytes=int(_read(f"{folder}/{name}/start") or 0) * SYSFS_SECTOR,
            size_bytes=int(_read(f"{folder}/{name}/size") or 0) * SYSFS_SECTOR,
        )
        for name in _names(folder)
        if name.startswith(disk.name) and (number := _read(f"{folder}/{name}/partition"))
    }
    return dict(sorted(found.items()))


def writes(disk: Disk, *, root: Path = Path("/")) -> str | None:
    """The kernel's counts of what was written to a disk and discarded on it; None where it keeps none.

    They count since the disk was attached: with the same `diskseq`, the same counts say that nobody wrote. An operator
    can stop them (queue/iostats), and older kernels count nothing at all of a multipath NVMe namespace.
    """
    folder = f"{root}/sys/class/block/{disk.name}"
    numbers = _read(f"{folder}/stat").split()
    if _read(f"{folder}/queue/iostats") == "0" or not any(map(int, numbers)):
        return None
    return " ".join(numbers[at] for at in _WRITES if at < len(numbers)) or None


def holders(disk: Disk, *, root: Path = Path("/")) -> dict[str, tuple[str, ...]]:
    """Devices stacked on the disk or on a partition of it (dm, md, bcache): node → names of its holders."""
    folder = root / "sys/class/block" / disk.name
    found = {}
    parts = [folder / name for name in _names(folder) if name.startswith(disk.name)]
    for held in (entry / "holders" for entry in (folder, *parts)):
        if names := sorted(entry.name for entry in _entries(held)):
            found[f"/dev/{held.parent.name}"] = tuple(names)
    return found


def backing_file(disk: Disk, *, root: Path = Path("/")) -> str:
    """The file behind a loop device; empty for any other disk."""
    return _read(root / "sys/class/block" / disk.name / "loop/backing_file")


def slaves(disk: Disk, *, root: Path = Path("/")) -> tuple[str, ...]:
    """Devices that the disk itself is stacked on."""
    return tuple(sorted(entry.name for entry in _entries(root / "sys/class/block" / disk.name / "slaves")))


def device_number(device: str, *, root: Path = Path("/")) -> str:
    """`major:minor` of a block device's node.

    Raises:
        FileNotFoundError: it is gone.
    """
    return _number(f"{root}/sys/class/block/{_name(device)}")


def _number(folder: str) -> str:
    with open(f"{folder}/dev", "rb", buffering=0) as file:  # noqa: PTH123 - as `_read`
        return file.read(4096).decode("ascii").strip()


def node(name: str) -> str:
    """The node of a kernel name: sysfs writes the slash of cciss/c0d0 as an exclamation mark."""
    return f"/dev/{name.replace('!', '/')}"


def _name(node: str) -> str:
    return node.removeprefix("/dev/").replace("/", "!")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Order of kernel names: sda, sdb, … sdz, sdaa; nvme2n1 before nvme10n1."""
    return [(int(part), 0, "") if part.isdigit() else (0, len(part), part) for part in re.findall(r"\d+|\D+", name)]


def partition_device(disk: Disk, number: int) -> str:
    """The node of a partition: the kernel puts a `p` between a name that ends in a digit and the number."""
    return f"{disk.path}{'p' if disk.path[-1].isdigit() else ''}{number}"


def links(*, root: Path = Path("/")) -> dict[str, tuple[str, ...]]:
    """`/dev/disk/by-*/…` links by the node name that they lead to."""
    found: dict[str, list[str]] = {}
    for kind in _entries(root / "dev/disk"):
        for link in _entries(kind) if kind.is_dir() else ():
            found.setdefault(f"/dev/{link.resolve().name}", []).append(f"/dev/disk/{kind.name}/{link.name}")
    return {node: tuple(sorted(names)) for node, names in found.items()}


def _entries(folder: Path) -> list[Path]:
    return [folder / name for name in _names(folder)]


def block_names(*, root: Path = Path("/")) -> list[str]:
    """The kernel names of all block devices, partitions included, but no hidden one."""
    block = f"{root}/sys/class/block"
    # Hidden is a path of a multipath NVMe namespace; its head is listed as a disk.
    return [name for name in _names(block) if _read(f"{block}/{name}/hidden") != "1"]


def attribute(name: str, path: str, *, root: Path = Path("/")) -> str:
    """An attribute of a block device, trimmed; empty where it is missing or cannot be read."""
    return _read(f"{root}/sys/class/block/{name}/{path}")


def whole_disk(name: str, *, root: Path = Path("/")) -> str:
    """The kernel name of the disk that a partition is on."""
    return (root / "sys/class/block" / name).resolve().parent.name


def _names(folder: str | Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are wanted, and a Path is slow to make
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(path: str | Path) -> str:
    """A sysfs attribute, trimmed: NVMe and ATA pad with spaces; empty where it is missing or cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:  # at most a page (Documentation/filesystems/sysfs.rst), in one read; a file object would cost as much again
        return os.read(handle, 4096).decode("utf-8", "replace").strip(" \n\t\0")
    except OSError:
        return ""
    finally:
        os.close(handle)


def _first(folder: str, *names: str) -> str:
    return next((text for name in names if (text := _read(f"{folder}/{name}"))), "")


def _rotation_rate(path: Path) -> int:
    """Of a "Block Device Characteristics" page: there 0 is "not reported", 1 "does not rotate" (SBC-4, 6.6.2)."""
    try:
        rate = int.from_bytes(path.read_bytes()[_ROTATION_RATE], "big")
    except OSError:
        return 0
    return rate if _SLOWEST <= rate < 0xFFFF else 0  # noqa: PLR2004 - reserved


def _vpd_serial(path: Path) -> str:
    try:
        return path.read_bytes()[_VPD_HEADER:].decode("ascii", "replace").strip(" \0")
    except OSError:
        return ""
