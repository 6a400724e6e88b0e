import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import GIB, config, disk

from zosstorage.block import sysfs
from zosstorage.model import Firmware

# Every kind of block device as its driver shows it: name → attributes, and the reason it is rejected for by default.
DEVICES = {
    # virtio-blk says that it rotates, has its serial at the disk, no model and no wwid
    "vda": ({"number": "254:0", "queue__rotational": 1, "serial": "virtio-1"}, ""),
    "vdb": ({"number": "254:16", "queue__rotational": 1, "queue__logical_block_size": 4096}, ""),
    # nvme pads with spaces
    "nvme0n1": (
        {
            "number": "259:0",
            "wwid": "eui.0025385971b0a1c2",
            "device__model": "Samsung SSD 970                         ",
            "device__serial": "S466NX0K             ",
        },
        "",
    ),
    # a path of a multipath namespace is no disk of its own
    "nvme1c0n1": ({"number": "0:0", "hidden": 1}, None),
    # SATA and SAS by the SCSI layer
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
def machine(sysfs_tree):
    for name, (attributes, _) in DEVICES.items():
        sysfs_tree.add(name, **attributes)
    return sysfs_tree


def discover(tree, **sections):
    return sysfs.discover(config(**sections), root=tree.root)


@pytest.mark.parametrize("name", [name for name, (_, reason) in DEVICES.items() if reason])
def test_reasons(machine, name):
    reasons = {one.disk.name: one.reason for one in discover(machine).rejected}
    assert DEVICES[name][1] in reasons[name]


def test_eligible_disks_in_natural_order(machine):
    found = discover(machine)
    assert [one.name for one in found.disks] == ELIGIBLE
    assert len(found.disks) + len(found.rejected) == len(DEVICES) - 1  # the hidden one is not told at all


@pytest.mark.parametrize(
    "devices",
    [
        {},
        {"include": ["/dev/*"], "exclude": []},
        {"include": ["/dev/sd*"], "exclude": ["/dev/disk/by-id/late"]},
        {"include": ["/dev/disk/by-id/*"]},
        {"include": ["/dev/sd*"], "allow_removable": True, "min_size": "1GiB"},
    ],
    ids=str,
)
def test_the_same_disks_are_eligible_without_a_look_at_the_others(machine, devices, monkeypatch):
    machine.link("by-id/late", "sdb")
    looked_at = []
    real = sysfs.read_disk
    monkeypatch.setattr(sysfs, "read_disk", lambda name, **rest: looked_at.append(name) or real(name, **rest))
    whole = discover(machine, devices=devices)
    count = len(looked_at)
    looked_at.clear()
    assert sysfs.eligible(config(devices=devices), root=machine.root) == (whole.firmware, whole.disks)
    assert len(looked_at) < count or "/dev/*" in devices.get("include", ())


def test_facts_of_a_sata_disk(machine):
    found = {one.name: one for one in discover(machine).disks}["sda"]
    assert (found.path, found.number, found.size_bytes, found.sector_size) == ("/dev/sda", "8:0", 10 * GIB, 512)
    assert (found.rotational, found.removable, found.read_only) == (True, False, False)
    assert (found.model, found.serial, found.wwn, found.diskseq) == ("ST4000NM0035", "", "naa.5000c500a1b2c3d4", 7)


def test_padding_is_trimmed(machine):
    found = {one.name: one for one in discover(machine).disks}["nvme0n1"]
    assert (found.model, found.serial) == ("Samsung SSD 970", "S466NX0K")
    assert (found.wwn, found.rotational) == ("eui.0025385971b0a1c2", False)


def test_size_counts_512_byte_units_whatever_the_sector_is(machine):
    found = {one.name: one for one in discover(machine).disks}["vdb"]
    assert (found.sector_size, found.size_bytes) == (4096, 10 * GIB)


def test_virtio_has_a_serial_and_no_name(machine):
    found = {one.name: one for one in discover(machine).disks}["vda"]
    assert (found.model, found.serial, found.wwn) == ("", "virtio-1", "")


def test_the_name_of_an_mmc_card_is_its_model(machine):
    found = discover(machine, devices={"include": ["/dev/mmcblk*"]})
    assert [one.model for one in found.disks] == ["DG4016"]


def test_a_serial_from_the_vital_product_data(sysfs_tree):
    sysfs_tree.add("sda")
    path = sysfs_tree.root / "sys/devices/sda/device/vpd_pg80"
    path.parent.mkdir()
    path.write_bytes(b"\x00\x80\x00\x08WD-12345")
    assert sysfs.read_disk("sda", root=sysfs_tree.root).serial == "WD-12345"


def test_kernels_without_diskseq(sysfs_tree):
    sysfs_tree.add("sda", diskseq=None)
    assert sysfs.read_disk("sda", root=sysfs_tree.root).diskseq is None


def test_a_disk_that_is_gone(sysfs_tree):
    with pytest.raises(FileNotFoundError):
        sysfs.read_disk("sda", root=sysfs_tree.root)


def test_a_machine_without_block_devices(tmp_path):
    (tmp_path / "sys/class/block").mkdir(parents=True)
    found = sysfs.discover(config(), root=tmp_path)
    assert (found.disks, found.rejected, found.firmware) == ((), (), Firmware.BIOS)


def test_a_disk_pulled_while_we_look_is_not_there(machine, monkeypatch):
    names = [*DEVICES, "sdz"]
    monkeypatch.setattr(sysfs, "_block_names", lambda *_: [name for name in names if name != "nvme1c0n1"])
    assert [one.name for one in discover(machine).disks] == ELIGIBLE


# Globs.


def test_removable_disks_when_they_are_allowed(machine):
    assert "sdc" in [one.name for one in discover(machine, devices={"allow_removable": True}).disks]


def test_exclude_wins(machine):
    found = discover(machine, devices={"exclude": ["/dev/vd*", "/dev/nvme*"]})
    assert [one.name for one in found.disks] == ["sda", "sdb"]
    reasons = {one.disk.name: one.reason for one in found.rejected}
    assert reasons["vda"] == "devices.exclude names it"


def test_links_name_disks(machine):
    machine.link("by-id/ata-disk-of-mine", "sdb")
    machine.link("by-path/pci-0000:00:1f.2-ata-2", "sdb")
    found = discover(machine, devices={"include": ["/dev/disk/by-id/ata-*"]})
    assert [one.name for one in found.disks] == ["sdb"]
    assert found.disks[0].links == ("/dev/disk/by-id/ata-disk-of-mine", "/dev/disk/by-path/pci-0000:00:1f.2-ata-2")


def test_a_link_excludes_as_well(machine):
    machine.link("by-id/ata-system", "sda")
    assert "sda" not in [
        one.name for one in discover(machine, devices={"exclude": ["/dev/disk/by-id/ata-system"]}).disks
    ]


def test_loop_devices_when_they_are_asked_for(machine):
    found = discover(machine, devices={"include": ["/dev/loop*"], "exclude": []})
    assert [one.name for one in found.disks] == ["loop0"]


def test_min_size(machine):
    found = discover(machine, devices={"min_size": "3GiB"})
    assert "sde" in [one.name for one in found.disks]


# Partitions.


@pytest.fixture
def partitioned(sysfs_tree):
    sysfs_tree.add("sda", partitions=[("sda2", 2, 4096, 8192), ("sda1", 1, 2048, 2048), ("sda10", 10, 20480, 8)])
    sysfs_tree.add("nvme0n1", number="259:0", partitions=[("nvme0n1p1", 1, 256, 8)], queue__logical_block_size=4096)
    return sysfs_tree


def test_partitions_are_no_disks(partitioned):
    found = discover(partitioned)
    assert [one.name for one in found.disks] == ["sda", "nvme0n1"]
    assert found.rejected == ()


def test_a_partition_named_without_its_disk_is_told(partitioned):
    found = discover(partitioned, devices={"include": ["/dev/sda1"]})
    reasons = {one.disk.name: one.reason for one in found.rejected}
    assert reasons["sda1"] == "a partition, not a whole disk"


def test_kernel_partitions(partitioned):
    found = sysfs.partitions(disk("sda"), root=partitioned.root)
    assert [(part.device, part.number, part.start_bytes, part.size_bytes) for part in found] == [
        ("/dev/sda1", 1, 2048 * 512, 2048 * 512),
        ("/dev/sda2", 2, 4096 * 512, 8192 * 512),
        ("/dev/sda10", 10, 20480 * 512, 4096),
    ]
    assert sysfs.partitions(disk("nvme0n1"), root=partitioned.root)[0].start_bytes == 256 * 512
    assert sysfs.partitions(disk("sdx"), root=partitioned.root) == ()


def test_device_number(partitioned):
    assert sysfs.device_number("/dev/sda2", root=partitioned.root) == "8:2"
    with pytest.raises(FileNotFoundError):
        sysfs.device_number("/dev/sdx", root=partitioned.root)


def test_a_node_in_a_folder(sysfs_tree):
    sysfs_tree.add("cciss!c0d0", number="104:0")
    found = sysfs.read_disk("cciss!c0d0", root=sysfs_tree.root)
    assert found.path == "/dev/cciss/c0d0"
    assert sysfs.device_number(found.path, root=sysfs_tree.root) == "104:0"


def test_holders_and_slaves(sysfs_tree):
    sysfs_tree.add("sda", partitions=[("sda1", 1, 2048, 2048)], holders=["dm-1", "dm-0"])
    sysfs_tree.write("sys/devices/sda/sda1/holders/md0", "")
    sysfs_tree.add("dm-0", slaves=["sda"])
    assert sysfs.holders(disk("sda"), root=sysfs_tree.root) == {"/dev/sda": ("dm-0", "dm-1"), "/dev/sda1": ("md0",)}
    assert sysfs.slaves(disk("dm-0"), root=sysfs_tree.root) == ("sda",)
    assert sysfs.slaves(disk("sda"), root=sysfs_tree.root) == ()


@pytest.mark.parametrize(
    ("path", "node"), [("/dev/sda", "/dev/sda3"), ("/dev/nvme0n1", "/dev/nvme0n1p3"), ("/dev/loop7", "/dev/loop7p3")]
)
def test_partition_device(path, node):
    assert sysfs.partition_device(disk(path=path), 3) == node


# Firmware.


def test_firmware(sysfs_tree):
    assert discover(sysfs_tree).firmware is Firmware.BIOS
    (sysfs_tree.root / "sys/firmware/efi").mkdir(parents=True)
    assert discover(sysfs_tree).firmware is Firmware.UEFI
    assert discover(sysfs_tree, partitions={"firmware": "bios"}).firmware is Firmware.BIOS


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
def test_natural_order(names):
    assert sorted(sorted(names, reverse=True), key=sysfs.natural_key) == names


names = st.from_regex(r"[a-z]{1,6}([0-9]{1,4}([a-z][0-9]{1,3})?)?", fullmatch=True)


@given(st.lists(names, unique=True))
def test_any_names_can_be_put_in_order(found):
    assert sorted(sorted(found, key=sysfs.natural_key)) == sorted(found)


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_numbers_count_as_numbers(one, other):
    assert (sysfs.natural_key(f"nvme{one}n1") < sysfs.natural_key(f"nvme{other}n1")) == (one < other)
