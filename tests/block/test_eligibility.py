"""Which disks are eligible, and why others are rejected."""

from pathlib import Path
from typing import Any

import pytest
from fakes import SysfsTree
from support import ESP_SIZE, GIB, MIB, config, disk

from zosstorage.block import eligibility, layout, sysfs
from zosstorage.block.eligibility import Selection
from zosstorage.filesystems import vfat
from zosstorage.model import Discovery, Firmware
from zosstorage.planning.discovery import selection

# Block devices as each driver shows them in sysfs: name → attributes, and the reason for rejection by default.
DEVICES: dict[str, tuple[dict[str, Any], str | None]] = {
    # virtio-blk reports a rotating disk, has the serial in the folder of the disk, and neither model nor wwid
    "vda": ({"number": "254:0", "queue__rotational": 1, "serial": "virtio-1"}, ""),
    "vdb": ({"number": "254:16", "queue__rotational": 1, "queue__logical_block_size": 4096}, ""),
    # NVMe pads attributes with spaces
    "nvme0n1": (
        {
            "number": "259:0",
            "wwid": "eui.0025385971b0a1c2",
            "device__model": "Samsung SSD 970                         ",
            "device__serial": "S466NX0K             ",
        },
        "",
    ),
    # a path of a multipath NVMe namespace, which is hidden
    "nvme1c0n1": ({"number": "0:0", "hidden": 1}, None),
    # SATA and SAS disks, by the SCSI layer
    "sda": (
        {
            "number": "8:0",
            "device__wwid": "naa.5000c500a1b2c3d4",
            "device__model": "ST4000NM0035    ",
            "device__type": 0,
            "queue__rotational": 1,
        },
        "",
    ),
    "sdb": ({"number": "8:16", "device__model": "INTEL SSDSC2KB48", "device__type": 0}, ""),
    "sdc": ({"number": "8:32", "removable": 1, "device__model": "Ultra Fit", "device__type": 0}, "removable"),
    "sdd": ({"number": "8:48", "ro": 1}, "read-only"),
    "sde": ({"number": "8:64", "gib": 3.9}, "too small"),
    "sdf": ({"number": "8:80", "queue__logical_block_size": 520}, "sectors of 520 bytes are not supported"),
    "sdg": ({"number": "8:96", "gib": 0}, "its size is 0"),
    "sdh": ({"number": "8:112", "ext_range": 1}, "the kernel has no partitions on it"),
    "sr0": ({"number": "11:0", "removable": 1, "device__type": 5}, "a CD-ROM drive"),
    "zram0": ({"number": "252:0", "gib": 0}, "its size is 0"),
    "loop0": ({"number": "7:0", "loop__backing_file": "/image"}, "devices.include does not name it"),
    "dm-0": ({"number": "253:0", "slaves": ["sda"]}, "devices.include does not name it"),
    "md0": ({"number": "9:0", "md__level": "raid1"}, "devices.include does not name it"),
    "mmcblk0": ({"number": "179:0", "device__name": "DG4016"}, "devices.include does not name it"),
    "ram0": ({"number": "1:0"}, "devices.include does not name it"),
    "nbd0": ({"number": "43:0"}, "devices.include does not name it"),
    "fd0": ({"number": "2:0", "removable": 1}, "devices.include does not name it"),
}
ELIGIBLE = ["sda", "sdb", "vda", "vdb", "nvme0n1"]


@pytest.fixture
def machine(sysfs_tree: SysfsTree) -> SysfsTree:
    for name, (attributes, _) in DEVICES.items():
        sysfs_tree.add(name, **attributes)
    return sysfs_tree


def discover(tree: SysfsTree, **sections: Any) -> Discovery:
    return eligibility.discover(selection(config(**sections)), root=tree.root)


def reasons(found: Discovery) -> dict[str, str]:
    return {one.disk.name: one.reason for one in found.rejected}


@pytest.mark.parametrize("name", [name for name, (_, reason) in DEVICES.items() if reason])
def test_reasons_of_rejected_devices(machine: SysfsTree, name: str) -> None:
    assert str(DEVICES[name][1]) in reasons(discover(machine))[name]


def test_eligible_disks_are_in_natural_order(machine: SysfsTree) -> None:
    found = discover(machine)
    assert [one.name for one in found.disks] == ELIGIBLE
    assert len(found.disks) + len(found.rejected) == len(DEVICES) - 1  # the hidden one is not listed


def test_a_machine_without_block_devices(tmp_path: Path) -> None:
    (tmp_path / "sys/class/block").mkdir(parents=True)
    found = eligibility.discover(selection(config()), root=tmp_path)
    assert (found.disks, found.rejected, found.firmware) == ((), (), Firmware.BIOS)


