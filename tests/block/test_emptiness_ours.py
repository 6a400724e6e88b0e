"""What makes a disk with a table of ours finished, unfinished or foreign."""

import os
import shlex
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from fakes import FakeTools
from support import (
    ESP_SIZE,
    GIB,
    GUID,
    MIB,
    btrfs_block,
    examine,
    fat_sector,
    new_partitions,
    poke,
    put_filesystems,
    sfdisk,
    write_table,
)

from zosstorage.block import emptiness, gpt, in_use, sysfs
from zosstorage.facts import Partition
from zosstorage.model import Depth, Disk, Evidence, Firmware, Kind, PartitionKind, Verdict
from zosstorage.observed import OwnTable

SIZE = 1 * GIB
DATA = MIB + ESP_SIZE  # start of the data partition in a layout without bios_boot


def verdict_on(of: Disk) -> Verdict:
    (verdict,) = examine(of)
    return verdict


def table_of(of: Disk) -> OwnTable:
    (found,) = emptiness.observe([of], Depth.SAMPLED, ESP_SIZE)
    assert found.table is not None
    return found.table


def evidence(verdict: Verdict, check: str) -> Evidence:
    assert verdict.kind is Kind.FOREIGN
    return next(found for found in verdict.evidence if found.check == check)


# Finished.


@pytest.fixture
def finished(probers: FakeTools, image: Disk) -> Disk:
    write_table(image, marked=False)
    put_filesystems(image)
    return image


@pytest.mark.parametrize("firmware", list(Firmware))
def test_a_finished_disk_is_ours(probers: FakeTools, image: Disk, firmware: Firmware) -> None:
    write_table(image, marked=False, firmware=firmware)
    put_filesystems(image, firmware=firmware)
    verdict = verdict_on(image)
    assert (verdict.kind, verdict.torn, verdict.guid, table_of(image).finished) == (Kind.OURS, False, GUID, True)
    assert [found.found for found in verdict.evidence] == ["our own layout, finished"]
    esp, data = verdict.partitions[-2:]
    assert esp.content is not None
    assert data.content is not None
    assert (esp.content.type, esp.content.label, esp.content.uuid) == ("vfat", "ZOSBOOT", "1A2B-3C4D")
    assert (data.content.type, data.content.label) == ("btrfs", "ZOSDATA")
    assert (verdict.partitions[0].kind is PartitionKind.BIOS_BOOT) is (firmware is Firmware.BIOS)


def test_a_finished_disk_may_be_in_use_and_carry_a_boot_loader(finished: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysfs, "holders", lambda _: {"/dev/image": ("dm-0",)})
    poke(finished.path, 0, b"\xeb\x63\x90")
    poke(finished.path, 40 * 1024, b"grub core")
    assert verdict_on(finished).kind is Kind.OURS
    assert table_of(finished).finished


def test_a_finished_disk_may_be_read_only(finished: Disk) -> None:
    assert verdict_on(evolve(finished, read_only=True)).kind is Kind.OURS


def test_a_finished_disk_is_not_probed(finished: Disk, probers: FakeTools) -> None:
    examine(finished)
    assert probers.calls == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"esp": bytes(512)},
            "partition 1 has no in-progress flag, but carries none of our filesystems where ZOSBOOT belongs",
        ),
        ({"esp": fat_sector(label=b"EFI")}, "vfat labelled 'EFI' where ZOSBOOT belongs"),
        ({"data": bytes(4096)}, "partition 2 has no in-progress flag, but carries none of our filesystems"),
        ({"data": btrfs_block(label=b"root")}, "btrfs labelled 'root' where ZOSDATA belongs"),
    ],
    ids=["no esp", "other esp", "no data", "other data"],
)
def test_a_finished_table_without_its_filesystems_is_foreign(
    finished: Disk, content: dict[str, Any], expected: str
) -> None:
    put_filesystems(finished, **content)
    found = evidence(verdict_on(finished), "own layout")
    assert expected in found.found
    assert found.offset == (MIB if "esp" in content else DATA)
    assert "not repaired" in found.hint


