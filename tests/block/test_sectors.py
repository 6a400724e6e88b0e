"""Tables on loop devices with sectors of 512 and of 4096 bytes; an image file has no sector size."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import loopdevices
import pytest
from attrs import evolve
from support import ESP_SIZE, GIB, MIB, disk, ends, examine, poke, put_filesystems, sparse, write_table

from zosstorage.block import gpt, layout
from zosstorage.model import Disk, Firmware, Kind, PartitionKind
from zosstorage.observed import OwnTable

pytestmark = pytest.mark.loop
SIZE = 1 * GIB


@pytest.fixture(params=[512, 4096])
def loop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or not shutil.which("losetup"):
        pytest.skip("needs root and losetup")
    image = sparse(tmp_path / "image", SIZE)
    device = loopdevices.attach(image, "--sector-size", str(request.param))
    yield evolve(disk(Path(device.path).name), size_bytes=SIZE, sector_size=request.param)
    device.release()


def read_table(of: Disk) -> tuple[gpt.Tables, OwnTable | layout.Unrecognised]:
    head, tail = ends(of)
    tables = gpt.read(head, tail, of.size_bytes, of.sector_size)
    return tables, layout.recognise(of, head, tables, ESP_SIZE)


@pytest.mark.parametrize("firmware", list(Firmware))
def test_what_sfdisk_wrote_is_recognised(loop: Disk, firmware: Firmware) -> None:
    write_table(loop, firmware=firmware)
    tables, found = read_table(loop)
    assert tables.primary.valid
    assert tables.backup.valid
    assert tables.protective
    assert isinstance(found, OwnTable)
    assert (found.torn, len(found.partitions)) == (False, 3 if firmware is Firmware.BIOS else 2)
    assert (found.partitions[0].kind is PartitionKind.BIOS_BOOT) is (firmware is Firmware.BIOS)
    assert all(entry.start_bytes % MIB == entry.size_bytes % MIB == 0 for entry in found.partitions)


@pytest.mark.parametrize("firmware", list(Firmware))
def test_a_table_with_cleared_flags_equals_one_that_sfdisk_writes_without_flags(loop: Disk, firmware: Firmware) -> None:
    """Both copies are equal byte by byte."""
    write_table(loop, firmware=firmware, marked=False)
    unmarked = ends(loop)
    write_table(loop, firmware=firmware)
    tables, _ = read_table(loop)
    assert ends(loop) != unmarked
    for offset, data in gpt.clearing_writes(tables, loop.size_bytes, loop.sector_size):
        poke(loop.path, offset, data)
    assert ends(loop) == unmarked


def test_any_changed_byte_of_a_header_makes_the_copy_invalid(loop: Disk) -> None:
    write_table(loop)
    head, tail = ends(loop)
    sector = loop.sector_size
    for at in range(0, sector, 7):
        broken = bytearray(head)
        broken[sector + at] ^= 1
        assert not gpt.read(bytes(broken), tail, SIZE, sector).primary.valid
        broken = bytearray(tail)
        broken[MIB - sector + at] ^= 1
        assert not gpt.read(head, bytes(broken), SIZE, sector).backup.valid


def test_a_table_interrupted_before_its_mbr_is_torn(loop: Disk) -> None:
    write_table(loop)
    poke(loop.path, 0, bytes(512))
    _, found = read_table(loop)
    assert isinstance(found, OwnTable)
    assert (found.torn, len(found.partitions)) == (True, 2)


def test_verdicts_with_the_real_probers(loop: Disk) -> None:
    assert [verdict.kind for verdict in examine(loop)] == [Kind.BLANK]
    write_table(loop)
    (verdict,) = examine(loop)
    assert (verdict.kind, [part.marked for part in verdict.partitions]) == (Kind.OURS, [True, True])
    write_table(loop, marked=False)
    put_filesystems(loop)
    (verdict,) = examine(loop)
    assert (verdict.kind, [part.marked for part in verdict.partitions]) == (Kind.OURS, [False, False])
    assert not verdict.torn


@pytest.mark.parametrize("at", [446, MIB, SIZE - 1])
def test_a_byte_on_a_blank_disk_is_found(loop: Disk, at: int) -> None:
    poke(loop.path, at, b"\1")
    (verdict,) = examine(loop)
    assert [(found.check, found.offset) for found in verdict.evidence] == [("bytes", at)]


@pytest.mark.parametrize("loop", [4096], indirect=True)
def test_a_byte_after_the_mbr_in_the_first_sector_of_an_unfinished_disk_is_foreign(loop: Disk) -> None:
    """An MBR has 512 bytes; a sector may have more."""
    write_table(loop)
    poke(loop.path, 600, b"\1")
    (verdict,) = examine(loop)
    assert (verdict.kind, verdict.evidence[0].offset) == (Kind.FOREIGN, 600)


def test_a_filesystem_is_seen_by_every_check(loop: Disk) -> None:
    subprocess.run(["mkfs.fat", "-F", "32", "-n", "ZOSBOOT", loop.path], check=True, capture_output=True)
    (verdict,) = examine(loop)
    assert verdict.kind is Kind.FOREIGN
    assert {"wipefs", "blkid", "bytes"} <= {found.check for found in verdict.evidence}
    assert any("vfat labelled ZOSBOOT" in found.found for found in verdict.evidence)
