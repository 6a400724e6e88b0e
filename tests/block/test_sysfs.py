"""Reading the attributes of block devices from sysfs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import SysfsTree
from hypothesis import given
from hypothesis import strategies as st
from support import GIB, disk

from zosstorage.block import sysfs
from zosstorage.facts import Partition
from zosstorage.model import Disk

# Disks as each driver shows them in sysfs: name → attributes.
DISKS: dict[str, dict[str, Any]] = {
    # virtio-blk reports a rotating disk, has the serial in the folder of the disk, and neither model nor wwid
    "vda": {"number": "254:0", "queue__rotational": 1, "serial": "virtio-1"},
    "vdb": {"number": "254:16", "queue__logical_block_size": 4096},
    # NVMe pads attributes with spaces
    "nvme0n1": {
        "number": "259:0",
        "wwid": "eui.0025385971b0a1c2",
        "device__model": "Samsung SSD 970                         ",
        "device__serial": "S466NX0K             ",
    },
    "sda": {
        "number": "8:0",
        "device__wwid": "naa.5000c500a1b2c3d4",
        "device__model": "ST4000NM0035    ",
        "device__type": 0,
        "queue__rotational": 1,
    },
    "mmcblk0": {"number": "179:0", "device__name": "DG4016"},
    "sdb": {"number": "8:16", "removable": 1, "ro": 1},
}


@pytest.fixture
def read(sysfs_tree: SysfsTree) -> Callable[[str], Disk]:
    """A function that adds a disk of DISKS to sysfs and reads it."""

    def read(name: str) -> Disk:
        sysfs_tree.add(name, **DISKS[name])
        return sysfs.read_disk(name, root=sysfs_tree.root)

    return read


def test_attributes_of_a_sata_disk(read: Callable[[str], Disk]) -> None:
    found = read("sda")
    assert (found.path, found.number, found.size_bytes, found.sector_size) == ("/dev/sda", "8:0", 10 * GIB, 512)
    assert (found.rotational, found.removable, found.read_only) == (True, False, False)
    assert (found.model, found.serial, found.wwn, found.diskseq) == ("ST4000NM0035", "", "naa.5000c500a1b2c3d4", 7)


def test_a_removable_and_a_read_only_disk(read: Callable[[str], Disk]) -> None:
    assert (read("sdb").removable, read("vda").removable) == (True, False)


def test_padding_is_stripped(read: Callable[[str], Disk]) -> None:
    found = read("nvme0n1")
    assert (found.model, found.serial) == ("Samsung SSD 970", "S466NX0K")
    assert (found.wwn, found.rotational) == ("eui.0025385971b0a1c2", False)


def test_size_is_in_units_of_512_bytes_for_any_sector_size(read: Callable[[str], Disk]) -> None:
    found = read("vdb")
    assert (found.sector_size, found.size_bytes) == (4096, 10 * GIB)


def test_virtio_has_a_serial_and_no_model(read: Callable[[str], Disk]) -> None:
    found = read("vda")
    assert (found.model, found.serial, found.wwn) == ("", "virtio-1", "")


def test_the_model_of_an_mmc_card_is_its_name(read: Callable[[str], Disk]) -> None:
    assert read("mmcblk0").model == "DG4016"


def test_a_serial_from_the_vital_product_data(sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("sda")
    path = sysfs_tree.root / "sys/devices/sda/device/vpd_pg80"
    path.parent.mkdir()
    path.write_bytes(b"\x00\x80\x00\x08WD-12345")
    assert sysfs.read_disk("sda", root=sysfs_tree.root).serial == "WD-12345"


def test_kernels_without_diskseq(sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("sda", diskseq=None)
    assert sysfs.read_disk("sda", root=sysfs_tree.root).diskseq is None


def test_a_missing_disk_is_an_error(sysfs_tree: SysfsTree) -> None:
    with pytest.raises(FileNotFoundError):
        sysfs.read_disk("sda", root=sysfs_tree.root)


# Partitions.


@pytest.fixture
def partitioned(sysfs_tree: SysfsTree) -> SysfsTree:
    sysfs_tree.add("sda", partitions=[("sda2", 2, 4096, 8192), ("sda1", 1, 2048, 2048), ("sda10", 10, 20480, 8)])
    sysfs_tree.add("nvme0n1", number="259:0", partitions=[("nvme0n1p1", 1, 256, 8)], queue__logical_block_size=4096)
    return sysfs_tree


def test_partitions_are_sorted_by_number(partitioned: SysfsTree) -> None:
    found = sysfs.partitions(disk("sda"), root=partitioned.root)
    assert list(found) == [1, 2, 10]
    assert list(found.values()) == [
        Partition(1, "/dev/sda1", "", "", "", 2048 * 512, 2048 * 512),
        Partition(2, "/dev/sda2", "", "", "", 4096 * 512, 8192 * 512),
        Partition(10, "/dev/sda10", "", "", "", 20480 * 512, 4096),
    ]
    assert sysfs.partitions(disk("nvme0n1"), root=partitioned.root)[1].start_bytes == 256 * 512
    assert sysfs.partitions(disk("sdx"), root=partitioned.root) == {}


def test_the_device_number_of_a_node(partitioned: SysfsTree) -> None:
    assert sysfs.device_number("/dev/sda2", root=partitioned.root) == "8:2"
    with pytest.raises(FileNotFoundError):
        sysfs.device_number("/dev/sdx", root=partitioned.root)


def test_a_node_in_a_folder(sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("cciss!c0d0", number="104:0")
    found = sysfs.read_disk("cciss!c0d0", root=sysfs_tree.root)
    assert found.path == "/dev/cciss/c0d0"
    assert sysfs.device_number(found.path, root=sysfs_tree.root) == "104:0"


def test_holders_and_slaves(sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("sda", partitions=[("sda1", 1, 2048, 2048)], holders=["dm-1", "dm-0"])
    sysfs_tree.write("sys/devices/sda/sda1/holders/md0", "")
    sysfs_tree.add("dm-0", slaves=["sda"])
    assert sysfs.holders(disk("sda"), root=sysfs_tree.root) == {"/dev/sda": ("dm-0", "dm-1"), "/dev/sda1": ("md0",)}
    assert sysfs.slaves(disk("dm-0"), root=sysfs_tree.root) == ("sda",)
    assert sysfs.slaves(disk("sda"), root=sysfs_tree.root) == ()


@pytest.mark.parametrize(
    ("path", "node"), [("/dev/sda", "/dev/sda3"), ("/dev/nvme0n1", "/dev/nvme0n1p3"), ("/dev/loop7", "/dev/loop7p3")]
)
def test_the_node_of_a_partition(path: str, node: str) -> None:
    assert sysfs.partition_device(disk(path=path), 3) == node


# Write counts.

# As Linux 6 prints them: reads, writes, times, discards, flushes (Documentation/block/stat.rst).
STAT = "  101  2  303  4  505  6  707  8  0  10  11  1201  13  1403  15  16  17\n"


def writes(tree: SysfsTree, text: str | None) -> str | None:
    tree.add("sda", stat=text)
    return sysfs.writes(disk("sda"), root=tree.root)


def test_writes_are_sectors_written_and_discards_with_their_sectors(sysfs_tree: SysfsTree) -> None:
    assert writes(sysfs_tree, STAT) == "707 1201 1403"


@pytest.mark.parametrize(
    ("place", "counts"),
    [(place, place in (6, 11, 13)) for place in range(17)],
)
def test_only_writes_and_discards_change_the_counts(sysfs_tree: SysfsTree, place: int, counts: bool) -> None:
    """Reads, flushes and requests in progress do not: other programs may read a disk."""
    numbers = STAT.split()
    numbers[place] = "99999"
    assert (writes(sysfs_tree, " ".join(numbers)) != "707 1201 1403") is counts


def test_a_kernel_that_counts_no_discards(sysfs_tree: SysfsTree) -> None:
    """Before Linux 4.18, the file had eleven numbers."""
    assert writes(sysfs_tree, " ".join(STAT.split()[:11])) == "707"


def test_disabled_write_counts_are_none(sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("sda", stat=STAT, queue__iostats="0\n")
    assert sysfs.writes(disk("sda"), root=sysfs_tree.root) is None


def test_write_counts_that_are_all_zero_are_none(sysfs_tree: SysfsTree) -> None:
    """Older kernels count nothing on a multipath NVMe namespace: the disk was read, and even that was not counted."""
    assert writes(sysfs_tree, " ".join(["0"] * 17)) is None


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_missing_write_counts_are_none(sysfs_tree: SysfsTree, text: str | None) -> None:
    assert writes(sysfs_tree, text) is None


def test_write_counts_of_a_missing_disk_are_none(sysfs_tree: SysfsTree) -> None:
    assert sysfs.writes(disk("sdx"), root=sysfs_tree.root) is None


# Names.


def test_hidden_devices_are_not_listed(sysfs_tree: SysfsTree) -> None:
    """A path of a multipath NVMe namespace is hidden; the namespace itself is listed."""
    sysfs_tree.add("nvme0n1", number="259:0", partitions=[("nvme0n1p1", 1, 256, 8)])
    sysfs_tree.add("nvme0c0n1", number="0:0", hidden=1)
    assert sorted(sysfs.block_names(root=sysfs_tree.root)) == ["nvme0n1", "nvme0n1p1"]


def test_a_machine_without_sysfs(tmp_path: Path) -> None:
    assert sysfs.block_names(root=tmp_path) == []
    assert sysfs.devices(root=tmp_path) == []
    assert sysfs.links(root=tmp_path) == {}


def test_devices_of_size_0_are_not_listed(sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("sda", partitions=[("sda1", 1, 2048, 2048)])
    sysfs_tree.add("cciss!c0d0", number="104:0")
    sysfs_tree.add("loop0", number="7:0", gib=0)
    assert sorted(sysfs.devices(root=sysfs_tree.root)) == ["/dev/cciss/c0d0", "/dev/sda", "/dev/sda1"]


def test_an_attribute_is_stripped_and_empty_if_it_cannot_be_read(sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("sda", device__model="ST4000NM0035    ")
    assert sysfs.attribute("sda", "device/model", root=sysfs_tree.root) == "ST4000NM0035"
    assert sysfs.attribute("sda", "device/type", root=sysfs_tree.root) == ""
    assert sysfs.attribute("sda", "device", root=sysfs_tree.root) == ""  # a directory can be opened, but not read
    assert sysfs.attribute("sdx", "size", root=sysfs_tree.root) == ""


def test_the_disk_that_a_partition_is_on(partitioned: SysfsTree) -> None:
    assert sysfs.whole_disk("sda10", root=partitioned.root) == "sda"
    assert sysfs.whole_disk("nvme0n1p1", root=partitioned.root) == "nvme0n1"


def test_links_are_grouped_by_node(partitioned: SysfsTree) -> None:
    partitioned.link("by-path/pci-2", "sda")
    partitioned.link("by-id/ata-x", "sda")
    partitioned.link("by-id/ata-x-part1", "sda1")
    assert sysfs.links(root=partitioned.root) == {
        "/dev/sda": ("/dev/disk/by-id/ata-x", "/dev/disk/by-path/pci-2"),
        "/dev/sda1": ("/dev/disk/by-id/ata-x-part1",),
    }


def test_the_file_behind_a_loop_device(sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("loop0", number="7:0", loop__backing_file="/images/a")
    sysfs_tree.add("sda")
    assert sysfs.backing_file(disk("loop0"), root=sysfs_tree.root) == "/images/a"
    assert sysfs.backing_file(disk("sda"), root=sysfs_tree.root) == ""


# Order.


@pytest.mark.parametrize(
    "names",
    [
        ["sda", "sdb", "sdz", "sdaa", "sdab", "sdba"],
        ["nvme2n1", "nvme2n2", "nvme2n10", "nvme10n1"],
        ["loop0", "loop1", "loop9", "loop10"],
        ["cciss!c0d0", "cciss!c0d1", "cciss!c0d10", "cciss!c1d0"],
    ],
)
def test_names_in_natural_order(names: list[str]) -> None:
    assert sorted(sorted(names, reverse=True), key=sysfs.natural_key) == names


names = st.from_regex(r"[a-z]{1,6}([0-9]{1,4}([a-z][0-9]{1,3})?)?", fullmatch=True)


@given(st.lists(names, unique=True))
def test_any_names_can_be_sorted(found: list[str]) -> None:
    assert sorted(sorted(found, key=sysfs.natural_key)) == sorted(found)


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_numbers_in_names_are_compared_as_numbers(one: int, other: int) -> None:
    assert (sysfs.natural_key(f"nvme{one}n1") < sysfs.natural_key(f"nvme{other}n1")) == (one < other)


def test_a_loop_of_links_is_the_link_of_no_disk(tmp_path: Path) -> None:
    folder = tmp_path / "dev/disk/by-id"
    folder.mkdir(parents=True)
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "good").symlink_to("../../sda")
    (tmp_path / "dev/disk/by-loop").symlink_to("by-loop")
    assert sysfs.links(root=tmp_path)["/dev/sda"] == ("/dev/disk/by-id/good",)


@pytest.mark.parametrize(
    ("name", "real", "transport"),
    [
        ("sda", "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda", "sata"),
        ("sdb", "pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb", "usb"),
        ("sdc", "pci0000:00/0000:00:05.0/virtio2/host2/target2:0:0/2:0:0:1/block/sdc", "scsi"),
        ("sdd", "pci0000:3a/0000:3b:00.0/host1/port-1:0/end_device-1:0/target1:0:0/1:0:0:0/block/sdd", "scsi"),
        ("vda", "pci0000:00/0000:00:04.0/virtio1/block/vda", "virtio"),
        ("nvme0n1", "pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0/nvme0n1", "nvme"),
        ("nvme1n1", "virtual/nvme-subsystem/nvme-subsys1/nvme1n1", "nvme"),
        ("mmcblk0", "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0", "mmc"),
        ("loop0", "virtual/block/loop0", ""),
        ("usbdisk", "virtual/block/usbdisk", ""),
    ],
)
def test_tells_how_a_disk_is_attached(name: str, real: str, transport: str) -> None:
    assert sysfs._transport(name, f"/sys/devices/{real}") == transport
