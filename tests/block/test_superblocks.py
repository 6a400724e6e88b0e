import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import GIB, MIB

from zosstorage.block import locations, superblocks

TIB = 1024 * GIB
sizes = st.integers(16 * MIB // 512, 20 * TIB // 512).map(lambda sectors: sectors * 512)


def covered(size: int) -> list[tuple[int, int]]:
    """(offset, length) of each range that the scan reads."""
    return [(0, MIB), (size - MIB, MIB), *((region.offset, region.length) for region in locations.regions(size))]


def is_read(offset: int, length: int, size: int) -> bool:
    return any(start <= offset and offset + length <= start + count for start, count in covered(size))


@given(size=sizes)
def test_every_known_magic_lies_in_a_region_that_is_read(size: int) -> None:
    blocks = {offset for offset, length in covered(size) if length == superblocks.BLOCK}
    longer = [(offset, offset + length) for offset, length in covered(size) if length > superblocks.BLOCK]
    for offset, row in locations._places(size):
        inside = any(start <= offset and offset + len(row.magic) <= end for start, end in longer)
        assert inside or offset // superblocks.BLOCK * superblocks.BLOCK in blocks, (offset, row)


@given(size=sizes)
def test_regions_are_ascending_and_within_the_disk(size: int) -> None:
    regions = locations.regions(size)
    places = [(region.offset, region.length) for region in regions]
    assert places == sorted(set(places))
    assert all(offset >= 0 and offset + length <= size for offset, length in places)
    assert all(offset % 512 == 0 for offset, _ in places)


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("btrfs, second copy", 64 * MIB),
        ("btrfs, third copy", 256 * GIB),
        ("btrfs in a partition, second copy", 65 * MIB),
        ("BlueStore at 1 GiB", GIB),
        ("BlueStore at 100 GiB", 100 * GIB),
        ("ext4 with 4 KiB blocks, group 1", 128 * MIB),
        ("ext4 with 4 KiB blocks, group 3", 3 * 128 * MIB),
        ("ext4 with 1 KiB blocks, group 1", 8 * MIB + 1024),
        ("ext4 in a partition, group 1", 129 * MIB),
        ("LUKS2, second header at 4 MiB", 4 * MIB),
        ("NTFS master file table", 3 * GIB),
        ("xfs, allocation group 1 of 4", TIB // 4),
        ("GPT backup", TIB - 512),
        ("md 1.0", TIB - 8192),
        ("ZFS label 3", TIB - 256 * 1024),
        ("ZFS label 3 of a whole disk's partition", TIB - 9 * MIB - 240 * 1024),
        ("ext4 with 64 KiB blocks, group 1", 65528 * 65536),
        ("bcachefs, last superblock in a partition", TIB - 3 * MIB),
        ("ocfs2, backup superblock at 16 GiB", 16 * GIB),
        ("xfs with 32 groups, group 1, stripe unit 64 KiB", TIB // 32 - 65536),
        ("our own ESP behind bios_boot", 2 * MIB),
        ("our own btrfs, BIOS", 514 * MIB + 65536),
        ("our own btrfs, UEFI", 513 * MIB + 65536),
        ("APFS on an Apple disk", 409640 * 512 + 32),
    ],
    ids=str,
)
def test_copies_of_well_known_formats_are_read(name: str, offset: int) -> None:
    assert is_read(offset, 512, TIB)


@given(data=st.data(), size=sizes)
def test_identify_names_a_magic_string_at_its_place(data: st.DataObject, size: int) -> None:
    places = list(locations._places(size))
    offset, row = data.draw(st.sampled_from(places))
    block = offset // 4096 * 4096
    content = bytearray(min(8192, size - block))
    content[offset - block : offset - block + len(row.magic)] = row.magic
    named = locations.identify(block, bytes(content), size)
    assert named
    longest = max(len(other.magic) for place, other in places if place == offset and row.magic.startswith(other.magic))
    assert longest == len(row.magic)


def test_identify_prefers_the_longest_magic_string() -> None:
    data = bytearray(4096)
    data[510:512] = b"\x55\xaa"
    assert locations.identify(0, bytes(data), GIB) == "MBR"
    data[3:11] = b"NTFS    "
    assert locations.identify(0, bytes(data), GIB) == "NTFS boot sector"


@given(data=st.binary(max_size=64), offset=st.integers(0, GIB - 64))
def test_identify_accepts_any_bytes(data: bytes, offset: int) -> None:
    assert locations.identify(offset, data, GIB) is None or data


def test_every_row_has_a_source() -> None:
    assert all(row.source and row.format and row.magic for row in superblocks.KNOWN)