def test_a_disk_unplugged_after_it_was_listed_is_skipped(machine: SysfsTree, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [*DEVICES, "sdz"]
    monkeypatch.setattr(sysfs, "block_names", lambda **_: [name for name in names if name != "nvme1c0n1"])
    found = discover(machine)
    assert [one.name for one in found.disks] == ELIGIBLE
    assert "sdz" not in reasons(found)


# Globs.


def test_removable_disks_are_eligible_if_allowed(machine: SysfsTree) -> None:
    assert "sdc" in [one.name for one in discover(machine, devices={"allow_removable": True}).disks]


def test_exclude_wins_over_include(machine: SysfsTree) -> None:
    found = discover(machine, devices={"exclude": ["/dev/vd*", "/dev/nvme*"]})
    assert [one.name for one in found.disks] == ["sda", "sdb"]
    assert reasons(found)["vda"] == "devices.exclude names it"


def test_a_link_includes_its_disk(machine: SysfsTree) -> None:
    machine.link("by-id/ata-disk-of-mine", "sdb")
    machine.link("by-path/pci-0000:00:1f.2-ata-2", "sdb")
    found = discover(machine, devices={"include": ["/dev/disk/by-id/ata-*"]})
    assert [one.name for one in found.disks] == ["sdb"]
    assert found.disks[0].links == ("/dev/disk/by-id/ata-disk-of-mine", "/dev/disk/by-path/pci-0000:00:1f.2-ata-2")


def test_a_link_excludes_its_disk(machine: SysfsTree) -> None:
    machine.link("by-id/ata-system", "sda")
    assert "sda" not in [
        one.name for one in discover(machine, devices={"exclude": ["/dev/disk/by-id/ata-system"]}).disks
    ]


@pytest.mark.parametrize(
    ("globs", "named"),
    [
        (["/dev/sda"], True),
        (["/dev/sd?"], True),
        (["/dev/SDA"], False),
        (["sda"], False),
        (["/dev/sdb", "/dev/disk/by-id/*"], True),
        ([], False),
    ],
    ids=str,
)
def test_globs_match_nodes_and_links(globs: list[str], named: bool) -> None:
    assert eligibility.matches(disk("sda", links=("/dev/disk/by-id/x",)), globs) is named


def test_loop_devices_are_eligible_if_included(machine: SysfsTree) -> None:
    found = discover(machine, devices={"include": ["/dev/loop*"], "exclude": []})
    assert [one.name for one in found.disks] == ["loop0"]


@pytest.fixture
def partitioned(sysfs_tree: SysfsTree) -> SysfsTree:
    sysfs_tree.add("sda", partitions=[("sda2", 2, 4096, 8192), ("sda1", 1, 2048, 2048), ("sda10", 10, 20480, 8)])
    sysfs_tree.add("nvme0n1", number="259:0", partitions=[("nvme0n1p1", 1, 256, 8)], queue__logical_block_size=4096)
    return sysfs_tree


def test_partitions_are_not_listed_as_disks(partitioned: SysfsTree) -> None:
    found = discover(partitioned)
    assert [one.name for one in found.disks] == ["sda", "nvme0n1"]
    assert found.rejected == ()


def test_a_partition_included_without_its_disk_is_rejected_with_a_reason(partitioned: SysfsTree) -> None:
    found = discover(partitioned, devices={"include": ["/dev/sda1"]})
    assert reasons(found)["sda1"] == "a partition, not a whole disk"
    assert "sda2" not in reasons(found)


# Sizes.


def test_min_size_can_be_lowered(machine: SysfsTree) -> None:
    found = discover(machine, devices={"min_size": "3GiB"})
    assert "sde" in [one.name for one in found.disks]


ANY = Selection(include=("/dev/*",), exclude=(), allow_removable=False, min_size=0, esp_size=ESP_SIZE)


def reason_of_only_disk(tree: SysfsTree, selected: Selection, **attributes: Any) -> str:
    """Add a disk, the only one, and return the reason for its rejection; empty if it is eligible."""
    tree.add("sda", **attributes)
    found = eligibility.discover(selected, root=tree.root)
    return reasons(found).get("sda", "")


@pytest.mark.parametrize(("change", "expected"), [(0, ""), (-512, f"our own layout needs {layout.smallest(ESP_SIZE)}")])
def test_a_disk_too_small_for_the_layout_is_rejected(sysfs_tree: SysfsTree, change: int, expected: str) -> None:
    size = layout.smallest(ESP_SIZE) + change
    assert expected in reason_of_only_disk(sysfs_tree, ANY, gib=size / GIB)
    assert bool(expected) is bool(reasons(eligibility.discover(ANY, root=sysfs_tree.root)))


@pytest.mark.parametrize(
    ("sector", "esp_size", "expected"),
    [
        (512, 33 * MIB, ""),
        (512, 32 * MIB, f"a FAT32 with its sector size needs {33 * MIB} bytes, and partitions.esp_size is {32 * MIB}"),
        (4096, 257 * MIB, ""),
        (4096, 256 * MIB, f"a FAT32 with its sector size needs {257 * MIB} bytes"),
    ],
)
def test_an_esp_too_small_for_fat32_is_rejected(
    sysfs_tree: SysfsTree, sector: int, esp_size: int, expected: str
) -> None:
    selected = Selection(("/dev/*",), (), False, 0, esp_size)
    found = reason_of_only_disk(sysfs_tree, selected, queue__logical_block_size=sector)
    assert found.startswith(expected)
    assert bool(found) is bool(expected)
    assert vfat.smallest(sector) == {512: 33 * MIB, 4096: 257 * MIB}[sector]


# Firmware.


def test_firmware_is_uefi_if_sysfs_has_efi(sysfs_tree: SysfsTree) -> None:
    assert discover(sysfs_tree).firmware is Firmware.BIOS
    (sysfs_tree.root / "sys/firmware/efi").mkdir(parents=True)
    assert discover(sysfs_tree).firmware is Firmware.UEFI


def test_configured_firmware_overrides_sysfs(sysfs_tree: SysfsTree) -> None:
    assert discover(sysfs_tree, partitions={"firmware": "uefi"}).firmware is Firmware.UEFI
    (sysfs_tree.root / "sys/firmware/efi").mkdir(parents=True)
    assert discover(sysfs_tree, partitions={"firmware": "bios"}).firmware is Firmware.BIOS
