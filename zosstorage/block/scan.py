"""Check that the bytes of a disk are zero, in the regions that a scan of the configured depth reads.

A full scan reads the disks in parallel, and several regions at once of a disk that does not rotate, with a limited
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

# The largest read in bytes, and the largest number of threads: 32 MiB of buffers in total.
_CHUNK, _THREADS = MIB, 32
# How many threads read one disk in a full scan, unless the disk certainly rotates.
_THREADS_PER_DISK = 4
# How long the main thread waits for a thread before it handles signals, in seconds.
_JOIN_SECONDS = 0.1


@frozen
class Finding:
    """The offset of the first byte that is not zero, in bytes, and up to 16 bytes from there."""

    offset: int
    data: bytes


def first_used(offset: int, data: bytes) -> Finding | None:
    """Find the first byte that is not zero in data that was read at `offset`."""
    at = len(data) - len(data.lstrip(b"\0"))
    return Finding(offset + at, data[at : at + 16]) if at < len(data) else None


def regions(disk: Disk, depth: Depth) -> Iterable[tuple[int, int]]:
    """The (offset, length) pairs in bytes that a scan of that depth reads of a disk, ascending."""
    if depth is Depth.FULL:
        return _pieces(0, disk.size_bytes)
    return sorted({*_known(disk.size_bytes), *(sample.places(disk) if depth is Depth.SAMPLED else ())})


@cache
def _known(size: int) -> tuple[tuple[int, int], ...]:
    """The regions at both ends and at the places of known superblocks."""
    places = ((region.offset, region.length) for region in locations.regions(size))
    return (*_pieces(0, MIB), *_pieces(size - MIB, MIB), *places)


def _pieces(start: int, length: int) -> Iterator[tuple[int, int]]:
    return ((at, min(_CHUNK, start + length - at)) for at in range(start, start + length, _CHUNK))


def amount(disk: Disk, depth: Depth) -> int:
    """How many bytes of a disk a scan of that depth reads; bytes that it reads twice count once."""
    if depth is Depth.FULL:
        return disk.size_bytes
    total = end = 0
    for offset, length in regions(disk, depth):
        total += max(0, offset + length - max(offset, end))
        end = max(end, offset + length)
    return total


def describe(disk: Disk, read_bytes: int, depth: Depth) -> str:
    """How much of a disk was read, as text: `16.5 MiB of 40 GiB, sampled`."""
    return f"{size(read_bytes)} of {size(disk.size_bytes)}, {depth}"


@define(eq=False)
class _DiskScan:
    """The scan of one disk, by one thread or several.

    Attributes:
        regions: the regions that were not read yet.
        found: offset of a region → evidence that the disk is used.
        read: the number of bytes that were read so far.
    """

    reader: Reader
    regions: Iterator[tuple[int, int]]
    found: dict[int, Evidence] = field(factory=dict)
    read: int = 0
    lock: threading.Lock = field(factory=threading.Lock)

    @property
    def threads(self) -> int:
        """How many threads read the disk at once."""
        return 1 if self.reader.disk.rotation_rate else _THREADS_PER_DISK

    def run(self, memory: mmap.mmap, stop: threading.Event) -> None:
        """Read region after region until none is left, something was found, or `stop` is set."""
        while not stop.is_set() and (region := self._next()):
            self._check(*region, memory)

    def _next(self) -> tuple[int, int] | None:
        """The next region; None once something was found, since regions before that place are already being read."""
        with self.lock:
            return None if self.found else next(self.regions, None)

    def _check(self, offset: int, length: int, memory: mmap.mmap) -> None:
        """Read a region and keep evidence that it is used; a failed read is evidence too."""
        disk = self.reader.disk
        try:
            seen = self.reader.view(offset, length, memory)
        except UnreadableError as error:
            self.found[offset] = unreadable(error)
            return
        self.read += length  # not locked: a lost update affects only the progress
        if not medium.is_zero(seen) and (finding := first_used(offset, bytes(seen))):
            self.found[offset] = used(disk, finding, locations.identify(offset, bytes(seen), disk.size_bytes))

    @property
    def evidence(self) -> Evidence | None:
        """The evidence at the lowest offset."""
        return self.found[min(self.found)] if self.found else None


def find_used(readers: Iterable[Reader], depth: Depth) -> dict[str, Evidence | None]:
    """Scan disks for a byte that is not zero: disk path → the evidence of the first one, or None.

    A region that cannot be read is evidence too. If a signal raises an exception, the scan ends when the reads in
    progress have ended.

    Raises:
        OSError: a thread cannot be started.
    """
    scans = [_DiskScan(reader, iter(_unread(reader, depth))) for reader in readers]
    (_scan_by_threads if depth is Depth.FULL else _scan_by_read_ahead)(scans)
    return {scan.reader.disk.path: scan.evidence for scan in scans}


def _unread(reader: Reader, depth: Depth) -> Iterable[tuple[int, int]]:
    """The regions of a scan, without both ends if the reader has already read them as zeros."""
    ends = {piece for end in reader.ends for piece in _pieces(*end)} if reader.blank_ends else set()
    return (region for region in regions(reader.disk, depth) if region not in ends)


def _scan_by_read_ahead(scans: Sequence[_DiskScan]) -> None:
    """Start the read-ahead of all disks, then read them one by one: threads take longer than such small reads."""
    memory, never = medium.buffer(_CHUNK), threading.Event()
    for scan in scans:
        places = list(scan.regions)
        scan.reader.read_ahead(places)
        scan.regions = iter(places)
    for scan in scans:
        scan.run(memory, never)


def _scan_by_threads(scans: Sequence[_DiskScan]) -> None:
    """Scan disks by threads and wait for all threads; every disk gets its first thread before any gets a second."""
    progress = _Progress(scans)
    jobs = iter([scan for number in range(_THREADS_PER_DISK) for scan in scans if number < scan.threads])
    stop, lock = threading.Event(), threading.Lock()
    errors: list[Exception] = []

    def work() -> None:
        memory = medium.buffer(_CHUNK)
        try:
            while scan := _next(jobs, lock):
                scan.run(memory, stop)
        except Exception as error:  # noqa: BLE001 - raised again in the thread of the caller
            errors.append(error)

    workers: list[threading.Thread] = []
    try:
        with signals.deferred():  # so that every thread that was started is in `workers`
            workers.extend(threads.start(work) for _ in range(min(sum(scan.threads for scan in scans), _THREADS)))
        for worker in workers:
            while not _has_ended(worker):
                progress.log()
            progress.log()
    finally:
        stop.set()
        with signals.deferred():  # so that no thread outlives this call
            for worker in workers:
                worker.join()
    if errors:
        raise errors[0]


def _has_ended(worker: threading.Thread) -> bool:
    """Wait a short time for a thread to end; signals are deferred meanwhile.

    If a signal handler raised an exception inside `join`, CPython 3.11 would treat a running thread as ended.
    """
    with signals.deferred():
        worker.join(_JOIN_SECONDS)
        return not worker.is_alive()


def _next(jobs: Iterator[_DiskScan], lock: threading.Lock) -> _DiskScan | None:
    with lock:
        return next(jobs, None)


def used(disk: Disk, finding: Finding, name: str | None) -> Evidence:
    """Evidence for a byte that is not zero."""
    what = f"{name}: " if name else "data: "
    return Evidence("bytes", finding.offset, what + dump(finding.data), erase_hint(disk.path))


def unreadable(error: UnreadableError) -> Evidence:
    """Evidence for a disk that cannot be opened, or a byte of it that cannot be read."""
    hint = "look for I/O errors in the kernel's log; a failing disk is never written"
    return Evidence("read", error.offset, error.reason, hint)


def erase_hint(path: str) -> str:
    """The hint for a disk that is not blank."""
    return f"if nothing on {path} is needed, erase it by hand (wipefs -a, then blkdiscard or dd of zeros)"


def dump(data: bytes) -> str:
    """Bytes as hex and ASCII."""
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)  # noqa: PLR2004 - printable ASCII
    return f"{data.hex(' ')} |{text}|"


class _Progress:
    """Log the progress of a full scan once per second."""

    def __init__(self, scans: Sequence[_DiskScan]) -> None:
        self.scans = scans
        self.total = sum(scan.reader.disk.size_bytes for scan in scans)
        self.next = time.monotonic() + 1

    def log(self) -> None:
        """Log how much was read, at most once per second."""
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + 1
            done = sum(scan.read for scan in self.scans)
            log.info(
                "reading whole disks",
                extra={
                    "event": "scan.progress",
                    "read_bytes": done,
                    "total_bytes": self.total,
                    "percent": 100 * done // self.total,
                },
            )
