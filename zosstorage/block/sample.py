"""Which places of a disk a sampled scan reads: pure."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zosstorage.model import Disk

# The size of a place in bytes.
BLOCK = 4096
# How many places are read. A used fraction f of a disk, spread at random, goes unseen with a chance of (1 - f)^n:
# 2048 places, 0.05 % used: 36 %; 0.25 %: 0.6 %; 1 %: 1e-9. 512 places: 77 %, 28 %, 0.6 %. A rotating disk pays 5 to
# 10 ms for each place, so 512 of them cost it 3 to 5 s; any other at most 0.1 ms.
PLACES, PLACES_ROTATING = 2048, 512


def count(disk: Disk) -> int:
    """How many places of a disk are read: fewer only of one that surely rotates.

    The kernel calls a disk rotating also if it knows nothing of it: every virtio disk, most USB sticks. A disk that
    tells its number of revolutions does rotate.
    """
    return PLACES_ROTATING if disk.rotational and disk.rotation_rate else PLACES


def places(disk: Disk) -> list[tuple[int, int]]:
    """The (offset, length) pairs in bytes, ascending: one block at some place in each of `count` even strata.

    The place in its stratum follows from what names the disk and from nothing else (not from the boot, the node or
    `diskseq`): the same disk has the same places every time, and no two have a grid in common that data could lie
    between. What is used in one piece is found for sure if the piece is as long as two strata: it covers one whole.
    """
    number = count(disk)
    stratum = disk.size_bytes / number
    fractions = struct.unpack(f"<{number}Q", hashlib.shake_256(_name(disk)).digest(8 * number))
    starts = (int(stratum * (index + fraction / 2**64)) for index, fraction in enumerate(fractions))
    return [(min(start, disk.size_bytes - BLOCK) // BLOCK * BLOCK, BLOCK) for start in starts]


def _name(disk: Disk) -> bytes:
    """What names a disk for good, so that no two different ones are written alike."""
    return json.dumps([disk.wwn, disk.serial, disk.model, disk.size_bytes]).encode("ascii")