def test_a_filesystem_in_the_wrong_partition_is_foreign(finished: Disk) -> None:
    poke(finished.path, MIB, bytes(512))
    poke(finished.path, MIB + 65536, btrfs_block())
    assert "btrfs labelled 'ZOSDATA' where ZOSBOOT belongs" in evidence(verdict_on(finished), "own layout").found


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ((), Kind.OURS),
        (((1, MIB, ESP_SIZE), (2, DATA, SIZE - DATA - MIB)), Kind.OURS),
        (((1, MIB, ESP_SIZE),), Kind.OURS),
        (((1, MIB, ESP_SIZE + MIB),), Kind.FOREIGN),
        (((3, MIB, ESP_SIZE),), Kind.FOREIGN),
    ],
    ids=["none", "ours", "some of ours", "another size", "another number"],
)
def test_partitions_known_to_the_kernel_alone_are_foreign(
    finished: Disk, monkeypatch: pytest.MonkeyPatch, parts: tuple[tuple[int, int, int], ...], kind: Kind
) -> None:
    found = {
        number: Partition(number, f"/dev/imagep{number}", "", "", "", start, size) for number, start, size in parts
    }
    monkeypatch.setattr(sysfs, "partitions", lambda _: found)
    monkeypatch.setattr(in_use, "_numbers", lambda _: {})
    assert verdict_on(finished).kind is kind


def fail_reads_between(monkeypatch: pytest.MonkeyPatch, start: int, end: int) -> None:
    """Make reads fail that begin in a range of bytes."""
    real = os.preadv

    def preadv(handle: int, rooms: Sequence[bytearray | memoryview], offset: int, *flags: int) -> int:
        if start <= offset < end:
            raise OSError(5, "Input/output error")
        return real(handle, rooms, offset, *flags)

    monkeypatch.setattr(os, "preadv", preadv)


def test_an_io_error_in_a_superblock_is_the_only_evidence(finished: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be read is not reported as missing, and no hint says to erase the disk."""
    fail_reads_between(monkeypatch, DATA, SIZE - MIB)
    verdict = verdict_on(finished)
    assert verdict.kind is Kind.FOREIGN
    assert [(found.check, found.offset) for found in verdict.evidence] == [("read", DATA + 65536)]


# Unfinished.


@pytest.fixture
def unfinished(probers: FakeTools, image: Disk) -> Disk:
    write_table(image)
    return image


def test_an_unfinished_disk_is_ours(unfinished: Disk, probers: FakeTools) -> None:
    verdict = verdict_on(unfinished)
    assert (verdict.kind, verdict.torn) == (Kind.OURS, False)
    assert [found.found for found in verdict.evidence] == ["our own layout, unfinished (partitions 1, 2)"]
    assert all(part.marked and part.content is None for part in verdict.partitions)
    windows = sorted(call[call.index("-O") + 1] for call in probers.of("blkid"))
    assert windows == [str(MIB), str(DATA)]
    assert not table_of(unfinished).finished


def test_a_table_interrupted_before_its_last_write_is_torn(unfinished: Disk) -> None:
    poke(unfinished.path, 0, bytes(512))
    verdict = verdict_on(unfinished)
    assert (verdict.kind, verdict.torn) == (Kind.OURS, True)
    assert "its table only partly written" in verdict.evidence[0].found


def test_a_table_interrupted_after_its_first_write_is_torn(unfinished: Disk) -> None:
    poke(unfinished.path, 0, bytes(MIB))
    poke(unfinished.path, SIZE - 512, bytes(512))
    verdict = verdict_on(unfinished)
    assert (verdict.kind, verdict.torn, verdict.guid) == (Kind.OURS, True, "")


@pytest.mark.parametrize(
    ("at", "offset"),
    [
        (440, 0),
        (0, 0),
        (1024 + gpt.ENTRIES_BYTES, 1024 + gpt.ENTRIES_BYTES),
        (MIB - 1, MIB - 1),
        (SIZE - MIB, SIZE - MIB),
    ],
)
def test_a_byte_outside_of_the_partitions_of_an_unfinished_disk_is_foreign(
    unfinished: Disk, at: int, offset: int
) -> None:
    poke(unfinished.path, at, b"\x01")
    verdict = verdict_on(unfinished)
    assert verdict.kind is Kind.FOREIGN
    assert verdict.evidence[0].offset == offset


def test_an_unfinished_disk_in_use_is_foreign(unfinished: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysfs, "slaves", lambda _: ("sdz",))
    assert verdict_on(unfinished).kind is Kind.FOREIGN


def test_a_read_only_unfinished_disk_is_foreign(unfinished: Disk) -> None:
    assert verdict_on(evolve(unfinished, read_only=True)).kind is Kind.FOREIGN


def test_an_unfinished_disk_with_an_io_error_is_not_probed(
    unfinished: Disk, probers: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prober that fails on this disk would end the whole run, without a verdict on any disk."""
    fail_reads_between(monkeypatch, MIB, SIZE - MIB)
    probers("blkid", status=1)
    assert [found.check for found in verdict_on(unfinished).evidence] == ["read"]
    assert probers.of("blkid") == []


def fake_blkid(probers: FakeTools, at: int, text: str, status: int = 0) -> None:
    """Make blkid print a text for the partition that starts at byte `at`, and nothing for others."""
    body = f'case "$*" in *"-O {at} "*) printf %s {shlex.quote(text)}; exit {status};; esac'
    probers("blkid", body=body, status=2)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (MIB, "TYPE=vfat\nLABEL=ZOSBOOT\n"),
        (MIB, "TYPE=vfat\nLABEL_FATBOOT=ZOSBOOT\n"),
        (DATA, "TYPE=btrfs\nLABEL=ZOSDATA\nUUID=x\n"),
        (DATA, "TYPE=bcachefs\nLABEL=ZOSDATA\n"),
    ],
)
def test_a_marked_partition_may_carry_what_we_make_there(
    unfinished: Disk, probers: FakeTools, at: int, text: str
) -> None:
    fake_blkid(probers, at, text)
    assert verdict_on(unfinished).kind is Kind.OURS


