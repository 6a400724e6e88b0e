"""The content of a btrfs, read from images that mkfs.btrfs makes. tests/loop/test_unfinished.py has mounted ones."""

from __future__ import annotations

import contextlib
import mmap
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zosstorage.config.schema import Config
from zosstorage.errors import UnreadableFilesystemError
from zosstorage.filesystems import SUBVOLUMES, btrfs, btrfs_trees

if TYPE_CHECKING:
    from collections.abc import Callable

    Images = Callable[..., list[mmap.mmap]]

MIB = 1 << 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Return a function that has mkfs.btrfs make images and maps them into memory; changes are not written back."""

    def make(count: int = 1, *options: str, tree: dict[str, str] | None = None) -> list[mmap.mmap]:
        folder = tmp_path_factory.mktemp("btrfs")
        images = [folder / f"image{number}" for number in range(count)]
        for image in images:
            with image.open("wb") as file:
                file.truncate(256 * MIB)
        if tree is not None:
            (folder / "tree").mkdir()
            for name, content in tree.items():
                (folder / "tree" / name).write_text(content)
            options = (*options, "--rootdir", str(folder / "tree"))
        subprocess.run(["mkfs.btrfs", "-q", "-L", "ZOSDATA", *options, *images], check=True, capture_output=True)
        return [mapped(image) for image in images]

    return make


def mapped(image: Path) -> mmap.mmap:
    with image.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def at(image: mmap.mmap) -> Callable[[int, int], bytes]:
    return lambda offset, length: image[offset : offset + length]


def use(images: list[mmap.mmap]) -> str:
    return btrfs_trees.use([at(image) for image in images], SUBVOLUMES)


@pytest.mark.parametrize("checksum", ["crc32c", "xxhash", "sha256", "blake2"])
def test_a_new_filesystem_has_no_sign_of_use(made: Images, checksum: str) -> None:
    assert use(made(1, f"--csum={checksum}")) == ""


@pytest.mark.parametrize("profile", ["raid1", "single", "dup"])
def test_a_new_filesystem_of_two_devices_has_no_sign_of_use(made: Images, profile: str) -> None:
    assert use(made(2, "-m", profile, "-d", "single")) == ""


def test_a_file_is_a_sign_of_use(made: Images) -> None:
    assert use(made(tree={"notes": "mine"})) == "a file or directory 'notes'"


def test_one_device_of_a_mirror_is_enough(made: Images) -> None:
    images = made(2, "-m", "raid1", "-d", "raid1")
    assert [use([image]) for image in images] == ["", ""]


def test_a_log_tree_is_a_sign_of_use(made: Images) -> None:
    (image,) = made()
    image[65536 + 0x60] = 1
    assert "log tree" in use([image])


def test_reads_the_other_copy_of_a_damaged_node(made: Images) -> None:
    """DUP keeps two copies of each node on one device."""
    (image,) = made(1, "-m", "dup")
    first = _root_nodes(image)[0]
    image[first : first + 16384] = bytes(16384)
    assert use([image]) == ""


def test_a_filesystem_without_a_valid_copy_is_unreadable(made: Images) -> None:
    (image,) = made(1, "-m", "dup")
    for offset in _root_nodes(image):
        image[offset + 200] ^= 1
    with pytest.raises(UnreadableFilesystemError, match="no device that is present has a valid copy"):
        use([image])


def _root_nodes(image: mmap.mmap) -> list[int]:
    """The offsets of the copies of the root node of the root tree."""
    found = btrfs_trees.read_super(at(image))
    header = found.fsid + found.root[0].to_bytes(8, "little")
    offsets, start = [], 0
    while (start := image.find(header, start + 1)) >= 0:
        if start % 4096 == 32:
            offsets.append(start - 32)
    return offsets


def test_an_unreadable_filesystem_counts_as_empty_only_if_it_was_never_mounted(made: Images) -> None:
    (image,) = made(1, "-m", "single")
    for offset in _root_nodes(image):
        image[offset + 200] ^= 1
    assert btrfs.use([at(image)], SUBVOLUMES) == ""
    image[65536 + 0x233] = 7  # the generation of the UUID tree, which a kernel's first commit sets
    with pytest.raises(UnreadableFilesystemError):
        btrfs.use([at(image)], SUBVOLUMES)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_filesystem_is_read_or_unreadable(made: Images, data: st.DataObject) -> None:
    """A hostile or torn filesystem leads to no other exception and no endless loop."""
    image, offsets = _without_known_checksum(made)
    damage = {
        data.draw(st.sampled_from(offsets)): data.draw(st.integers(0, 255)) for _ in range(data.draw(st.integers(1, 4)))
    }
    before = {offset: image[offset] for offset in damage}
    try:
        for offset, value in damage.items():
            image[offset] = value
        with contextlib.suppress(UnreadableFilesystemError):
            assert isinstance(use([image]), str)
    finally:
        for offset, value in before.items():
            image[offset] = value


_CACHE: dict[str, tuple[mmap.mmap, list[int]]] = {}


def _without_known_checksum(made: Images) -> tuple[mmap.mmap, list[int]]:
    """A filesystem whose checksums are not verified, and the offsets of its superblock and of its root tree."""
    if not _CACHE:
        (image,) = made(1, "--csum=xxhash")
        nodes = [start + offset for start in _root_nodes(image) for offset in range(16384)]
        _CACHE["xxhash"] = image, [*range(65536 + 0x30, 65536 + 0x3CB), *nodes]
    return _CACHE["xxhash"]


def test_crc32c_gives_the_values_of_the_standard() -> None:
    """RFC 3720, appendix B.4."""
    assert btrfs_trees._crc32c(bytes(32)) == 0x8A9136AA
    assert btrfs_trees._crc32c(b"\xff" * 32) == 0x62A8AB43
    assert btrfs_trees._crc32c(bytes(range(32))) == 0x46DD794E


def test_the_subvolumes_are_those_of_the_configuration() -> None:
    assert tuple(dict(Config().mounts.targets)) == SUBVOLUMES
