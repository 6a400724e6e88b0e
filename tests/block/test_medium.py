"""Reading bytes of a disk, with or without direct reads."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from support import MIB, image_disk, poke, sparse

from zosstorage.block import medium
from zosstorage.model import Disk


@pytest.fixture
def image(tmp_path: Path) -> Disk:
    return image_disk(sparse(tmp_path / "image", 64 * MIB))


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize(
    ("offset", "length"), [(0, 512), (1, 1), (511, 2), (4095, 4098), (64 * MIB - 3, 3), (7 * MIB, MIB)]
)
def test_any_bytes_can_be_read(image: Disk, offset: int, length: int, sector_size: int) -> None:
    data = os.urandom(length)
    poke(image.path, offset, data)
    with medium.Reader(evolve(image, sector_size=sector_size)) as reader:
        assert reader.at(offset, length) == data


def test_a_device_without_direct_reads_is_read_through_the_page_cache(
    image: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    poke(image.path, 4096, b"used")
    real = os.open

    def refuse(path: str, flags: int, *mode: int, **more: Any) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", refuse)
    with medium.Reader(image) as reader:
        assert reader.at(4096, 4) == b"used"


def test_an_image_that_needs_larger_direct_reads_is_read_through_the_page_cache(
    image: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    poke(image.path, 512, b"used")
    real = os.preadv
    refused: list[int] = []

    def refuse(handle: int, rooms: Sequence[memoryview], offset: int, *flags: int) -> int:
        if offset == 512 and not refused:
            refused.append(offset)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(handle, rooms, offset, *flags)

    monkeypatch.setattr(os, "preadv", refuse)
    with medium.Reader(image) as reader:
        assert reader.at(512, 4) == b"used"
    assert refused
