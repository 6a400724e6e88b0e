"""Read the attributes of block devices from sysfs, and their links in /dev/disk; no device is opened."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.facts import Partition
from zosstorage.model import Disk

if TYPE_CHECKING:
    from collections.abc import Mapping

# The unit of `size` and `start` in sysfs, for any sector size of the disk (Documentation/ABI/stable/sysfs-block).
SYSFS_SECTOR = 512
# The length of the header of a "Unit Serial Number" page (VPD 0x80), in bytes.
_VPD_HEADER = 4
# In a "Block Device Characteristics" page (VPD 0xB1): the bytes of the medium rotation rate, and its lowest value.
_ROTATION_RATE, _SLOWEST = slice(4, 6), 0x401
# Indexes in /sys/block/*/stat of sectors written, discards completed and sectors discarded
# (Documentation/block/stat.rst). The number of writes is not used: it also counts flushes, which write nothing.
_WRITES = (6, 11, 13)


def read_disk(name: str, *, links: Mapping[str, tuple[str, ...]] | None = None, root: Path = Path("/")) -> Disk:
    """Read the attributes of a block device.

    Raises:
        FileNotFoundError: there is no such device.
    """
    folder = f"{root}/sys/class/block/{name}"  # a str: making a Path for each attribute takes longer than reading it
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
        transport=_transport(name, os.path.realpath(folder)),
    )


def _transport(name: str, real: str) -> str:
    """How a disk is attached, by the path of its device in sysfs, `…/ata1/host0/…`; empty if it is none of the known.

    A path below usb counts first: an adapter has a SCSI host of its own.
    """
    found = [re.sub(r"[-.:\d].*", "", part) for part in real.split("/sys/devices/", 1)[-1].split("/")[:-1]]
    by_part = (
        ("usb", "usb"),
        ("nvme", "nvme"),
        ("ata", "sata"),
        ("mmc", "mmc"),
        ("host", "scsi"),
        ("virtio", "virtio"),
    )
    by_path = next((transport for part, transport in by_part if part in found), "")
    by_name = next(
        (transport for start, transport in (("nvme", "nvme"), ("mmcblk", "mmc")) if name.startswith(start)), ""
    )
    return by_path or by_name


def devices(*, root: Path = Path("/")) -> list[str]:
    """The nodes of all block devices whose size is not 0: disks, partitions and devices stacked on them."""
    block = f"{root}/sys/class/block"
    return [node(name) for name in _names(block) if _read(f"{block}/{name}/size") not in ("", "0")]


def partitions(disk: Disk, *, root: Path = Path("/")) -> dict[int, Partition]:
    """The partitions that the kernel has on a disk, by number; sysfs has neither their names nor their types."""
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
    """The kernel's counts of writes and discards on a disk; None if it keeps none.

    They start when the disk is attached. If `diskseq` and the counts are unchanged, nothing was written. They can be
    turned off (queue/iostats), and older kernels count nothing on a multipath NVMe namespace.
    """
    folder = f"{root}/sys/class/block/{disk.name}"
    numbers = _read(f"{folder}/stat").split()
    if _read(f"{folder}/queue/iostats") == "0" or not any(map(int, numbers)):
        return None
    return " ".join(numbers[index] for index in _WRITES if index < len(numbers)) or None


def holders(disk: Disk, *, root: Path = Path("/")) -> dict[str, tuple[str, ...]]:
    """Devices stacked on a disk or on a partition of it (dm, md, bcache): node → names of its holders."""
    folder = root / "sys/class/block" / disk.name
    found = {}
    parts = [folder / name for name in _names(folder) if name.startswith(disk.name)]
    for device in (folder, *parts):
        if names := sorted(entry.name for entry in _entries(device / "holders")):
            found[f"/dev/{device.name}"] = tuple(names)
    return found


def backing_file(disk: Disk, *, root: Path = Path("/")) -> str:
    """The file behind a loop device; empty for any other disk."""
    return _read(root / "sys/class/block" / disk.name / "loop/backing_file")


def slaves(disk: Disk, *, root: Path = Path("/")) -> tuple[str, ...]:
    """The names of the devices that a disk is stacked on."""
    return tuple(sorted(entry.name for entry in _entries(root / "sys/class/block" / disk.name / "slaves")))


def device_number(device: str, *, root: Path = Path("/")) -> str:
    """The number, `major:minor`, that sysfs has for the name of a node.

    Raises:
        FileNotFoundError: there is no such device.
    """
    return _number(f"{root}/sys/class/block/{_name(device)}")


def _number(folder: str) -> str:
    with open(f"{folder}/dev", "rb", buffering=0) as file:  # noqa: PTH123 - as in `_read`
        return file.read(4096).decode("ascii").strip()


def node(name: str) -> str:
    """The node of a kernel name; sysfs replaces a slash, as in cciss/c0d0, by an exclamation mark."""
    return f"/dev/{name.replace('!', '/')}"


def _name(node: str) -> str:
    return node.removeprefix("/dev/").replace("/", "!")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """The sort key for the natural order of kernel names: sda, sdb, … sdz, sdaa; nvme2n1 before nvme10n1."""
    return [(int(part), 0, "") if part.isdigit() else (0, len(part), part) for part in re.findall(r"\d+|\D+", name)]


def partition_device(disk: Disk, number: int) -> str:
    """The node of a partition; if the name of the disk ends in a digit, a `p` comes before the number."""
    return f"{disk.path}{'p' if disk.path[-1].isdigit() else ''}{number}"


def links(*, root: Path = Path("/")) -> dict[str, tuple[str, ...]]:
    """Node → its links in `/dev/disk/by-*`."""
    found: dict[str, list[str]] = {}
    for kind in _entries(root / "dev/disk"):
        for link in _entries(kind) if kind.is_dir() else ():
            # Not Path.resolve(), which raises an exception at a loop of links.
            found.setdefault(f"/dev/{Path(os.path.realpath(link)).name}", []).append(
                f"/dev/disk/{kind.name}/{link.name}"
            )
    return {node: tuple(sorted(names)) for node, names in found.items()}


def _entries(folder: Path) -> list[Path]:
    return [folder / name for name in _names(folder)]


def block_names(*, root: Path = Path("/")) -> list[str]:
    """The kernel names of all block devices, with partitions but without hidden devices."""
    block = f"{root}/sys/class/block"
    # A path of a multipath NVMe namespace is hidden; the namespace itself is a disk of its own.
    return [name for name in _names(block) if _read(f"{block}/{name}/hidden") != "1"]


def attribute(name: str, path: str, *, root: Path = Path("/")) -> str:
    """An attribute of a block device, stripped; empty if it is missing or cannot be read."""
    return _read(f"{root}/sys/class/block/{name}/{path}")


def whole_disk(name: str, *, root: Path = Path("/")) -> str:
    """The kernel name of the disk that a partition is on."""
    return (root / "sys/class/block" / name).resolve().parent.name


def _names(folder: str | Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - only names are needed, and making a Path is slow
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(path: str | Path) -> str:
    """A sysfs attribute, stripped of the padding of NVMe and ATA; empty if it is missing or cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:  # at most one page (Documentation/filesystems/sysfs.rst), in one read; a file object takes twice as long
        return os.read(handle, 4096).decode("utf-8", "replace").strip(" \n\t\0")
    except OSError:
        return ""
    finally:
        os.close(handle)


def _first(folder: str, *names: str) -> str:
    return next((text for name in names if (text := _read(f"{folder}/{name}"))), "")


def _rotation_rate(path: Path) -> int:
    """The rotation rate in a "Block Device Characteristics" page; 0 if unknown or not rotating (SBC-4, 6.6.2)."""
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
