"""What the kernel says of its block devices: sysfs and device links only; no udev, no lsblk, nothing is opened."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zosstorage.block.gpt import MIB
from zosstorage.model import Discovery, Disk, Firmware, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from zosstorage.config.schema import Config
    from zosstorage.witness import Look

# The unit of sysfs `size` and `start`, whatever the sector size of the disk is (Documentation/ABI/stable/sysfs-block).
SYSFS_SECTOR = 512
# SCSI peripheral device type of CD and DVD drives (SPC-6, table 150).
_SCSI_CDROM = "5"
# All that is read of a disk, and of a partition, below its folder there.
DISK_ATTRIBUTES = (
    *("dev", "size", "ro", "removable", "hidden", "partition", "diskseq", "serial", "wwid"),
    *("queue/logical_block_size", "queue/rotational"),
    *(f"device/{name}" for name in ("model", "name", "serial", "type", "vpd_pg80", "wwid")),
)
PARTITION_ATTRIBUTES = ("dev", "partition", "start", "size")
# Room for the smallest btrfs with two copies of its metadata, which takes 109 MiB (mkfs.btrfs says so), and then some.
_LEAST_DATA = 256 * MIB
_FAT32_CLUSTERS = 65525
# A "Unit Serial Number" page (VPD 0x80) starts with 4 bytes of header.
_VPD_HEADER = 4


class KernelPartition(NamedTuple):
    """A partition as the kernel knows it; offsets in bytes."""

    device: str
    number: int
    start_bytes: int
    size_bytes: int


def discover(config: Config, *, root: Path = Path("/")) -> Discovery:
    """Sort every whole block device into the eligible ones and the rejected ones, each in natural order."""
    found = list(_examined(config, root, _block_names(root, config)))
    disks = tuple(disk for disk, reason in found if not reason)
    rejected = tuple(Rejected(disk, reason) for disk, reason in found if reason)
    return Discovery(_firmware(config, root), disks, rejected)


def eligible(config: Config, *, root: Path = Path("/")) -> tuple[Firmware, tuple[Disk, ...]]:
    """What `discover` takes, without a look at the disks that their names alone reject."""
    found = _examined(config, root, _named_disks(config, root))
    return _firmware(config, root), tuple(disk for disk, reason in found if not reason)


def _named_disks(config: Config, root: Path) -> list[str]:
    """The disks that are named by their nodes or links, and not excluded by them."""
    links, rules, named = _links(root / "dev/disk"), config.devices, []
    for name in _block_names(root, config):
        names = (_node(name), *links.get(_node(name), ()))
        if _named(names, rules.include) and not _named(names, rules.exclude):
            named.append(name)
    return named


def _examined(config: Config, root: Path, names: Iterable[str]) -> Iterator[tuple[Disk, str]]:
    """Each disk with the reason why it is not eligible, empty when it is; in natural order."""
    links = _links(root / "dev/disk")
    for name in sorted(names, key=natural_key):
        try:
            disk = read_disk(name, links=links, root=root)
        except FileNotFoundError:  # unplugged since it was listed
            continue
        yield disk, _reason(disk, config, root)


def looks(config: Config, *, root: Path = Path("/")) -> list[Look]:
    """What `eligible` looks at now, and will as long as it finds the same disks: of one without a size, no more.

    A disk whose node is not named can only be named by a link: all links are looked at.
    """
    block, rules = f"{root}/sys/class/block", config.devices
    kept = []
    for disk, _ in _examined(config, root, _named_disks(config, root)):
        attributes = DISK_ATTRIBUTES if disk.size_bytes else ("size",)
        kept.append(["texts", f"{block}/{disk.name}", *attributes])
    everything = ["disks", block, rules.include, rules.exclude]
    return [everything, ["links", f"{root}/dev/disk"], ["exists", f"{root}/sys/firmware/efi"], *kept]


def partition_looks(disk: Disk) -> list[Look]:
    """What `partitions` and `device_number` look at, as long as the disk has the same partitions."""
    devices = [part.device for part in partitions(disk)]
    texts = [["texts", f"/sys/class/block/{_name(device)}", *PARTITION_ATTRIBUTES] for device in devices]
    return [["names", f"/sys/class/block/{disk.name}", disk.name], *texts, ["nodes", *devices]]


def read_disk(name: str, *, links: dict[str, tuple[str, ...]] | None = None, root: Path = Path("/")) -> Disk:
    """Everything sysfs knows of a block device.

    Raises:
        FileNotFoundError: it is gone.
    """
    folder = f"{root}/sys/class/block/{name}"  # text: a Path for each of the attributes takes longer than to read them
    return Disk(
        path=_node(name),
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
        links=(links or {}).get(_node(name), ()),
    )


def devices(*, root: Path = Path("/")) -> list[str]:
    """The nodes of all block devices that have a size: disks, partitions and what is stacked on them."""
    block = f"{root}/sys/class/block"
    return [_node(name) for name in _names(block) if _read(f"{block}/{name}/size") not in ("", "0")]


def partitions(disk: Disk, *, root: Path = Path("/")) -> tuple[KernelPartition, ...]:
    """The partitions that the kernel has on a disk, by number."""
    folder = f"{root}/sys/class/block/{disk.name}"
    found = [
        KernelPartition(
            _node(name),
            int(number),
            int(_read(f"{folder}/{name}/start") or 0) * SYSFS_SECTOR,
            int(_read(f"{folder}/{name}/size") or 0) * SYSFS_SECTOR,
        )
        for name in _names(folder)
        if name.startswith(disk.name) and (number := _read(f"{folder}/{name}/partition"))
    ]
    return tuple(sorted(found, key=lambda part: part.number))


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


def device_number(node: str, *, root: Path = Path("/")) -> str:
    """`major:minor` of a block device's node.

    Raises:
        FileNotFoundError: it is gone.
    """
    return _number(f"{root}/sys/class/block/{_name(node)}")


def _number(folder: str) -> str:
    with open(f"{folder}/dev", "rb", buffering=0) as file:  # noqa: PTH123 - as `_read`
        return file.read(4096).decode("ascii").strip()


def _node(name: str) -> str:
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


def matches(disk: Disk, globs: Iterable[str]) -> bool:
    """Whether a glob names the disk's node or one of its links."""
    return _named((disk.path, *disk.links), globs)


