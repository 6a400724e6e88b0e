"""What a partition with the in-progress flag may carry, and what makes it foreign."""

import os
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fakes import FakeTools
from superblocks import bcachefs_block, btrfs_block, fat_sector
from support import GIB, MIB, poke, sparse

from zosstorage import filesystems
from zosstorage.block import unfinished
from zosstorage.errors import UnreadableFilesystemError
from zosstorage.model import PartitionKind

SIZE = 512 * MIB
ESP, DATA = PartitionKind.ESP, PartitionKind.DATA
OTHER_UUID = "88888888-8888-4777-8666-555555555555"
# Places of bcachefs superblocks in a partition of 512 MiB, with the size of 1 MiB that `bcachefs format` gives them.
FIRST, SECOND, LAST = 4096, MIB + 4096, SIZE - MIB
BCACHE_MAGIC = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")

Reader = Callable[[int, int], bytes]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The bytes of a partition: zeros, at first."""
    return sparse(tmp_path / "partition", SIZE)


def reader(path: Path) -> Reader:
    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            data = os.pread(file.fileno(), length, offset)
        if len(data) != length:
            raise UnreadableFilesystemError(f"a read of {length} bytes returned only {len(data)}")
        return data

    return read


def flagged(path: Path, kind: PartitionKind = DATA, *, node: str = "") -> unfinished.Flagged:
    return unfinished.Flagged(kind, path.stat().st_size, reader(path), node)


def problem(path: Path, kind: PartitionKind = DATA, *, node: str = "") -> str:
    (found,) = unfinished.problems([flagged(path, kind, node=node)])
    return found


# First superblocks.


@pytest.mark.parametrize("kind", [ESP, DATA])
def test_a_partition_of_zeros_has_no_problem(image: Path, kind: PartitionKind) -> None:
    assert problem(image, kind) == ""


@pytest.mark.parametrize(
    ("kind", "offset", "data"),
    [(ESP, 0, fat_sector()), (DATA, 65536, btrfs_block()), (DATA, FIRST, bcachefs_block())],
    ids=["vfat", "btrfs", "bcachefs"],
)
def test_an_empty_filesystem_of_ours_has_no_problem(image: Path, kind: PartitionKind, offset: int, data: bytes) -> None:
    poke(image, offset, data)
    assert problem(image, kind) == ""


@pytest.mark.parametrize(
    ("kind", "superblock", "offset"),
    [
        (ESP, None, 0),
        (ESP, None, 511),
        (DATA, None, 0),
        (DATA, None, 3583),
        (DATA, (65536, btrfs_block()), 0),
        (DATA, (65536, btrfs_block()), 65535),
        (DATA, (FIRST, bcachefs_block()), 3583),
    ],
)
def test_data_where_no_mkfs_of_ours_writes_is_foreign(
    image: Path, kind: PartitionKind, superblock: tuple[int, bytes] | None, offset: int
) -> None:
    if superblock:
        poke(image, *superblock)
    poke(image, offset, b"m")
    assert problem(image, kind) == f"data at its byte {offset}, where zosstorage leaves zeros"


@pytest.mark.parametrize(("kind", "offset"), [(ESP, 512), (DATA, 3584), (DATA, 65535)])
def test_bytes_that_a_cut_of_mkfs_can_leave_have_no_problem(image: Path, kind: PartitionKind, offset: int) -> None:
    poke(image, offset, b"m")
    assert problem(image, kind) == ""


@pytest.mark.parametrize(
    ("kind", "offset", "data", "expected"),
    [
        (ESP, 0, fat_sector(label=b"EFI"), "vfat labelled 'EFI', not ZOSBOOT"),
        (ESP, 65536, btrfs_block(), "btrfs, which is not made there"),
        (ESP, FIRST, bcachefs_block(), "bcachefs, which is not made there"),
        (DATA, 0, fat_sector(), "vfat, which is not made there"),
        (DATA, 65536, btrfs_block(label=b"home"), "btrfs labelled 'home', not ZOSDATA"),
        (DATA, FIRST, bcachefs_block(label=b""), "bcachefs labelled '', not ZOSDATA"),
    ],
)
def test_another_filesystem_or_label_is_foreign(
    image: Path, kind: PartitionKind, offset: int, data: bytes, expected: str
) -> None:
    poke(image, offset, data)
    assert problem(image, kind) == expected


@pytest.mark.parametrize("kind", [ESP, DATA])
@pytest.mark.parametrize(
    ("offset", "data", "expected"),
    [
        (0, b"LUKS\xba\xbe", "LUKS header"),
        (FIRST + 24, BCACHE_MAGIC, "bcachefs or bcache superblock"),
        (128 * MIB + 56, b"\x53\xef", "ext2/3/4 backup superblock (block size 4096, group 1)"),
        (SIZE - 8192, b"\xfc\x4e\x2b\xa9", "md RAID 1.x superblock"),
        (SIZE - 512, b"EFI PART", "backup GPT header"),
    ],
)
def test_a_known_magic_string_is_foreign(
    image: Path, kind: PartitionKind, offset: int, data: bytes, expected: str
) -> None:
    poke(image, offset, data)
    assert problem(image, kind) == expected


# Copies of a superblock whose first one is gone, or was not written yet.


@pytest.mark.parametrize(
    ("offset", "data"),
    [(64 * MIB, btrfs_block()), (SECOND, bcachefs_block()), (LAST, bcachefs_block())],
    ids=["btrfs", "second bcachefs", "last bcachefs"],
)
def test_a_copy_with_our_label_has_no_problem(image: Path, offset: int, data: bytes) -> None:
    poke(image, offset, data)
    assert problem(image) == ""


def test_the_third_copy_of_a_btrfs_is_examined(tmp_path: Path) -> None:
    large = sparse(tmp_path / "large", 300 * GIB)
    poke(large, 256 * GIB, btrfs_block())
    assert problem(large) == ""
    poke(large, 256 * GIB, btrfs_block(label=b"home"))
    assert problem(large) == "a copy of a superblock of btrfs labelled 'home', not ZOSDATA"


@pytest.mark.parametrize("label", [b"", b"home", b"ZOSBOOT", b"ZOSDATA2"])
@pytest.mark.parametrize(("fstype", "offset"), [("btrfs", 64 * MIB), ("bcachefs", SECOND), ("bcachefs", LAST)], ids=str)
def test_a_copy_with_another_label_is_foreign(image: Path, fstype: str, offset: int, label: bytes) -> None:
    poke(image, offset, btrfs_block(label=label) if fstype == "btrfs" else bcachefs_block(label=label))
    assert problem(image) == f"a copy of a superblock of {fstype} labelled {label.decode()!r}, not ZOSDATA"


@pytest.mark.parametrize(
    ("fstype", "offset", "data"), [("btrfs", 64 * MIB, btrfs_block()), ("bcachefs", LAST, bcachefs_block())]
)
def test_a_copy_of_a_data_filesystem_in_an_esp_is_foreign(image: Path, fstype: str, offset: int, data: bytes) -> None:
    poke(image, offset, data)
    assert problem(image, ESP) == f"a copy of a superblock of {fstype}, which is not made there"


def test_a_copy_of_ours_does_not_hide_a_foreign_one(image: Path) -> None:
    """Both lie in one region that is read at once, and the magic string of bcachefs is the longer one."""
    poke(image, SECOND, bcachefs_block())
    poke(image, MIB + 65536, btrfs_block(label=b"home"))
    assert problem(image) == "a copy of a superblock of btrfs labelled 'home', not ZOSDATA"


def test_a_copy_of_ours_does_not_hide_another_format(image: Path) -> None:
    poke(image, LAST, bcachefs_block())
    poke(image, 0, b"LUKS\xba\xbe")
    assert problem(image) == "LUKS header"


@pytest.mark.parametrize(
    ("label", "expected"), [("ZOSDATA", ""), ("home", "a copy of a superblock of btrfs labelled 'home', not ZOSDATA")]
)
def test_the_copy_that_mkfs_btrfs_writes(image: Path, label: str, expected: str) -> None:
    subprocess.run(["mkfs.btrfs", "-q", "-L", label, str(image)], check=True, capture_output=True)
    poke(image, 65536, bytes(4096))
    assert problem(image) == expected


# What cannot be read.


@pytest.mark.parametrize("failing", [0, FIRST, 64 * MIB, LAST])
def test_a_partition_that_cannot_be_read_is_foreign(image: Path, failing: int) -> None:
    def read(offset: int, length: int) -> bytes:
        if offset <= failing < offset + length:
            raise UnreadableFilesystemError("reading it failed: Input/output error")
        return reader(image)(offset, length)

    (found,) = unfinished.problems([unfinished.Flagged(DATA, SIZE, read)])
    expected = "contents that cannot be read (reading it failed: Input/output error) and that somebody may need"
    assert found == expected


def test_a_partition_that_is_shorter_than_its_size_is_foreign(image: Path) -> None:
    os.truncate(image, SIZE // 2)
    (found,) = unfinished.problems([unfinished.Flagged(DATA, SIZE, reader(image))])
    assert "cannot be read (a read of" in found


# Files on a filesystem of ours.


def test_a_file_on_an_esp_is_foreign(image: Path) -> None:
    poke(image, 0, fat_sector())
    poke(image, (32 + 2 * 1009) * 512, b"KERNEL  EFI" + b"\x20" + bytes(20))
    assert problem(image, ESP) == "a file or directory 'KERNEL.EFI': somebody has used its filesystem"


@pytest.fixture
def uses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Filesystems that somebody has used. The list receives (type, number of members) of each that is examined."""
    asked: list[tuple[str, int]] = []

    def use(fstype: str, members: Sequence[Reader]) -> str:
        asked.append((fstype, len(members)))
        return "a file or directory 'a'"

    monkeypatch.setattr(filesystems, "use", use)
    return asked


