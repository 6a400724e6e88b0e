"""The reads of devices that are in progress in a reading process, in memory that it shares with the program.

So the program sees which device does not answer, although the process itself waits in the kernel.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator

# A read in progress, in memory that both processes share: when a byte last arrived, in seconds of the monotonic clock,
# or 0 if no read is in progress, and the path of the device.
_SLOT = struct.Struct("=d120s")
_SLOTS = 1024


@define
class _Device:
    """The reads in progress of one device.

    Attributes:
        slot: the number of its slot in the shared memory.
        count: how many threads read it.
    """

    slot: int
    count: int = 0


@define(eq=False)
class Progress:
    """The reads in progress of a reading process.

    Attributes:
        memory: the shared memory.
        parent: the process that waits for the results.
    """

    memory: mmap.mmap = field(factory=lambda: mmap.mmap(-1, _SLOTS * _SLOT.size))
    parent: int = field(factory=os.getpid)
    devices: dict[str, _Device] = field(factory=dict)
    lock: threading.Lock = field(factory=threading.Lock)

    def waiting(self, seconds: float) -> list[str]:
        """The devices from which no byte has arrived for more than `seconds` although they are being read."""
        oldest = time.monotonic() - seconds
        return [
            os.fsdecode(path.rstrip(b"\0")) for since, path in _SLOT.iter_unpack(self.memory[:]) if 0 < since < oldest
        ]

    def begin(self, path: str) -> None:
        """Mark that a thread starts to read a device."""
        with self.lock:
            device = self.devices.setdefault(path, _Device(min(len(self.devices), _SLOTS - 1)))
            device.count += 1
            if device.count == 1:
                self._write(device, path)

    def end(self, path: str) -> None:
        """Mark that a thread has read from a device."""
        with self.lock:
            device = self.devices[path]
            device.count -= 1
            if device.count:
                self._write(device, path)
            else:
                _SLOT.pack_into(self.memory, device.slot * _SLOT.size, 0.0, b"")

    def _write(self, device: _Device, path: str) -> None:
        _SLOT.pack_into(self.memory, device.slot * _SLOT.size, time.monotonic(), os.fsencode(path))


@define
class _Current:
    """What this process is: a reading process, if `progress` is set."""

    progress: Progress | None = None


_current = _Current()


def is_reading_process() -> bool:
    """Whether this process is one that only reads devices."""
    return _current.progress is not None


def become_reading_process(progress: Progress) -> None:
    """Make this process, which was just forked, one that only reads devices."""
    _current.progress = progress


@contextmanager
def of(path: str) -> Iterator[None]:
    """Mark the block as one read of a device. In a reading process, the read has a time limit."""
    progress = _current.progress
    if progress is None:
        yield
        return
    if os.getppid() != progress.parent:  # it was killed, and nobody waits for the result
        os._exit(1)
    progress.begin(path)
    try:
        yield
    finally:
        progress.end(path)