def _named(names: Iterable[str], globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in globs for name in names)


def _block_names(root: Path, config: Config) -> list[str]:
    """Whole disks, and such partitions as the operator named while leaving out their disk: a mistake worth a reason."""
    block, found = f"{root}/sys/class/block", []
    for name in _names(block):
        if _read(f"{block}/{name}/hidden") == "1":  # a path of a multipath NVMe namespace; its head is listed as a disk
            continue
        if not _read(f"{block}/{name}/partition") or _is_named_alone(Path(block, name), config.devices.include):
            found.append(name)
    return found


def _is_named_alone(entry: Path, globs: Iterable[str]) -> bool:
    return _named([f"/dev/{entry.name}"], globs) and not _named([f"/dev/{entry.resolve().parent.name}"], globs)


def _reason(disk: Disk, config: Config, root: Path) -> str:
    """Why a disk is not eligible; empty when it is."""
    folder, rules = root / "sys/class/block" / disk.name, config.devices
    checks = (
        ((folder / "partition").exists(), "a partition, not a whole disk"),
        (_read(folder / "device/type") == _SCSI_CDROM, "a CD-ROM drive"),
        (disk.size_bytes == 0, "its size is 0: no medium, or an idle device"),
        (not matches(disk, rules.include), "devices.include does not name it"),
        (matches(disk, rules.exclude), "devices.exclude names it"),
        (disk.removable and not rules.allow_removable, "removable, and devices.allow_removable is false"),
        (disk.read_only, "read-only"),
        (
            disk.size_bytes < rules.min_size,
            f"too small: {disk.size_bytes} bytes, and devices.min_size is {rules.min_size}",
        ),
        (
            disk.size_bytes < (least := _floor(config)),
            f"too small: {disk.size_bytes} bytes, and our own layout needs {least}",
        ),
        (disk.sector_size not in (512, 4096), f"sectors of {disk.sector_size} bytes are not supported"),
        (
            config.partitions.esp_size < (esp := _least_esp(disk)),
            f"FAT32 takes {esp} bytes in its sectors, and partitions.esp_size is {config.partitions.esp_size}",
        ),
    )
    return next((reason for applies, reason in checks if applies), "")


def _floor(config: Config) -> int:
    """The fewest bytes that our layout fits into: the ESP, 1 MiB at each end, bios_boot, and _LEAST_DATA."""
    return config.partitions.esp_size + _LEAST_DATA + 4 * MIB


def _least_esp(disk: Disk) -> int:
    """The fewest bytes of a FAT32: 65525 clusters of a sector each (fatgen103, 3.5), and what stands before them."""
    return -(-_FAT32_CLUSTERS * disk.sector_size // MIB) * MIB + MIB


def _firmware(config: Config, root: Path) -> Firmware:
    if config.partitions.firmware != "auto":
        return Firmware(config.partitions.firmware)
    return Firmware.UEFI if (root / "sys/firmware/efi").exists() else Firmware.BIOS


def _links(folder: Path) -> dict[str, tuple[str, ...]]:
    """`/dev/disk/by-*/…` links by the node name that they lead to."""
    found: dict[str, list[str]] = {}
    for kind in _entries(folder):
        for link in _entries(kind) if kind.is_dir() else ():
            found.setdefault(f"/dev/{link.resolve().name}", []).append(f"/dev/disk/{kind.name}/{link.name}")
    return {node: tuple(sorted(names)) for node, names in found.items()}


def _entries(folder: Path) -> list[Path]:
    return [folder / name for name in _names(folder)]


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


def _vpd_serial(path: Path) -> str:
    try:
        return path.read_bytes()[_VPD_HEADER:].decode("ascii", "replace").strip(" \0")
    except OSError:
        return ""