def test_members_of_one_filesystem_are_examined_together(tmp_path: Path, uses: list[tuple[str, int]]) -> None:
    images = [sparse(tmp_path / name, SIZE) for name in "abcd"]
    for image, data in zip(images, [btrfs_block(), btrfs_block(OTHER_UUID), bytes(4096), btrfs_block()], strict=True):
        poke(image, 65536, data)
    used = "a file or directory 'a': somebody has used its filesystem"
    assert unfinished.problems([flagged(image) for image in images]) == [used, used, "", used]
    assert sorted(uses) == [("btrfs", 1), ("btrfs", 2)]


def test_a_member_with_a_problem_is_not_examined_further(tmp_path: Path, uses: list[tuple[str, int]]) -> None:
    images = [sparse(tmp_path / name, SIZE) for name in "ab"]
    poke(images[0], 65536, btrfs_block(label=b"home"))
    poke(images[1], 65536, btrfs_block())
    found = unfinished.problems([flagged(image) for image in images])
    assert (found[0], uses) == ("btrfs labelled 'home', not ZOSDATA", [("btrfs", 1)])


def test_no_partitions_have_no_problems() -> None:
    assert unfinished.problems([]) == []


# A complete bcachefs, which only its own tool can read.


@pytest.fixture
def complete(image: Path) -> Path:
    """A bcachefs of ours whose format came to its end."""
    block = bytearray(bcachefs_block())
    struct.pack_into("<Q", block, 144, struct.unpack_from("<Q", block, 144)[0] | 1)
    poke(image, FIRST, bytes(block))
    return image


