import struct
from binascii import crc32
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from support import (
    ESP_SIZE,
    GIB,
    GUID,
    MIB,
    disk,
    ends,
    image_disk,
    new_partitions,
    poke,
    sfdisk,
    sparse,
    write_table,
)

from zosstorage.block import gpt, layout
from zosstorage.model import Disk, Firmware, PartitionKind
from zosstorage.observed import OwnTable

SIZE = 1 * GIB
Ends = tuple[bytes, bytes]
Writes = list[tuple[int, bytes]]


def tables(head: bytes, tail: bytes, *, size: int = SIZE, sector: int = 512) -> gpt.Tables:
    return gpt.read(head, tail, size, sector)


@pytest.fixture(scope="module")
def ends_of_table(tmp_path_factory: pytest.TempPathFactory) -> Ends:
    """Both ends of an image with our BIOS layout, with all flags set, as the real sfdisk wrote it."""
    of = image_disk(sparse(tmp_path_factory.mktemp("gpt") / "image", SIZE))
    write_table(of, firmware=Firmware.BIOS)
    return ends(of)


@pytest.mark.parametrize("which", ["primary", "backup"])
def test_reads_what_sfdisk_wrote(ends_of_table: Ends, which: str) -> None:
    copy = getattr(tables(*ends_of_table), which)
    assert (copy.present, copy.valid, copy.guid) == (True, True, GUID)
    assert [entry.number for entry in copy.entries] == [1, 2, 3]
    assert [entry.type for entry in copy.entries] == [gpt.BIOS_BOOT, gpt.ESP, gpt.LINUX]
    assert [entry.name for entry in copy.entries] == ["zosboot", "zosboot", "zosdata"]
    assert [(entry.start_bytes, entry.size_bytes) for entry in copy.entries] == [
        (MIB, MIB),
        (2 * MIB, ESP_SIZE),
        (2 * MIB + ESP_SIZE, SIZE - 3 * MIB - ESP_SIZE),
    ]
    assert [entry.kind for entry in copy.entries] == list(PartitionKind)
    assert all(entry.marked and entry.attributes == 0 and entry.content is None for entry in copy.entries)


def test_the_mbr_of_sfdisk_is_protective_and_has_no_boot_code(ends_of_table: Ends) -> None:
    found = tables(*ends_of_table)
    assert found.protective
    assert not found.boot_code


def test_unmarked_partitions_have_no_attributes(tmp_path: Path) -> None:
    of = image_disk(sparse(tmp_path / "image", SIZE))
    write_table(of, marked=False)
    assert [(entry.marked, entry.attributes) for entry in tables(*ends(of)).primary.entries] == [(False, 0)] * 2