@pytest.mark.parametrize(
    ("at", "text", "status", "expected"),
    [
        (MIB, "TYPE=ext4\nLABEL=ZOSBOOT\n", 0, "TYPE=ext4, LABEL=ZOSBOOT"),
        (MIB, "TYPE=vfat\nLABEL=EFI\n", 0, "TYPE=vfat, LABEL=EFI"),
        (MIB, "TYPE=btrfs\nLABEL=ZOSDATA\n", 0, "TYPE=btrfs"),
        (DATA, "TYPE=btrfs\nLABEL=home\n", 0, "LABEL=home"),
        (DATA, "TYPE=vfat\nLABEL=ZOSBOOT\n", 0, "TYPE=vfat"),
        (DATA, "TYPE=btrfs\nLABEL=ZOSDATA\nPTTYPE=dos\n", 0, "PTTYPE=dos"),
        (DATA, "PTTYPE=gpt\n", 0, "PTTYPE=gpt"),
        (DATA, "", 8, "several contradicting signatures"),
    ],
)
def test_a_marked_partition_that_carries_something_else_is_foreign(
    unfinished: Disk, probers: FakeTools, at: int, text: str, status: int, expected: str
) -> None:
    fake_blkid(probers, at, text, status)
    found = evidence(verdict_on(unfinished), "marked partition")
    assert found.offset == at
    assert expected in found.found
    assert "has the in-progress flag" in found.found


def test_a_bios_boot_partition_is_not_probed(probers: FakeTools, image: Disk) -> None:
    write_table(image, firmware=Firmware.BIOS)
    examine(image)
    assert str(MIB) not in [call[call.index("-O") + 1] for call in probers.of("blkid")]
    assert len(probers.of("blkid")) == 2


def test_a_bios_boot_partition_has_no_content(probers: FakeTools, image: Disk) -> None:
    """It belongs to the boot loader, whatever it carries."""
    write_table(image, firmware=Firmware.BIOS)
    poke(image.path, MIB, fat_sector())
    assert [part.content for part in table_of(image).partitions] == [None] * 3
    write_table(image, firmware=Firmware.BIOS, marked=False)
    put_filesystems(image, firmware=Firmware.BIOS)
    assert verdict_on(image).kind is Kind.OURS


def test_one_marked_partition_makes_a_disk_unfinished(probers: FakeTools, image: Disk) -> None:
    esp, data = new_partitions(image, marked=False)
    sfdisk(image, gpt.script(GUID, [esp, evolve(data, make=True)], 512))
    put_filesystems(image, data=bytes(4096))
    verdict = verdict_on(image)
    assert verdict.kind is Kind.OURS
    assert [part.marked for part in verdict.partitions] == [False, True]
    assert "unfinished (partitions 2)" in verdict.evidence[0].found
