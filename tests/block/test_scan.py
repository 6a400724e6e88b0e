import itertools
import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import GIB, MIB, disk, image_disk, poke, sparse

from zosstorage.block import locations, medium, sample, scan
from zosstorage.errors import InterruptedRunError, ToolError
from zosstorage.model import Depth, Disk, Evidence
from zosstorage.system import signals

BLOCK = sample.BLOCK


@pytest.fixture
def image(tmp_path: Path) -> Disk:
    return image_disk(sparse(tmp_path / "image", 64 * MIB))


def find(of: Disk, depth: Depth = Depth.SAMPLED) -> Evidence | None:
    with medium.Reader(of) as reader:
        return scan.find_used([reader], depth)[of.path]


def evidence(of: Disk, depth: Depth = Depth.SAMPLED) -> Evidence:
    """As `find`, on a disk that is not blank."""
    found = find(of, depth)
    assert found is not None
    return found


# Regions.

sizes = st.integers(2 * MIB // 512, 2**44 // 512).map(lambda sectors: sectors * 512)


@pytest.mark.parametrize("depth", list(Depth))
@settings(max_examples=25, deadline=None)
@given(size=st.one_of(sizes.map(lambda size: size % (200 * MIB) + 64 * MIB), sizes), rotational=st.booleans())
def test_regions_lie_within_the_disk(depth: Depth, size: int, rotational: bool) -> None:
    size = min(size, 4 * GIB) if depth == Depth.FULL else size
    for offset, length in scan.regions(disk(size_bytes=size, rotational=rotational), depth):
        assert offset >= 0
        assert length > 0
        assert offset + length <= size


@pytest.mark.parametrize("size", [2 * MIB, 64 * MIB, 64 * MIB + 512, 4 * MIB * 7 + 4096, GIB - 512])
def test_a_full_scan_reads_every_byte_once(size: int) -> None:
    at = 0
    for offset, length in scan.regions(disk(size_bytes=size), Depth.FULL):
        assert offset == at
        at += length
    assert at == size


@pytest.mark.parametrize("depth", [Depth.SIGNATURES, Depth.SAMPLED])
def test_both_ends_and_all_known_places_are_read(depth: Depth) -> None:
    of = disk(size_bytes=600 * GIB)
    places = scan.regions(of, depth)
    assert places == sorted(places)
    assert {(0, MIB), (of.size_bytes - MIB, MIB)} <= set(places)
    assert {(region.offset, region.length) for region in locations.regions(of.size_bytes)} <= set(places)


def test_a_sampled_scan_reads_more_than_signatures() -> None:
    of = disk(size_bytes=100 * GIB)
    more, fewer = (list(scan.regions(of, depth)) for depth in (Depth.SAMPLED, Depth.SIGNATURES))
    assert len(more) > len(fewer) + 2000


# Findings.


@given(offset=st.integers(0, 2**44), before=st.integers(0, 9000), rest=st.binary(max_size=40))
def test_first_used_is_the_first_byte_that_is_not_zero(offset: int, before: int, rest: bytes) -> None:
    data = bytes(before) + b"\x01" + rest
    found = scan.first_used(offset, data)
    assert found == scan.Finding(offset + before, data[before : before + 16])


@given(length=st.integers(0, scan._CHUNK))
def test_zeros_are_not_used(length: int) -> None:
    assert scan.first_used(0, bytes(length)) is None


@pytest.mark.parametrize("depth", list(Depth))
def test_a_blank_image_is_blank(image: Disk, depth: Depth) -> None:
    assert find(image, depth) is None


@pytest.mark.parametrize("depth", list(Depth))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_single_byte_in_any_region_that_is_read_is_found(image: Disk, depth: Depth, data: st.DataObject) -> None:
    offset, length = data.draw(st.sampled_from(list(scan.regions(image, depth))))
    at = offset + data.draw(st.integers(0, length - 1))
    poke(image.path, at, bytes([data.draw(st.integers(1, 255))]))
    try:
        found = evidence(image, depth)
        assert (found.check, found.offset) == ("bytes", at)
        assert image.path in found.hint
    finally:
        poke(image.path, at, b"\0")


def test_a_byte_in_a_sampled_block_is_found(image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "places", lambda _: [(30 * MIB, BLOCK)])
    assert (30 * MIB, BLOCK) not in scan.regions(image, Depth.SIGNATURES)
    poke(image.path, 30 * MIB + BLOCK - 1, b"\xff")
    assert evidence(image, Depth.SAMPLED).offset == 30 * MIB + BLOCK - 1
    assert find(image, Depth.SIGNATURES) is None
    assert evidence(image, Depth.FULL).offset == 30 * MIB + BLOCK - 1


def test_evidence_names_a_known_format_and_shows_bytes(image: Disk) -> None:
    poke(image.path, 4242, b"\x07secret")
    assert evidence(image).found.startswith("data: 07 73 65 63")
    poke(image.path, 4242, bytes(7))
    poke(image.path, 64 * 1024 + 0x40, b"_BHRfS_M")
    found = evidence(image)
    assert found.offset == 64 * 1024 + 0x40
    assert found.found == "btrfs superblock: 5f 42 48 52 66 53 5f 4d 00 00 00 00 00 00 00 00 |_BHRfS_M........|"


def test_each_of_several_disks_has_its_own_evidence(tmp_path: Path) -> None:
    disks = [image_disk(sparse(tmp_path / name, 8 * MIB + index * MIB)) for index, name in enumerate("abc")]
    poke(disks[1].path, 5 * MIB, b"x")
    readers = [medium.Reader(of) for of in disks]
    found = scan.find_used(readers, Depth.FULL)
    for reader in readers:
        reader.__exit__()
    assert list(found) == [of.path for of in disks]
    assert [evidence and evidence.offset for evidence in found.values()] == [None, 5 * MIB, None]


def test_disks_are_read_in_parallel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each disk waits, at its first read, until every other disk is read as well."""
    disks = [image_disk(sparse(tmp_path / name, 16 * MIB)) for name in "abc"]
    together = threading.Barrier(len(disks))
    original, first = medium.Reader.view, set()

    def view(self: medium.Reader, *words: Any) -> memoryview:
        if self.disk.path not in first:
            first.add(self.disk.path)
            together.wait(60)
        return original(self, *words)

    monkeypatch.setattr(medium.Reader, "view", view)
    assert set(scan.find_used([medium.Reader(of) for of in disks], Depth.FULL).values()) == {None}


@pytest.mark.parametrize("rate", [0, 7200])
def test_the_first_used_byte_is_found_with_any_number_of_threads(tmp_path: Path, rate: int) -> None:
    of = evolve(image_disk(sparse(tmp_path / "image", 64 * MIB)), rotation_rate=rate)
    for at in range(63 * MIB, 7 * MIB, -MIB):
        poke(of.path, at, b"x")
    assert evidence(of, Depth.FULL).offset == 8 * MIB


@pytest.mark.parametrize("read", [1, 2, 50, 500])
def test_a_signal_ends_a_full_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: int) -> None:
    """All threads have ended when the exception leaves the scan."""
    of = image_disk(sparse(tmp_path / "image", 4096 * GIB))
    original, reads, before = medium.Reader.view, [], threading.active_count()

    def view(self: medium.Reader, *words: Any) -> memoryview:
        reads.append(words)
        if len(reads) == read:
            signal.raise_signal(signal.SIGTERM)
        return original(self, *words)

    monkeypatch.setattr(medium.Reader, "view", view)
    with pytest.raises(InterruptedRunError), signals.caught():
        find(of, Depth.FULL)
    assert threading.active_count() == before
    assert len(reads) < 4 << 20


def test_a_thread_that_cannot_be_started_is_an_error(image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(ToolError, match="no thread can be started"):
        find(image, Depth.FULL)


def test_a_scan_of_no_disks_finds_nothing() -> None:
    assert scan.find_used([], Depth.FULL) == {}


# Read errors.


def test_a_short_read_is_evidence(image: Disk) -> None:
    os.truncate(image.path, 40 * MIB)
    found = evidence(image, Depth.FULL)
    assert (found.check, found.offset) == ("read", 40 * MIB)
    assert "0" in found.found
    assert "failing disk" in found.hint


def test_a_read_that_ends_within_a_region_is_evidence(image: Disk) -> None:
    os.truncate(image.path, 40 * MIB + 100)
    found = evidence(image, Depth.FULL)
    assert (found.check, found.offset, found.found) == ("read", 40 * MIB, "a read of 1048576 bytes returned only 100")


def test_an_io_error_is_evidence(image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.preadv

    def preadv(handle: int, rooms: Sequence[memoryview], offset: int) -> int:
        if offset >= 8 * MIB:
            raise OSError(5, "Input/output error")
        return original(handle, rooms, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    found = evidence(image, Depth.FULL)
    assert (found.check, found.offset, found.found) == ("read", 8 * MIB, "reading it failed: Input/output error")


def test_a_disk_that_cannot_be_opened_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(medium.UnreadableError) as caught:
        medium.Reader(disk(path=str(tmp_path / "gone")))
    assert caught.value.offset is None
    assert "No such file" in caught.value.reason
    assert scan.unreadable(caught.value).offset is None


def test_a_reader_reads_both_ends_and_closes_its_handle(image: Disk) -> None:
    poke(image.path, 0, b"head")
    poke(image.path, image.size_bytes - 4, b"tail")
    with medium.Reader(image) as reader:
        head, tail = reader.head_and_tail()
        assert (len(head), len(tail)) == (MIB, MIB)
        assert (head[:4], tail[-4:]) == (b"head", b"tail")
        assert not reader.blank_ends
        handle = reader.fd
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_a_reader_cannot_write(image: Disk) -> None:
    with medium.Reader(image) as reader, pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(reader.fd, b"x", 0)


def test_progress_of_a_full_scan_is_logged(
    image: Disk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 2)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    with caplog.at_level(logging.INFO, "zosstorage"):
        find(image, Depth.FULL)
    records = [vars(record) for record in caplog.records if record.message == "reading whole disks"]
    assert records
    last = [records[-1][key] for key in ("total_bytes", "read_bytes", "percent")]
    assert last == [64 * MIB, 64 * MIB, 100]


def test_bytes_are_shown_as_hex_and_ascii() -> None:
    assert scan.dump(b"A\0~\x7f\x1f ") == "41 00 7e 7f 1f 20 |A.~.. |"


def test_regions_of_a_smaller_disk_do_not_repeat() -> None:
    places = list(scan.regions(evolve(disk(), size_bytes=2 * MIB), Depth.SIGNATURES))
    assert len(places) == len(set(places))


# How much is read.


@pytest.mark.parametrize("depth", [Depth.SIGNATURES, Depth.SAMPLED])
def test_bytes_that_are_read_twice_count_once(depth: Depth) -> None:
    of = disk(size_bytes=5 * GIB)
    pieces = {at for offset, length in scan.regions(of, depth) for at in range(offset // 512, (offset + length) // 512)}
    assert scan.amount(of, depth) == 512 * len(pieces)


def test_a_full_scan_reads_the_whole_disk(image: Disk) -> None:
    assert scan.amount(image, Depth.FULL) == 64 * MIB
