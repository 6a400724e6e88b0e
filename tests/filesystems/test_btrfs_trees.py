"""What a btrfs holds, read from images that mkfs.btrfs makes; tests/loop/test_unfinished.py mounts some."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zosstorage.config.schema import Config
from zosstorage.errors import UnreadableFilesystemError
from zosstorage.filesystems import SUBVOLUMES, btrfs, btrfs_trees

if TYPE_CHECKING:
    from collections.abc import Callable

    Made = Callable[..., list[bytearray]]

MIB = 1 << 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Make images by mkfs.btrfs."""

    def make(count: int = 1, *options: str, tree: dict[str, str] | None = None) -> list[bytearray]:
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
        return [bytearray(image.read_bytes()) for image in images]

    return make


def at(image: bytes | bytearray) -> Callable[[int, int], bytes]:
    return lambda offset, length: bytes(image[offset : offset + length])


def use(images: list[bytearray]) -> str:
    return btrfs_trees.use([at(image) for image in images], SUBVOLUMES)


@pytest.mark.parametrize("checksum", ["crc32c", "xxhash", "sha256", "blake2"])
def test_a_new_filesystem_holds_nothing(made: Made, checksum: str) -> None:
    assert use(made(1, f"--csum={checksum}")) == ""


@pytest.mark.parametrize("profile", ["raid1", "single", "dup"])
def test_a_new_filesystem_of_two_devices_holds_nothing(made: Made, profile: str) -> None:
    assert use(made(2, "-m", profile, "-d", "single")) == ""


def test_a_file_is_found(made: Made) -> None:
    assert use(made(tree={"notes": "mine"})) == "a file or directory 'notes'"


def test_either_device_of_a_mirror_tells(made: Made) -> None:
    images = made(2, "-m", "raid1", "-d", "raid1")
    assert [use([image]) for image in images] == ["", ""]


def test_a_log_tree_is_found(made: Made) -> None:
    (image,) = made()
    image[65536 + 0x60] = 1
    assert "log tree" in use([image])


def test_another_copy_of_a_broken_node_is_read(made: Made) -> None:
    """DUP keeps two copies of each node on one device."""
    (image,) = made(1, "-m", "dup")
    first = _places(image)[0]
    image[first : first + 16384] = bytes(16384)
    assert use([image]) == ""


def test_a_filesystem_without_a_good_copy_cannot_be_read(made: Made) -> None:
    (image,) = made(1, "-m", "dup")
    for place in _places(image):
        image[place + 200] ^= 1
    with pytest.raises(UnreadableFilesystemError, match="no device that is present has a valid copy"):
        use([image])


def _places(image: bytearray) -> list[int]:
    """Where the copies of the root tree's node are."""
    found = btrfs_trees.read_super(at(image))
    header = found.fsid + found.root[0].to_bytes(8, "little")
    places, start = [], 0
    while (start := image.find(header, start + 1)) >= 0:
        if start % 4096 == 32:
            places.append(start - 32)
    return places


def test_what_cannot_be_read_is_unfinished_only_if_it_was_never_mounted(made: Made) -> None:
    (image,) = made(1, "-m", "single")
    for place in _places(image):
        image[place + 200] ^= 1
    assert btrfs.use([at(image)], SUBVOLUMES) == ""
    image[65536 + 0x233] = 7  # the generation of the UUID tree, which a kernel's first commit sets
    with pytest.raises(UnreadableFilesystemError):
        btrfs.use([at(image)], SUBVOLUMES)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_damage_is_told_or_changes_nothing(made: Made, data: st.DataObject) -> None:
    """A hostile or torn filesystem never ends in another exception, nor in a walk without end."""
    image, places = _small(made)
    damage = {
        data.draw(st.sampled_from(places)): data.draw(st.integers(0, 255)) for _ in range(data.draw(st.integers(1, 4)))
    }
    whole = {place: image[place] for place in damage}
    try:
        for place, value in damage.items():
            image[place] = value
        with contextlib.suppress(UnreadableFilesystemError):
            assert isinstance(use([image]), str)
    finally:
        for place, value in whole.items():
            image[place] = value


_CACHE: dict[str, tuple[bytearray, list[int]]] = {}


def _small(made: Made) -> tuple[bytearray, list[int]]:
    """A filesystem whose nodes are believed without their checksum, and the places of its superblock and root tree."""
    if not _CACHE:
        (image,) = made(1, "--csum=xxhash")
        nodes = [place + offset for place in _places(image) for offset in range(16384)]
        _CACHE["xxhash"] = image, [*range(65536 + 0x30, 65536 + 0x3CB), *nodes]
    return _CACHE["xxhash"]


def test_crc32c_is_that_of_the_standard() -> None:
    """RFC 3720, appendix B.4."""
    assert btrfs_trees._crc32c(bytes(32)) == 0x8A9136AA
    assert btrfs_trees._crc32c(b"\xff" * 32) == 0x62A8AB43
    assert btrfs_trees._crc32c(bytes(range(32))) == 0x46DD794E


def test_the_subvolumes_are_those_of_the_configuration() -> None:
    assert tuple(dict(Config().mounts.targets)) == SUBVOLUMES
