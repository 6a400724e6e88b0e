"""Whether the bytes of a disk are all zero, in the regions that a scan reads.

For a full scan, disks are read side by side, and a disk that does not rotate at several places at once, by a bounded
number of threads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from zosstorage.block import locations, medium, sample
from zosstorage.block.gpt import MIB
from zosstorage.block.medium import Reader, UnreadableError
from zosstorage.model import Depth, Disk, Evidence
from zosstorage.system import signals, threads
from zosstorage.text import size

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable, Sequence

log = logging.getLogger(__name__)

# The largest read, in bytes, and how many threads read at most: 32 MiB of buffers in all.
_CHUNK, _THREADS = MIB, 32
# How many reads of a full scan of one disk are under way at once, unless it surely rotates.
_LANES = 4
# How long a signal waits for the next look at it, in seconds.
_MOMENT = 0.1


@frozen
class Finding:
    """The first byte of a region that is not zero, and up to 16 bytes from there."""

    offset: int
    data: bytes


def first_used(offset: int, data: bytes) -> Finding | None:
    """The first byte that is not zero in what was read at `offset`, in bytes."""
    at = len(data) - len(data.lstrip(b"\0"))
    return Finding(offset + at, data[at : at + 16]) if at < len(data) else None


def regions(disk: Disk, depth: Depth) -> Iterable[tuple[int, int]]:
    """The (offset, length) pairs in bytes that a scan of that depth reads of a disk, ascending."""
    if depth is Depth.FULL:
        return _pieces(0, disk.size_bytes)
    return sorted({*_known(disk.size_bytes), *(sample.places(disk) if depth is Depth.SAMPLED else ())})


@cache
def _known(size: int) -> tuple[tuple[int, int], ...]:
    """Both ends, and where known formats keep superblocks."""
    places = ((region.offset, region.length) for region in locations.regions(size))
    return (*_pieces(0, MIB), *_pieces(size - MIB, MIB), *places)


def _pieces(start: int, length: int) -> Iterator[tuple[int, int]]:
    return ((at, min(_CHUNK, start + length - at)) for at in range(start, start + length, _CHUNK))


def amount(disk: Disk, depth: Depth) -> int:
    """How many bytes of a disk a scan of that depth reads; those that it reads twice count once."""
    if depth is Depth.FULL:
        return disk.size_bytes
    total = end = 0
    for offset, length in regions(disk, depth):
        total += max(0, offset + length - max(offset, end))
        end = max(end, offset + length)
    return total


def told(disk: Disk, read_bytes: int, depth: Depth) -> str:
    """How much of a disk was read, in words: `16.5 MiB of 40 GiB, sampled`."""
    return f"{size(read_bytes)} of {size(disk.size_bytes)}, {depth}"


@define(eq=False)
class _Walk:
    """The regions of one disk that are still to be read, by one thread or several, and what they found.

    Attributes:
        found: by the offset of the region, the evidence that the disk is used.
        read: how many bytes were read so far.
    """

    reader: Reader
    regions: Iterator[tuple[int, int]]
    found: dict[int, Evidence] = field(factory=dict)
    read: int = 0
    lock: threading.Lock = field(factory=threading.Lock)

    @property
    def lanes(self) -> int:
        """How many threads may read the disk at once."""
        return 1 if self.reader.disk.rotation_rate else _LANES

    def go(self, room: mmap.mmap, stop: threading.Event) -> None:
        """Read one region after the other, until there are no more or something was found."""
        while not stop.is_set() and (region := self._next()):
            self._look(*region, room)

    def _next(self) -> tuple[int, int] | None:
        """The next region; none once something was found: whatever lies before that is being read already."""
        with self.lock:
            return None if self.found else next(self.regions, None)

    def _look(self, offset: int, length: int, room: mmap.mmap) -> None:
        """Read a region; a failure to read is evidence too."""
        disk = self.reader.disk
        try:
            seen = self.reader.view(offset, length, room)
        except UnreadableError as error:
            self.found[offset] = unreadable(error)
            return
        self.read += length  # a lost update by another thread shows in the progress alone
        if not medium.is_zero(seen) and (finding := first_used(offset, bytes(seen))):
            self.found[offset] = used(disk, finding, locations.identify(offset, bytes(seen), disk.size_bytes))

    @property
    def evidence(self) -> Evidence | None:
        """What was found first on the disk."""
        return self.found[min(self.found)] if self.found else None


def find_used(readers: Iterable[Reader], depth: Depth) -> dict[str, Evidence | None]:
    """Look for a used byte in the regions of every disk: disk path → the evidence of the first one, or None.

    A region that cannot be read is evidence too. An exception that a signal raises ends the scan as soon as the reads
    that are under way have ended.

    Raises:
        OSError: a thread cannot be started.
    """
    walks = [_Walk(reader, iter(_unread(reader, depth))) for reader in readers]
    (_read_all if depth is Depth.FULL else _read_some)(walks)
    return {walk.reader.disk.path: walk.evidence for walk in walks}


def _unread(reader: Reader, depth: Depth) -> Iterable[tuple[int, int]]:
    """The regions without both ends, where the reader has seen those before."""
    ends = {piece for end in reader.ends for piece in _pieces(*end)} if reader.blank_ends else set()
    return (region for region in regions(reader.disk, depth) if region not in ends)


def _read_some(walks: Sequence[_Walk]) -> None:
    """Have all disks read ahead, and then look: threads would cost more than these small reads."""
    room, never = medium.buffer(_CHUNK), threading.Event()
    for walk in walks:
        places = list(walk.regions)
        walk.reader.read_ahead(places)
        walk.regions = iter(places)
    for walk in walks:
        walk.go(room, never)


def _read_all(walks: Sequence[_Walk]) -> None:
    """Give each disk a thread, then those that several may read further ones, and wait for all of them."""
    progress = _Progress(walks)
    lanes = iter([walk for number in range(_LANES) for walk in walks if number < walk.lanes])
    stop, lock = threading.Event(), threading.Lock()
    errors: list[Exception] = []

    def work() -> None:
        room = medium.buffer(_CHUNK)
        try:
            while walk := _next(lanes, lock):
                walk.go(room, stop)
        except Exception as error:  # noqa: BLE001 - raised again in the thread of the caller
            errors.append(error)

    workers: list[threading.Thread] = []
    try:
        with signals.deferred():  # each that was started is waited for
            workers.extend(threads.started(work) for _ in range(min(sum(walk.lanes for walk in walks), _THREADS)))
        for worker in workers:
            while not _has_ended(worker):
                progress.tell()
            progress.tell()
    finally:
        stop.set()
        with signals.deferred():  # until each has ended
            for worker in workers:
                worker.join()
    if errors:
        raise errors[0]


def _has_ended(worker: threading.Thread) -> bool:
    """Wait a moment for the end of a thread; a signal waits as long.

    An exception out of `join` would let CPython 3.11 take a live thread for one that has ended.
    """
    with signals.deferred():
        worker.join(_MOMENT)
        return not worker.is_alive()


def _next(lanes: Iterator[_Walk], lock: threading.Lock) -> _Walk | None:
    with lock:
        return next(lanes, None)


def used(disk: Disk, finding: Finding, name: str | None) -> Evidence:
    """The evidence that a byte is in use."""
    what = f"{name}: " if name else "data: "
    return Evidence("bytes", finding.offset, what + dump(finding.data), erase_hint(disk.path))


def unreadable(error: UnreadableError) -> Evidence:
    """The evidence that a disk, or a byte of it, cannot be read."""
    hint = "look for I/O errors in the kernel's log; a failing disk is never written"
    return Evidence("read", error.offset, error.reason, hint)


def erase_hint(path: str) -> str:
    """What an operator can do about a disk that is not blank."""
    return f"if nothing on {path} is needed, erase it by hand (wipefs -a, then blkdiscard or dd of zeros)"


def dump(data: bytes) -> str:
    """Bytes as hex and ASCII."""
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)  # noqa: PLR2004 - printable ASCII
    return f"{data.hex(' ')} |{text}|"


class _Progress:
    """A log line a second while whole disks are read."""

    def __init__(self, walks: Sequence[_Walk]) -> None:
        self.walks = walks
        self.total = sum(walk.reader.disk.size_bytes for walk in walks)
        self.next = time.monotonic() + 1

    def tell(self) -> None:
        """Log how much was read, unless that was done within the last second."""
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + 1
            done = sum(walk.read for walk in self.walks)
            log.info(
                "reading whole disks",
                extra={"read_bytes": done, "total_bytes": self.total, "percent": 100 * done // self.total},
            )