ENTRY = "u64s 8 type dirent 4096:4047073431812382135:U32_MAX len 0 ver 0: {} -> 4097 type dir\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("lost+found", ""), ("mine", "a file or directory 'mine': somebody has used its filesystem")],
)
def test_a_complete_bcachefs_is_listed_by_its_tool(
    complete: Path, fake_tools: FakeTools, name: str, expected: str
) -> None:
    fake_tools("bcachefs", stdout=ENTRY.format(name))
    assert problem(complete, node="/dev/sda2") == expected
    assert fake_tools.calls == [["bcachefs", "list", "--fsck", "--btree=dirents", "/dev/sda2"]]


def test_all_members_of_a_bcachefs_are_listed_by_one_command(complete: Path, fake_tools: FakeTools) -> None:
    fake_tools("bcachefs", stdout=ENTRY.format("lost+found"))
    members = [flagged(complete, node=node) for node in ("/dev/sda2", "/dev/sdb2")]
    assert unfinished.problems(members) == ["", ""]
    assert [call[4:] for call in fake_tools.calls] == [["/dev/sda2", "/dev/sdb2"]]


def test_a_bcachefs_without_a_node_is_left_to_a_later_check(complete: Path, fake_tools: FakeTools) -> None:
    fake_tools("bcachefs")
    assert unfinished.problems([flagged(complete), flagged(complete, node="/dev/sdb2")]) == ["", ""]
    assert fake_tools.calls == []


@pytest.mark.parametrize(
    ("status", "stderr", "expected"),
    [
        (1, "cannot open", "failed with status 1: cannot open"),
        (0, "", "bcachefs list printed no entry, not even lost+found"),
    ],
)
def test_a_bcachefs_that_cannot_be_listed_is_foreign(
    complete: Path, fake_tools: FakeTools, status: int, stderr: str, expected: str
) -> None:
    fake_tools("bcachefs", stderr=stderr, status=status)
    found = problem(complete, node="/dev/sda2")
    assert found.startswith("contents that cannot be read (")
    assert expected in found


@pytest.mark.usefixtures("fake_tools")
def test_a_bcachefs_whose_tool_is_missing_is_foreign(complete: Path) -> None:
    assert problem(complete, node="/dev/sda2").startswith("contents that cannot be read (")
