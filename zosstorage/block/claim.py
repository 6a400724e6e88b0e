"""Check the identity of a disk, and hold it exclusively while it is written."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.block import sysfs
from zosstorage.errors import NotEmptyError, UnreadableFilesystemError
from zosstorage.system import lock, pending, threads
from zosstorage.system.files import open_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from zosstorage.model import Disk


# How long to wait, in seconds: for another program that claims the disk to examine it, and for udev, which takes a
# shared lock to examine a disk after every change (systemd.io, "Locking Block Device Access").
_CLAIM_SECONDS, _LOCK_SECONDS = 0.2, 10.0
_PAUSE = 0.01
_NODE_HINT = "mount a devtmpfs on /dev, or let mdev or udev manage its nodes, and run again"


def check(disk: Disk) -> None:
    """Compare the identity of a disk (number, serial, WWN, sizes, diskseq) with the one in the plan.

    Raises:
        NotEmptyError: the name belongs to another disk, or to none; or the node is another device.
    """
    try:
        now = sysfs.read_disk(disk.name)
    except OSError:
        raise NotEmptyError(
            f"{disk.path} disappeared after it was examined", hint="run again with the disks as they are"
        ) from None
    names = ("device number", "serial", "WWN", "size", "sector size", "diskseq")
    for name, examined, current in zip(names, disk.identity, now.identity, strict=True):
        if examined != current:
            raise NotEmptyError(
                f"{disk.path} is not the disk that was examined: its {name} was {examined!r} and is {current!r}",
                hint="run again with the disks as they are",
            )
    check_node(disk.path, disk.number)


def check_node(node: str, number: str) -> None:
    """Check that a node is the block device `major:minor`, the one that sysfs has under this name.

    A static /dev can keep the node of a removed device, and the kernel gives the number to another device.

    Raises:
        NotEmptyError: the node is missing, or it is something else.
    """
    try:
        found = Path(node).stat()
    except OSError as error:
        raise NotEmptyError(f"{node} cannot be examined: {error.strerror}", hint=_NODE_HINT) from None
    if not is_device(found, number):
        raise NotEmptyError(f"{node} is not the block device {number} of that name in sysfs", hint=_NODE_HINT)


def is_device(found: os.stat_result, number: str) -> bool:
    """Whether a stat result is that of the block device `major:minor`."""
    found_number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    return stat.S_ISBLK(found.st_mode) and found_number == number


def flush(disks: Sequence[Disk]) -> None:
    """Write the page cache of some disks and their partitions to the medium, as the kernel counts only such writes.

    Raises:
        ToolError: a disk does not answer in time.
        OSError: a disk cannot be written.
    """
    parts = [part.device for disk in disks for part in sysfs.partitions(disk).values()]
    threads.flush([*(disk.path for disk in disks), *parts])


def claim(path: str) -> int:
    """Open a disk or a partition exclusively (O_EXCL) for reading; the caller closes the descriptor.

    A program that examines disks, such as `zosstorage plan`, claims each for a moment, so a busy disk is tried again.

    Raises:
        OSError: EBUSY if something else has claimed the disk or a partition of it.
    """
    end = time.monotonic() + _CLAIM_SECONDS
    while True:
        try:
            return open_device(path, os.O_RDONLY | os.O_EXCL)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > end:
                raise
            time.sleep(_PAUSE)


@contextmanager
def claimed(device: str) -> Iterator[Callable[[int, int], bytes]]:
    """Claim a device and yield a function that reads (offset, length) in bytes from its medium.

    While the device is claimed, it cannot be mounted, and a mkfs that opens its device exclusively fails. The function
    raises UnreadableFilesystemError if a read fails.

    Raises:
        NotEmptyError: the device is in use, or it cannot be opened.
    """
    try:
        handle = claim(device)
    except OSError as error:
        raise _unclaimed(device, error) from error
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        yield partial(_read, device, handle)
    finally:
        os.close(handle)


def _unclaimed(path: str, error: OSError) -> NotEmptyError:
    hint = f"something uses it now: see fuser -v {path}"
    return NotEmptyError(f"{path} cannot be claimed: {error.strerror}", hint=hint)


def _read(device: str, handle: int, offset: int, length: int) -> bytes:
    try:
        with pending.of(device):
            data = os.pread(handle, length, offset)
    except OSError as error:
        raise UnreadableFilesystemError(f"reading it failed: {error.strerror}") from error
    if len(data) != length:
        raise UnreadableFilesystemError(f"a read of {length} bytes returned only {len(data)}")
    return data


@contextmanager
def locked(disk: Disk, *, exclusive: bool) -> Iterator[None]:
    """Hold the BSD lock of a whole disk, which keeps udev away, and, if `exclusive`, claim the disk.

    Tools that write inherit both, so a tool that outlives this process keeps other programs away until it exits. The
    claim (O_EXCL) fails if anything uses the disk or a partition of it. While it is held, nothing else can mount or
    claim the disk or a partition, and a mkfs that opens a partition exclusively fails.

    Raises:
        NotEmptyError: the disk is in use.
    """
    try:
        handle = claim(disk.path) if exclusive else open_device(disk.path, os.O_RDONLY)
    except OSError as error:
        raise _unclaimed(disk.path, error) from error
    try:
        _lock(handle, disk)
        with lock.passed_on(handle):
            yield
    finally:
        os.close(handle)


def _lock(handle: int, disk: Disk) -> None:
    try:
        lock.take(handle, _LOCK_SECONDS)
    except BlockingIOError as error:
        who, _ = lock.holders(handle)
        raise NotEmptyError(
            f"another program holds the lock of {disk.path}: {who}", hint=f"see fuser -v {disk.path}"
        ) from error
