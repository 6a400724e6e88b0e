"""Reading bytes of a disk, whatever kind of read the device takes."""

import errno
import os

import pytest
from attrs import evolve
from support import MIB, image_disk, poke, sparse

from zosstorage.block import medium


@pytest.fixture
def image(tmp_path):
    return image_disk(sparse(tmp_path / "image", 64 * MIB))


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize(
    ("offset", "length"), [(0, 512), (1, 1), (511, 2), (4095, 4098), (64 * MIB - 3, 3), (7 * MIB, MIB)]
)
def test_any_bytes_can_be_read(image, offset, length, sector_size):
    data = os.urandom(length)
    poke(image.path, offset, data)
    with medium.Reader(evolve(image, sector_size=sector_size)) as reader:
        assert reader.at(offset, length) == data


def test_a_device_without_direct_reads_is_read_through_the_page_cache(image, monkeypatch):
    poke(image.path, 4096, b"used")
    real = os.open

    def refuse(path, flags, *mode, **more):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", refuse)
    with medium.Reader(image) as reader:
        assert reader.at(4096, 4) == b"used"


def test_an_image_that_needs_larger_direct_reads_is_read_through_the_page_cache(image, monkeypatch):
    poke(image.path, 512, b"used")
    real, refused = os.preadv, []

    def refuse(handle, rooms, offset, *flags):
        if offset == 512 and not refused:
            refused.append(offset)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(handle, rooms, offset, *flags)

    monkeypatch.setattr(os, "preadv", refuse)
    with medium.Reader(image) as reader:
        assert reader.at(512, 4) == b"used"
    assert refused
