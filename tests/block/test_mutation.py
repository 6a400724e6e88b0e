"""A disk with a single byte that is not zero is not blank, at any place that the scan reads."""

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence

import pytest
from support import GIB, MIB, examine, image_disk, poke, sparse

from zosstorage.block import emptiness, medium, probe, sample, scan
from zosstorage.model import Depth, Disk, Evidence, Kind

pytestmark = pytest.mark.slow

BLOCK = sample.BLOCK
# A size on which every known format has all its copies, and one that is not a multiple of any large unit.
SIZES = {"2TiB": 2048 * GIB, "odd": 12 * GIB + 77 * 512}


@pytest.fixture(scope="module", params=list(SIZES.values()), ids=list(SIZES))
def big(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Disk:
    return image_disk(sparse(tmp_path_factory.mktemp("mutation") / "image", request.param))


@pytest.fixture
def probers_without_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probers that see nothing: a single byte is not a signature."""

    class Silent(probe.Probers):
        def start_all(self) -> None:
            pass

        def finish(self) -> dict[str, list[Evidence]]:
            return {of.path: [] for of in self.disks}

    monkeypatch.setattr(probe, "Probers", Silent)


def each_set(of: Disk, places: Iterable[int]) -> Iterator[int]:
    """Set each byte in turn to a random value that is not zero, and to zero again."""
    for at in places:
        poke(of.path, at, bytes([random.randrange(1, 256)]))  # noqa: S311
        yield at
        poke(of.path, at, b"\0")


def three_bytes_of_each(regions: Sequence[tuple[int, int]]) -> list[int]:
    """The first byte, the last byte and a random byte of each region."""
    return sorted({at for begin, size in regions for at in (begin, begin + size - 1, begin + random.randrange(size))})  # noqa: S311


def one_byte_of_each(regions: Sequence[tuple[int, int]]) -> list[int]:
    """One byte of each region: of one the first, of the next the last, of the next a random one."""
    kinds = itertools.cycle(range(3))
    return [
        begin + (0, size - 1, random.randrange(size))[kind]  # noqa: S311
        for (begin, size), kind in zip(regions, kinds, strict=False)
    ]


def test_a_byte_at_every_known_place_is_found(big: Disk) -> None:
    regions = list(scan.regions(big, Depth.SIGNATURES))
    assert len(regions) > 150
    places = three_bytes_of_each(regions) if len(regions) > 300 else one_byte_of_each(regions)
    with medium.Reader(big) as reader:
        assert scan.find_used([reader], Depth.SIGNATURES)[big.path] is None
        for at in each_set(big, places):
            found = scan.find_used([reader], Depth.SIGNATURES)[big.path]
            assert found is not None, at
            assert (found.check, found.offset) == ("bytes", at)


def test_a_byte_in_a_block_of_the_sample_is_found(big: Disk) -> None:
    """Every 16th block of the sample, from a random one on; the code is the same for all blocks."""
    regions = sample.places(big)
    assert set(regions) <= set(scan.regions(big, Depth.SAMPLED))
    regions = regions[random.randrange(16) :: 16]  # noqa: S311
    with medium.Reader(big) as reader:
        assert scan.find_used([reader], Depth.SAMPLED)[big.path] is None
        for at in each_set(big, one_byte_of_each(regions)):
            found = scan.find_used([reader], Depth.SAMPLED)[big.path]
            assert found is not None, at
            assert (found.check, found.offset) == ("bytes", at)


def test_a_byte_in_any_region_makes_the_disk_foreign(big: Disk, probers_without_findings: None) -> None:
    """The whole examination, for every 40th region, and the check right before the first write."""
    regions = list(scan.regions(big, Depth.SAMPLED))
    known = [range(begin, begin + size) for begin, size in scan.regions(big, Depth.SIGNATURES)]
    assert examine(big)[0].kind is Kind.BLANK
    assert emptiness.no_longer_blank([big]) == {}
    for at in each_set(big, one_byte_of_each([regions[0], *regions[3:-1:40], regions[-1]])):
        (verdict,) = examine(big)
        assert verdict.kind is Kind.FOREIGN, at
        assert [(found.check, found.offset) for found in verdict.evidence] == [("bytes", at)]
        assert bool(emptiness.no_longer_blank([big])) == any(at in piece for piece in known)


@pytest.mark.parametrize("value", [0x01, 0x80, 0xFF])
def test_every_byte_of_a_block_is_found(value: int) -> None:
    for at in range(BLOCK):
        data = bytearray(BLOCK)
        data[at] = value
        assert scan.first_used(MIB, bytes(data)) == scan.Finding(MIB + at, bytes(data[at : at + 16]))


@pytest.mark.parametrize("length", [MIB, scan._CHUNK])
def test_a_byte_of_a_longer_region_is_found(length: int) -> None:
    edges = [edge + near for edge in range(0, length + 1, length // 16) for near in (-1, 0, 1)]
    for at in [*edges[1:-2], length - 1, *range(5, length, length // 19)]:
        data = bytearray(length)
        data[at] = 1
        found = scan.first_used(0, bytes(data))
        assert found is not None
        assert found.offset == at
