"""Which places a sampled scan reads, and whether it misses data with the documented probability."""

import random
from typing import Any

import pytest
from attrs import evolve
from support import GIB, MIB, disk

from zosstorage.block import sample
from zosstorage.model import Disk

HDD: dict[str, Any] = {"rotational": True, "rotation_rate": 7200}
IDENTITIES = 1000


def numbered_disk(number: int, **more: Any) -> Disk:
    return disk(serial=f"S{number:05d}", model="MODEL", wwn=f"naa.{number * 7919:016x}", size_bytes=40 * GIB, **more)


@pytest.mark.parametrize(
    ("of", "count"),
    [
        (disk(rotational=False), 2048),
        (disk(rotational=True), 2048),  # a virtio disk or a USB stick, of which the kernel knows nothing
        (disk(rotational=False, rotation_rate=7200), 2048),  # an SSD by the kernel, whatever it reports
        (disk(**HDD), 512),
    ],
)
@pytest.mark.parametrize("size", [64 * MIB, 10 * GIB, 4096 * GIB + 512])
def test_one_place_in_every_stratum(of: Disk, count: int, size: int) -> None:
    places = sample.places(evolve(of, size_bytes=size))
    assert len(places) == sample.count(of) == count
    assert places == sorted(places)
    stratum = size / count
    for number, (offset, length) in enumerate(places):
        assert (length, offset % sample.BLOCK) == (sample.BLOCK, 0)
        assert number * stratum - sample.BLOCK < offset < (number + 1) * stratum
        assert offset + length <= size


def test_places_do_not_depend_on_the_boot() -> None:
    """Name, node, number, diskseq and links change from boot to boot."""
    of = numbered_disk(1)
    later = evolve(of, path="/dev/sdz", name="sdz", number="65:144", diskseq=99, links=("/dev/disk/by-id/x",))
    assert sample.places(of) == sample.places(later)


@pytest.mark.parametrize(
    "change", [{"serial": "T"}, {"wwn": "naa.1"}, {"model": "OTHER"}, {"size_bytes": 40 * GIB + MIB}]
)
def test_another_disk_has_other_places(change: dict[str, Any]) -> None:
    """Otherwise data could lie between the places on every disk."""
    pairs = zip(sample.places(numbered_disk(1)), sample.places(evolve(numbered_disk(1), **change)), strict=True)
    assert sum(one != other for one, other in pairs) > 2000


def test_parts_of_the_identity_are_separated() -> None:
    one, other = (disk(wwn=wwn, serial=serial, model="") for wwn, serial in (("ab", "c"), ("a", "bc")))
    assert sample.places(one) != sample.places(other)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [({"rotational": False}, 2048), (HDD, 512)])
@pytest.mark.parametrize("fraction", [0.0005, 0.0025, 0.01])
def test_the_probability_of_missing_spread_data_is_as_documented(
    kind: dict[str, Any], count: int, fraction: float
) -> None:
    """Measured on many disks, with data in single blocks that are spread at random."""
    chance = (1 - fraction) ** count
    missed = sum(
        not _finds_spread_data(numbered_disk(number, **kind), fraction, number) for number in range(IDENTITIES)
    )
    assert abs(missed - IDENTITIES * chance) <= 4 * (IDENTITIES * chance * (1 - chance)) ** 0.5 + 0.5


def _finds_spread_data(of: Disk, fraction: float, seed: int) -> bool:
    """Whether the sample finds data if each block of the disk is used with a probability of `fraction`."""
    chance = random.Random(seed)  # noqa: S311 - repeatable is what it is for
    return any(chance.random() < fraction for _ in sample.places(of))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [({"rotational": False}, 2048), (HDD, 512)])
@pytest.mark.parametrize("fraction", [0.0001, 0.0005, 0.0025, 0.01])
def test_the_probability_of_missing_contiguous_data_is_as_documented(
    kind: dict[str, Any], count: int, fraction: float
) -> None:
    """At most as high as for spread data, and zero for an area as long as two strata."""
    missed = sum(
        not _finds_contiguous_data(numbered_disk(number, **kind), fraction, number) for number in range(IDENTITIES)
    )
    chance = (1 - fraction) ** count
    assert missed <= IDENTITIES * chance + 4 * (IDENTITIES * chance * (1 - chance)) ** 0.5
    if fraction * count >= 2:
        assert missed == 0


def _finds_contiguous_data(of: Disk, fraction: float, seed: int) -> bool:
    length = int(fraction * of.size_bytes)
    start = random.Random(seed).randrange(of.size_bytes - length)  # noqa: S311 - repeatable is what it is for
    return any(start < offset + size and offset < start + length for offset, size in sample.places(of))
