"""What a sampled scan finds and what it misses on real disks, and that what it missed is still there afterwards."""

from __future__ import annotations

import itertools
import json
import mmap
import os
import random

import pytest
from disks import GIB

from zosstorage.block import medium, sample, sysfs

MIB = 1 << 20
PLANS = 20


def write(image, offset: int, data: bytes) -> None:
    """Below the device: its page cache does not see it."""
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_plans_of_a_disk_with_100_mib_of_data_refuse_every_time(machine):
    """Random bytes without any signature in the middle of a disk of 40 GiB that calls itself rotating."""
    one = machine(size=40 * GIB, validate={})  # as it is by default: sampled
    write(one.disks[0].image, 20 * GIB, os.urandom(100 * MIB))
    for _ in range(PLANS):
        done = one("plan")
        assert done.status == 5, done.stdout
        assert "data: " in done.stdout
        one.disks[0].pull()  # another diskseq, perhaps another node: the same disk
        one.disks[0].attach()


def test_plans_miss_what_the_chooser_of_places_misses_and_nothing_else(machine):
    """Disks of 20 sizes are 20 identities: each plan says what follows from the places of its disk."""
    one = machine(size=4 * GIB, validate={})
    (disk,) = one.disks
    chance = random.Random(7)  # noqa: S311 - repeatable is what it is for
    missed = []
    for number, fraction in zip(range(PLANS), itertools.cycle((0.0005, 0.0002, 0.0025, 0.01))):
        one.shutdown()
        disk.image.unlink()
        with disk.image.open("wb") as file:
            file.truncate(4 * GIB + number * 64 * MIB)
        length = int(fraction * disk.image.stat().st_size) // 512 * 512
        start = chance.randrange(64 * MIB, 3 * GIB) // 512 * 512
        write(disk.image, start, chance.randbytes(length))
        one.boot()
        places = sample.places(sysfs.read_disk(disk.device.removeprefix("/dev/")))
        seen = any(start < offset + size and offset < start + length for offset, size in places)
        missed += [] if seen else [fraction]
        done = one("plan", "--json")
        (shown,) = json.loads(done.stdout)["disks"]
        assert (done.status, shown["verdict"]["kind"]) == ((5, "foreign") if seen else (0, "blank")), (start, length)
    assert missed
    assert all(fraction * sample.PLACES < 2 for fraction in missed)


def test_the_verdict_says_how_much_was_read(machine):
    one = machine(size=10 * GIB)
    for depth, told in {"signatures": " MiB of 10 GiB, signatures", "sampled": " MiB of 10 GiB, sampled"}.items():
        one.settings["validate"] = {"scan": depth}
        assert told in one("plan").stdout
        assert told in json.loads(one("plan", "--json").stdout)["disks"][0]["verdict"]["read"]
        assert told in one("step", "--until", "validate").stderr
    one.settings["validate"] = {"scan": "full"}
    assert "10 GiB of 10 GiB, full" in one("plan").stdout


@pytest.mark.parametrize("discard", [False, True])
def test_what_the_scan_missed_is_still_there_unless_mkfs_was_told_to_discard(machine, discard):
    one = machine(size=4 * GIB, filesystems={"btrfs": {"discard": discard}}, validate={"scan": "signatures"})
    data, at = os.urandom(MIB), 3 * GIB + 321 * MIB
    write(one.disks[0].image, at, data)
    assert one("run").status == 0
    one.shutdown()
    with one.disks[0].image.open("rb") as file:
        file.seek(at)
        assert (file.read(MIB) == data) is not discard
    one.boot()


@pytest.mark.parametrize("ahead", [False, True])
def test_a_stale_page_that_a_program_has_mapped_is_not_believed(machine, ahead):
    """The page cache of the device says zero, and what is below it does not."""
    (disk,) = machine(size=GIB).disks
    seen = sysfs.read_disk(disk.device.removeprefix("/dev/"))
    handle = os.open(disk.device, os.O_RDONLY)
    with mmap.mmap(handle, 4096, prot=mmap.PROT_READ, offset=8 * MIB) as page:
        assert page[:4] == bytes(4)
        write(disk.image, 8 * MIB, b"used")
        assert page[:4] == bytes(4)  # else there is no stale page
        with medium.Reader(seen) as reader:
            if ahead:
                reader.read_ahead([(8 * MIB, 4096), (16 * MIB, 4096)])
            assert reader.at(8 * MIB, 4096)[:4] == b"used"
    os.close(handle)


def test_what_is_read_ahead_comes_from_the_medium(machine):
    (disk,) = machine(size=GIB).disks
    write(disk.image, 8 * MIB, b"used")
    with medium.Reader(sysfs.read_disk(disk.device.removeprefix("/dev/"))) as reader:
        reader.read_ahead([(8 * MIB, 4096), (9 * MIB, 4096), (10 * MIB, MIB)])
        assert reader.at(8 * MIB, 4096) == b"used" + bytes(4092)
        assert reader.at(9 * MIB, 4096) == bytes(4096)
        assert reader.at(10 * MIB, MIB) == bytes(MIB)
