"""vfat: superblock and commands; test_vfat_use.py has the content."""

import os
import subprocess
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from support import MIB, disk, facts, fat_sector, sparse

from zosstorage.filesystems import vfat
from zosstorage.model import Content, Role
from zosstorage.planned import PlannedFilesystem

ESP = PlannedFilesystem("vfat", "ZOSBOOT", "1A2B-3C4D", ("p",), make=True)


def read(path: Path) -> Content | None:
    """The superblock in an image file, read as FAT32."""
    with path.open("rb") as file:
        return vfat.read(lambda offset, length: os.pread(file.fileno(), length, offset))


def argv(filesystem: PlannedFilesystem, node: str = "/dev/sda1", *, force: bool = False) -> list[str]:
    return vfat.mkfs_argv(filesystem, [(node, Role.DATA)], force=force)


@pytest.mark.parametrize("force", [False, True])
def test_the_mkfs_command_is_never_forced(force: bool) -> None:
    assert argv(ESP, force=force) == ["mkfs.fat", "-F", "32", "-n", "ZOSBOOT", "-i", "1A2B3C4D", "/dev/sda1"]


def test_the_mkfs_command_has_configured_options_before_the_device() -> None:
    plan = facts(disks=(disk("sda"), disk("sdb")), filesystems={"vfat": {"mkfs_options": ["-a", "-f", "1"]}}).plan
    found = argv(evolve(plan.filesystems[0], uuid=ESP.uuid))
    assert found[-5:] == ["1A2B3C4D", "-a", "-f", "1", "/dev/sda1"]


def test_an_esp_has_one_device() -> None:
    with pytest.raises(ValueError, match="unpack"):
        vfat.mkfs_argv(ESP, [("/dev/sda1", Role.DATA), ("/dev/sdb1", Role.DATA)], force=False)


@pytest.mark.parametrize(("sector", "size"), [(512, 64 * MIB), (512, 512 * MIB), (4096, 300 * MIB), (4096, 512 * MIB)])
def test_reads_the_superblock_that_mkfs_makes(tmp_path: Path, sector: int, size: int) -> None:
    path = sparse(tmp_path / "image", size)
    program, *more = argv(ESP, str(path))
    subprocess.run([program, "-S", str(sector), *more], check=True, capture_output=True)
    found = read(path)
    assert found
    assert (found.type, found.label, found.uuid, found.devices) == ("vfat", "ZOSBOOT", "1A2B-3C4D", 1)


def test_reads_any_label(tmp_path: Path) -> None:
    path = sparse(tmp_path / "image", 64 * MIB)
    subprocess.run(["mkfs.fat", "-F", "32", "-n", "EFI", str(path)], check=True, capture_output=True)
    found = read(path)
    assert found
    assert found.label == "EFI"


@pytest.mark.parametrize(("kind", "size"), [("12", 4 * MIB), ("16", 64 * MIB)])
def test_fat12_and_fat16_are_not_read(tmp_path: Path, kind: str, size: int) -> None:
    path = sparse(tmp_path / "image", size)
    subprocess.run(["mkfs.fat", "-F", kind, "-n", "ZOSBOOT", str(path)], check=True, capture_output=True)
    assert read(path) is None


def test_the_volume_id_has_the_form_of_blkid() -> None:
    found = vfat.read(lambda *_: fat_sector(0x0000000A))
    assert found
    assert found.uuid == "0000-000A"


@given(st.binary(min_size=512, max_size=512))
def test_random_bytes_are_not_a_fat32(data: bytes) -> None:
    assert vfat.read(lambda *_: data) is None


@given(st.binary(min_size=512, max_size=512))
def test_any_boot_sector_with_the_signatures_is_read(data: bytes) -> None:
    sector = data[:82] + b"FAT32   " + data[90:510] + b"\x55\xaa"
    found = vfat.read(lambda *_: sector)
    assert found
    assert found.type == "vfat"


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize(("change", "warned"), [(0, False), (-MIB, True)])
def test_mkfs_warns_of_a_fat32_below_the_smallest_size(tmp_path: Path, sector: int, change: int, warned: bool) -> None:
    """It has too few clusters: a reader that goes by their number reads it as a FAT16."""
    path = sparse(tmp_path / "image", vfat.smallest(sector) + change)
    program, *more = argv(ESP, str(path))
    done = subprocess.run([program, "-S", str(sector), *more], check=True, capture_output=True, text=True)
    assert ("less then suggested minimum" in done.stdout + done.stderr) is warned
    found = read(path)
    assert found
    assert found.label == "ZOSBOOT"
