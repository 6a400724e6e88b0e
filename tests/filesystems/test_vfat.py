import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import MIB, config, fat_sector, sparse

from zosstorage.filesystems import vfat
from zosstorage.model import PlannedFilesystem

ESP = PlannedFilesystem("vfat", "ZOSBOOT", "1A2B-3C4D", ("p",), primary=False, make=True)


def reader(path):
    data = path.read_bytes()
    return lambda offset, length: data[offset : offset + length]


def test_argv():
    assert vfat.mkfs_argv(ESP, "/dev/sda1", config()) == [
        *("mkfs.fat", "-F", "32", "-n", "ZOSBOOT", "-i", "1A2B3C4D"),
        "/dev/sda1",
    ]


def test_further_words_stand_before_the_device():
    argv = vfat.mkfs_argv(ESP, "/dev/sda1", config(filesystems={"vfat": {"mkfs_options": ["-a", "-f", "1"]}}))
    assert argv[-5:] == ["1A2B3C4D", "-a", "-f", "1", "/dev/sda1"]


@pytest.mark.parametrize(("sector", "size"), [(512, 64 * MIB), (512, 512 * MIB), (4096, 300 * MIB), (4096, 512 * MIB)])
def test_reads_what_mkfs_made(tmp_path, sector, size):
    path = sparse(tmp_path / "image", size)
    program, *argv = vfat.mkfs_argv(ESP, str(path), config())
    subprocess.run([program, "-S", str(sector), *argv], check=True, capture_output=True)  # of a disk it asks the kernel
    found = vfat.read(reader(path))
    assert (found.type, found.label, found.uuid, found.devices) == ("vfat", "ZOSBOOT", "1A2B-3C4D", 1)


def test_reads_another_label_as_it_stands(tmp_path):
    path = sparse(tmp_path / "image", 64 * MIB)
    subprocess.run(["mkfs.fat", "-F", "32", "-n", "EFI", str(path)], check=True, capture_output=True)
    assert vfat.read(reader(path)).label == "EFI"


@pytest.mark.parametrize(("kind", "size"), [("12", 4 * MIB), ("16", 64 * MIB)])
def test_fat_that_is_not_fat32_is_none_of_ours(tmp_path, kind, size):
    path = sparse(tmp_path / "image", size)
    subprocess.run(["mkfs.fat", "-F", kind, "-n", "ZOSBOOT", str(path)], check=True, capture_output=True)
    assert vfat.read(reader(path)) is None


def test_the_serial_is_told_as_blkid_tells_it():
    assert vfat.read(lambda *_: fat_sector(0x0000000A)).uuid == "0000-000A"


@given(st.binary(min_size=512, max_size=512))
def test_noise_is_nothing(data):
    assert vfat.read(lambda *_: data) is None


@given(st.binary(min_size=512, max_size=512))
def test_any_label_and_serial_can_be_read(data):
    sector = data[:82] + b"FAT32   " + data[90:510] + b"\x55\xaa"
    assert vfat.read(lambda *_: sector).type == "vfat"
