"""A disk of zeros with one other byte is not blank, wherever the scan reads."""

import itertools
import random

import pytest
from support import GIB, MIB, examine, image_disk, poke, sparse

from zosstorage.block import emptiness, medium, probe, sample, scan
from zosstorage.model import Depth, Kind

pytestmark = pytest.mark.slow

BLOCK = sample.BLOCK
# One on which every known format has room for all its copies, and one that is no round number of anything.
SIZES = {"2TiB": 2048 * GIB, "odd": 12 * GIB + 77 * 512}


@pytest.fixture(scope="module", params=list(SIZES.values()), ids=list(SIZES))
def big(request, tmp_path_factory):
    return image_disk(sparse(tmp_path_factory.mktemp("mutation") / "image", request.param))


@pytest.fixture
def probers_without_findings(monkeypatch):
    """Probers that see nothing, as those of a machine do for a byte that is no signature."""

    class Silent(probe.Probers):
        def look(self):
            pass

        def finish(self):
            return {of.path: [] for of in self.disks}

    monkeypatch.setattr(probe, "Probers", Silent)


def each_set(of, places):
    """Each of the bytes in turn set to one of its other 255 values."""
    for at in places:
        poke(of.path, at, bytes([random.randrange(1, 256)]))  # noqa: S311
        yield at
        poke(of.path, at, b"\0")


def three_bytes_of_each(regions):
    """Of every piece the first byte, the last one, and one between."""
    return sorted({at for begin, size in regions for at in (begin, begin + size - 1, begin + random.randrange(size))})  # noqa: S311


def one_byte_of_each(regions):
    """Of one piece the first byte, of the next the last one, of the next one between."""
    kinds = itertools.cycle((lambda _: 0, lambda size: size - 1, random.randrange))
    return [begin + kind(size) for (begin, size), kind in zip(regions, kinds, strict=False)]


def test_a_byte_at_every_known_place_is_found(big):
    regions = scan.regions(big, Depth.SIGNATURES)
    assert len(regions) > 150
    places = three_bytes_of_each(regions) if len(regions) > 300 else one_byte_of_each(regions)
    with medium.Reader(big) as reader:
        assert scan.find_used([reader], Depth.SIGNATURES)[big.path] is None
        for at in each_set(big, places):
            found = scan.find_used([reader], Depth.SIGNATURES)[big.path]
            assert found is not None, at
            assert (found.check, found.offset) == ("bytes", at)


def test_a_byte_in_a_block_of_the_sample_is_found(big):
    """A random sixteenth of the blocks, spread over the whole disk: all are read by the same lines."""
    regions = sample.places(big)
    assert set(regions) <= set(scan.regions(big, Depth.SAMPLED))
    regions = regions[random.randrange(16) :: 16]  # noqa: S311
    with medium.Reader(big) as reader:
        assert scan.find_used([reader], Depth.SAMPLED)[big.path] is None
        for at in each_set(big, one_byte_of_each(regions)):
            found = scan.find_used([reader], Depth.SAMPLED)[big.path]
            assert found is not None, at
            assert (found.check, found.offset) == ("bytes", at)


def test_a_byte_in_any_region_makes_the_disk_foreign(big, probers_without_findings):
    """The whole examination, over every fortieth piece that it reads, and the last look before the first write."""
    regions = scan.regions(big, Depth.SAMPLED)
    known = [range(begin, begin + size) for begin, size in scan.regions(big, Depth.SIGNATURES)]
    assert examine(big)[0].kind is Kind.BLANK
    assert emptiness.no_longer_blank([big]) == {}
    for at in each_set(big, one_byte_of_each([regions[0], *regions[3:-1:40], regions[-1]])):
        (verdict,) = examine(big)
        assert verdict.kind is Kind.FOREIGN, at
        assert [(found.check, found.offset) for found in verdict.evidence] == [("bytes", at)]
        assert bool(emptiness.no_longer_blank([big])) == any(at in piece for piece in known)


@pytest.mark.parametrize("value", [0x01, 0x80, 0xFF])
def test_every_byte_of_a_block_is_found(value):
    for at in range(BLOCK):
        data = bytearray(BLOCK)
        data[at] = value
        assert scan.first_used(MIB, bytes(data)) == scan.Finding(MIB + at, bytes(data[at : at + 16]))


@pytest.mark.parametrize("length", [MIB, scan._CHUNK])
def test_a_byte_of_a_longer_region_is_found(length):
    edges = [edge + near for edge in range(0, length + 1, length // 16) for near in (-1, 0, 1)]
    for at in [*edges[1:-2], length - 1, *range(5, length, length // 19)]:
        data = bytearray(length)
        data[at] = 1
        assert scan.first_used(0, bytes(data)).offset == at
