import subprocess

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from support import MIB, disk, facts, fat_sector, sparse

from zosstorage.filesystems import vfat
from zosstorage.model import Role
from zosstorage.planned import PlannedFilesystem

ESP = PlannedFilesystem("vfat", "ZOSBOOT", "1A2B-3C4D", ("p",), make=True)


def reader(path):
    data = path.read_bytes()
    return lambda offset, length: data[offset : offset + length]


def argv(filesystem, node="/dev/sda1", *, force=False):
    return vfat.mkfs_argv(filesystem, [(node, Role.DATA)], force=force)


@pytest.mark.parametrize("force", [False, True])
def test_the_mkfs_command_is_never_forced(force):
    assert argv(ESP, force=force) == ["mkfs.fat", "-F", "32", "-n", "ZOSBOOT", "-i", "1A2B3C4D", "/dev/sda1"]


def test_configured_options_of_mkfs_stand_before_the_device():
    plan = facts(disks=(disk("sda"), disk("sdb")), filesystems={"vfat": {"mkfs_options": ["-a", "-f", "1"]}}).plan
    found = argv(evolve(plan.filesystems[0], uuid=ESP.uuid))
    assert found[-5:] == ["1A2B3C4D", "-a", "-f", "1", "/dev/sda1"]


def test_an_esp_has_one_device():
    with pytest.raises(ValueError, match="unpack"):
        vfat.mkfs_argv(ESP, [("/dev/sda1", Role.DATA), ("/dev/sdb1", Role.DATA)], force=False)


@pytest.mark.parametrize(("sector", "size"), [(512, 64 * MIB), (512, 512 * MIB), (4096, 300 * MIB), (4096, 512 * MIB)])
def test_the_superblock_that_mkfs_made(tmp_path, sector, size):
    path = sparse(tmp_path / "image", size)
    program, *words = argv(ESP, str(path))
    subprocess.run(
        [program, "-S", str(sector), *words], check=True, capture_output=True
    )  # of a disk it asks the kernel
    found = vfat.read(reader(path))
    assert (found.type, found.label, found.uuid, found.devices) == ("vfat", "ZOSBOOT", "1A2B-3C4D", 1)


def test_another_label_is_read_as_it_stands(tmp_path):
    path = sparse(tmp_path / "image", 64 * MIB)
    subprocess.run(["mkfs.fat", "-F", "32", "-n", "EFI", str(path)], check=True, capture_output=True)
    assert vfat.read(reader(path)).label == "EFI"


@pytest.mark.parametrize(("kind", "size"), [("12", 4 * MIB), ("16", 64 * MIB)])
def test_fat_that_is_not_fat32_is_none_of_ours(tmp_path, kind, size):
    path = sparse(tmp_path / "image", size)
    subprocess.run(["mkfs.fat", "-F", kind, "-n", "ZOSBOOT", str(path)], check=True, capture_output=True)
    assert vfat.read(reader(path)) is None


def test_the_serial_is_written_as_blkid_writes_it():
    assert vfat.read(lambda *_: fat_sector(0x0000000A)).uuid == "0000-000A"


@given(st.binary(min_size=512, max_size=512))
def test_random_bytes_are_no_fat32(data):
    assert vfat.read(lambda *_: data) is None


@given(st.binary(min_size=512, max_size=512))
def test_any_label_and_serial_can_be_read(data):
    sector = data[:82] + b"FAT32   " + data[90:510] + b"\x55\xaa"
    assert vfat.read(lambda *_: sector).type == "vfat"


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize(("change", "warned"), [(0, False), (-MIB, True)])
def test_the_smallest_fat32_is_one_without_a_warning(tmp_path, sector, change, warned):
    """mkfs.fat makes a smaller one too, with too few clusters: readers may take it for a FAT16."""
    path = sparse(tmp_path / "image", vfat.smallest(sector) + change)
    program, *words = argv(ESP, str(path))
    done = subprocess.run([program, "-S", str(sector), *words], check=True, capture_output=True, text=True)
    assert ("less then suggested minimum" in done.stdout + done.stderr) is warned
    assert vfat.read(reader(path)).label == "ZOSBOOT"