@pytest.mark.parametrize("which", ["primary", "backup"])
@given(data=st.data())
def test_any_flipped_bit_makes_the_copy_invalid(ends_of_table: Ends, which: str, data: st.DataObject) -> None:
    head, tail = (bytearray(end) for end in ends_of_table)
    end, start = {"primary": (head, 512), "backup": (tail, MIB - 512 - gpt.ENTRIES_BYTES)}[which]
    length = 512 + gpt.ENTRIES_BYTES
    at = start + data.draw(st.integers(0, length - 1), label="byte")
    end[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    found = tables(bytes(head), bytes(tail))
    assert not getattr(found, which).valid
    assert getattr(found, {"primary": "backup", "backup": "primary"}[which]).valid


def test_any_changed_byte_of_a_header_makes_the_copy_invalid(ends_of_table: Ends) -> None:
    head, tail = ends_of_table
    for at in range(512):
        broken = bytearray(head[512:1024])
        broken[at] ^= 0x10
        assert not tables(head[:512] + broken + head[1024:], tail).primary.valid
        broken = bytearray(tail[-512:])
        broken[at] ^= 0x10
        assert not tables(head, tail[:-512] + broken).backup.valid


def with_fields(header: bytes, **changes: Any) -> bytes:
    """A header with other values in some fields, and the right checksum."""
    names = (
        *("magic", "revision", "length", "checksum", "reserved", "current", "other", "first", "last"),
        *("guid", "start", "count", "size", "array"),
    )
    fields = dict(zip(names, gpt._HEADER.unpack(header[: gpt._HEADER.size]), strict=True))
    fields |= changes
    fields["checksum"] = 0
    packed = gpt._HEADER.pack(*fields.values())
    fields["checksum"] = crc32(packed)
    return gpt._HEADER.pack(*fields.values()) + header[gpt._HEADER.size :]


@pytest.mark.parametrize(
    "changes",
    [
        {"magic": b"EFI PARS"},
        {"revision": b"\0\0\2\0"},
        {"length": 91},
        {"length": 2**32 - 1},
        {"current": 2},
        {"other": 2},
        {"start": 3},
        {"count": 127},
        {"count": 2**32 - 1},
        {"size": 256},
        {"array": 0},
    ],
    ids=str,
)
def test_another_field_value_is_invalid_even_with_a_right_checksum(
    ends_of_table: Ends, changes: dict[str, Any]
) -> None:
    head, tail = ends_of_table
    assert tables(head[:512] + with_fields(head[512:1024]) + head[1024:], tail).primary.valid
    found = tables(head[:512] + with_fields(head[512:1024], **changes) + head[1024:], tail)
    assert not found.primary.valid


def test_a_primary_copy_at_the_end_is_not_a_valid_backup(ends_of_table: Ends) -> None:
    head, tail = ends_of_table
    array = head[1024 : 1024 + gpt.ENTRIES_BYTES]
    moved = tail[: -512 - gpt.ENTRIES_BYTES] + array + head[512:1024]
    found = tables(head, moved)
    assert found.backup.present
    assert not found.backup.valid


def test_a_table_of_a_smaller_disk_is_invalid(ends_of_table: Ends) -> None:
    """An image was copied to a larger disk, or the disk grew."""
    head, tail = ends_of_table
    found = tables(head, tail, size=SIZE + MIB)
    assert found.primary.present
    assert not found.primary.valid
    assert not found.backup.valid


@pytest.mark.parametrize("sector", [512, 4096])
def test_zeros_are_not_a_table(sector: int) -> None:
    found = tables(bytes(MIB), bytes(MIB), sector=sector)
    assert not any((found.primary.present, found.backup.present, found.protective, found.boot_code))
    assert found.primary.entries == ()


@given(head=st.binary(min_size=2048, max_size=2048), sector=st.sampled_from([512, 4096]))
def test_random_bytes_are_not_a_valid_table(head: bytes, sector: int) -> None:
    noise = (head * 512)[:MIB]
    found = tables(noise, noise, sector=sector)
    assert not found.primary.valid
    assert not found.backup.valid


@given(name=st.binary(min_size=72, max_size=72), attributes=st.integers(0, 2**64 - 1))
def test_entries_with_any_bytes_are_read(name: bytes, attributes: int) -> None:
    raw = b"\1" * 16 + b"\2" * 16 + struct.pack("<QQQ", 2**64 - 1, 0, attributes) + name
    (entry,) = gpt._entries(raw, 4096)
    assert (entry.marked, entry.attributes) == (bool(attributes & 1 << 58), attributes & ~(1 << 58))
    assert entry.kind is PartitionKind.DATA  # as for every type that our layout does not use
    assert "\0" not in entry.name


def mbr(**changes: int) -> bytes:
    data = bytearray(512)
    data[446:462] = bytes.fromhex("00000200 eeffffff 01000000 ffff1f00")
    data[510:] = b"\x55\xaa"
    for at, value in changes.items():
        data[int(at[1:])] = value
    return bytes(data)


@pytest.mark.parametrize(
    ("changes", "protective"),
    [
        ({}, True),
        ({"b446": 0x80}, True),  # some firmware needs the entry to be active
        ({"b450": 0x83}, False),
        ({"b454": 2}, False),
        ({"b462": 1}, False),  # a second entry: a hybrid MBR
        ({"b509": 1}, False),
        ({"b510": 0}, False),
    ],
    ids=str,
)
def test_a_protective_mbr_has_one_entry_of_type_ee(changes: dict[str, int], protective: bool) -> None:
    head = mbr(**changes) + bytes(MIB - 512)
    assert tables(head, bytes(MIB)).protective is protective


@pytest.mark.parametrize(("at", "expected"), [(0, True), (439, True), (445, True), (446, False)])
def test_boot_code_in_the_mbr(at: int, expected: bool) -> None:
    head = mbr(**{f"b{at}": 0xEB}) + bytes(MIB - 512)
    assert tables(head, bytes(MIB)).boot_code is expected


@pytest.mark.parametrize("sector", [512, 4096])
def test_the_script_for_sfdisk(golden: Callable[[str, str], None], sector: int) -> None:
    of = disk(sector_size=sector)
    marked = new_partitions(of, firmware=Firmware.BIOS)
    cleared = new_partitions(of, marked=False)
    golden(f"script-{sector}.txt", gpt.script(GUID, marked, sector) + "\n" + gpt.script(GUID, cleared, sector))


def test_sfdisk_neither_wipes_nor_tells_the_kernel() -> None:
    assert gpt.write_argv("/dev/sda") == [
        "sfdisk",
        "--quiet",
        "--no-tell-kernel",
        "--no-reread",
        "--wipe",
        "never",
        "--wipe-partitions",
        "never",
        "/dev/sda",
    ]
    assert gpt.update_kernel_argv("/dev/sda") == ["partx", "--update", "/dev/sda"]


# Clearing the in-progress flags.


def write_all(of: Disk, pieces: Writes) -> None:
    for offset, data in pieces:
        poke(of.path, offset, data)


def clearing_writes(of: Disk) -> Writes:
    return gpt.clearing_writes(gpt.read(*ends(of), of.size_bytes, of.sector_size), of.size_bytes, of.sector_size)


def overwritten(both: Ends, pieces: Writes) -> Ends:
    head, tail = map(bytearray, both)
    for offset, data in pieces:
        end, at = (head, offset) if offset < MIB else (tail, offset - SIZE + MIB)
        end[at : at + len(data)] = data
    return bytes(head), bytes(tail)


@pytest.mark.parametrize("some", [False, True], ids=["all", "some"])
@pytest.mark.parametrize("count", range(5))
def test_the_same_writes_complete_an_interrupted_clearing(tmp_path: Path, count: int, some: bool) -> None:
    """An interruption after any number of writes; all partitions have the flag, or only one has it."""
    of = image_disk(sparse(tmp_path / "image", SIZE))
    lines = new_partitions(of, firmware=Firmware.BIOS)
    if some:
        lines[:2] = [evolve(line, make=False) for line in lines[:2]]
    sfdisk(of, gpt.script(GUID, lines, 512))
    pieces = clearing_writes(of)
    write_all(of, pieces[:count])
    found = layout.recognise(of, ends(of)[0], gpt.read(*ends(of), SIZE, 512), ESP_SIZE)
    assert isinstance(found, OwnTable)
    assert found.torn is (0 < count < 4)
    assert found.finished is (count == 4)
    assert clearing_writes(of) == pieces
    write_all(of, clearing_writes(of))
    done = tables(*ends(of))
    assert done.primary.valid
    assert done.backup.valid
    assert done.primary.entries == done.backup.entries
    assert not any(entry.marked for entry in done.primary.entries)


@given(attributes=st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3))
def test_clearing_changes_no_other_bit(ends_of_table: Ends, attributes: list[int]) -> None:
    head, tail = (bytearray(end) for end in ends_of_table)
    for number, value in enumerate(attributes):
        for end, start in ((head, 1024), (tail, MIB - 512 - gpt.ENTRIES_BYTES)):
            struct.pack_into("<Q", end, start + 128 * number + 48, value)
    found = tables(*with_checksums(head, tail))
    done = tables(*overwritten(with_checksums(head, tail), gpt.clearing_writes(found, SIZE, 512)))
    assert done.primary.valid
    assert done.backup.valid
    assert [entry.marked for entry in found.primary.entries] == [bool(value & 1 << 58) for value in attributes]
    assert done.primary.entries == tuple(evolve(entry, marked=False) for entry in found.primary.entries)
    assert [entry.attributes for entry in done.primary.entries] == [value & ~(1 << 58) for value in attributes]


def with_checksums(head: bytearray, tail: bytearray) -> Ends:
    """Both ends of a disk, with headers that have the right checksums of the entries."""
    array = gpt.ENTRIES_BYTES
    for end, header, entries in ((head, 512, 1024), (tail, MIB - 512, MIB - 512 - array)):
        struct.pack_into("<I", end, header + 88, crc32(end[entries : entries + array]))
        struct.pack_into("<I", end, header + 16, 0)
        struct.pack_into("<I", end, header + 16, crc32(end[header : header + 92]))
    return bytes(head), bytes(tail)
