"""Signs of use on a vfat: any entry of its root directory besides the volume label."""

import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from superblocks import fat_sector
from support import MIB, sparse

from zosstorage.errors import UnreadableFilesystemError
from zosstorage.filesystems import SUBVOLUMES, vfat

# Offsets in bytes that follow from `fat_sector`: the first FAT, and cluster 2, where the root directory starts.
FAT, DATA, CLUSTER = 32 * 512, (32 + 2 * 1009) * 512, 4096
DIRECTORY, FILE, LABEL, LONG_NAME = 0x10, 0x20, 0x08, 0x0F
END_OF_CHAIN = 0x0FFFFFFF


def entry(name: bytes, attributes: int = FILE) -> bytes:
    """A directory entry with a name of 11 bytes, 8 for the name and 3 for the extension."""
    assert len(name) == 11
    return name + bytes([attributes]) + bytes(20)


LABEL_ENTRY = entry(b"ZOSBOOT    ", LABEL)


class Volume:
    """A FAT32 with a root directory of some clusters; a reader that reads zeros where nothing was written.

    Attributes:
        boot: the boot sector.
        chain: the entries of the FAT, by cluster.
        clusters: the contents of clusters, by cluster.
    """

    def __init__(self, *entries: bytes) -> None:
        self.boot = bytearray(fat_sector())
        self.chain = {2: END_OF_CHAIN}
        self.clusters = {2: b"".join(entries)}

    def __call__(self, offset: int, length: int) -> bytes:
        """Read bytes of the volume."""
        if offset == 0:
            return bytes(self.boot)
        if offset < DATA:
            return struct.pack("<I", self.chain.get((offset - FAT) // 4, 0))
        return self.clusters.get((offset - DATA) // CLUSTER + 2, b"").ljust(length, b"\0")


def use(volume: Volume) -> str:
    return vfat.use([volume], SUBVOLUMES)


def test_a_new_filesystem_has_no_sign_of_use(tmp_path: Path) -> None:
    path = sparse(tmp_path / "image", 64 * MIB)
    subprocess.run(["mkfs.fat", "-F", "32", "-n", "ZOSBOOT", str(path)], check=True, capture_output=True)
    with path.open("rb") as file:
        assert vfat.use([lambda offset, length: os.pread(file.fileno(), length, offset)], SUBVOLUMES) == ""


@pytest.mark.parametrize("entries", [[], [LABEL_ENTRY]], ids=["empty", "label"])
def test_an_empty_root_directory_has_no_sign_of_use(entries: Sequence[bytes]) -> None:
    assert use(Volume(*entries)) == ""


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (entry(b"KERNEL  EFI"), "KERNEL.EFI"),
        (entry(b"README     "), "README"),
        (entry(b"EFI        ", DIRECTORY), "EFI"),
        (entry(b"A       B  ", FILE | 0x03), "A.B"),  # hidden and read-only
    ],
)
def test_a_file_or_directory_is_a_sign_of_use(found: bytes, name: str) -> None:
    assert use(Volume(LABEL_ENTRY, found)) == f"a file or directory '{name}'"
    assert use(Volume(found, LABEL_ENTRY)) == f"a file or directory '{name}'"


def test_the_parts_of_a_long_name_are_skipped() -> None:
    part = entry(b"A" + bytes(10), LONG_NAME)
    assert use(Volume(LABEL_ENTRY, part, part)) == ""
    assert use(Volume(LABEL_ENTRY, part, entry(b"NOTES~1 TXT"))) == "a file or directory 'NOTES~1.TXT'"


def test_a_deleted_entry_is_no_sign_of_use() -> None:
    deleted = entry(b"\xe5ERNEL  EFI")
    assert use(Volume(LABEL_ENTRY, deleted)) == ""
    assert use(Volume(deleted, entry(b"EFI        ", DIRECTORY))) == "a file or directory 'EFI'"


def test_the_directory_ends_at_the_first_unused_entry() -> None:
    assert use(Volume(LABEL_ENTRY, bytes(32), entry(b"OLD        "))) == ""


@pytest.mark.parametrize("reserved_bits", [0, 0xF0000000])
def test_the_directory_is_read_through_all_its_clusters(reserved_bits: int) -> None:
    """The upper four bits of an entry of the FAT are not part of the number of the next cluster."""
    volume = Volume(*[entry(b"\xe5LD        ")] * (CLUSTER // 32))
    volume.chain = {2: 9 | reserved_bits, 9: END_OF_CHAIN}
    volume.clusters[9] = entry(b"NEW        ")
    assert use(volume) == "a file or directory 'NEW'"
    volume.chain = {2: END_OF_CHAIN}
    assert use(volume) == ""


def test_a_chain_of_clusters_without_an_end_is_read_once() -> None:
    volume = Volume(*[entry(b"\xe5LD        ")] * (CLUSTER // 32))
    volume.chain = {2: 3, 3: 2}
    volume.clusters[3] = volume.clusters[2]
    assert use(volume) == ""


@pytest.mark.parametrize(
    ("offset", "value"),
    [(11, b"\0\0"), (11, b"\1\2"), (13, b"\0"), (36, bytes(4))],
    ids=["no sector size", "unknown sector size", "no sectors in a cluster", "no sectors in a FAT"],
)
def test_a_malformed_boot_sector_is_unreadable(offset: int, value: bytes) -> None:
    volume = Volume(entry(b"KERNEL  EFI"))
    volume.boot[offset : offset + len(value)] = value
    with pytest.raises(UnreadableFilesystemError, match="its boot sector is malformed"):
        use(volume)


@given(st.binary(min_size=32 * 4, max_size=32 * 4))
def test_any_root_directory_is_read(entries: bytes) -> None:
    expected = ("", "a file or directory '")
    assert use(Volume(entries)).startswith(expected)
