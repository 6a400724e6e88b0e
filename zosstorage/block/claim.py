"""Is it still the same disk, and ours alone for the moment of writing?"""

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
from zosstorage.system import lock, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from zosstorage.model import Disk


# How long others are waited for who have a disk for a moment: another examiner's claim, and the shared lock under which
# udev looks at it after every change (systemd.io, "Locking Block Device Access").
_CLAIM_SECONDS, _LOCK_SECONDS = 0.2, 10.0
_PAUSE = 0.01
_NODE_HINT = "mount a devtmpfs on /dev, or have mdev or udev keep its nodes, and run again"


def check(disk: Disk) -> None:
    """Hold a disk's identity (number, serial, WWN, sizes, diskseq) against what the plan was made for.

    Raises:
        NotEmptyError: another disk answers to its name, or none; or its node leads elsewhere.
    """
    try:
        now = sysfs.read_disk(disk.name)
    except OSError:
        raise NotEmptyError(
            f"{disk.path} is gone since it was examined", hint="run again with the disks as they are"
        ) from None
    names = ("device number", "serial", "WWN", "size", "sector size", "diskseq")
    for name, then, here in zip(names, disk.identity, now.identity, strict=True):
        if then != here:
            raise NotEmptyError(
                f"{disk.path} is not the disk that was examined: its {name} was {then!r} and is {here!r}",
                hint="run again with the disks as they are",
            )
    check_node(disk.path, disk.number)


def check_node(node: str, number: str) -> None:
    """See that a node is the block device `major:minor` that the kernel means by its name.

    A static /dev can keep the node of a device that went, and the kernel gives its number to another one.

    Raises:
        NotEmptyError: it is another, or none.
    """
    try:
        found = Path(node).stat()
    except OSError as error:
        raise NotEmptyError(f"{node} is not there: {error.strerror}", hint=_NODE_HINT) from None
    if not is_device(found, number):
        raise NotEmptyError(f"{node} is not the block device {number} that the kernel means by it", hint=_NODE_HINT)


def is_device(found: os.stat_result, number: str) -> bool:
    """Whether a status is that of the block device `major:minor`."""
    here = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    return stat.S_ISBLK(found.st_mode) and here == number


def write_through(disks: Sequence[Disk]) -> None:
    """Have the kernel write what its page cache holds of some disks and their partitions; it counts no write before.

    Raises:
        ToolError: one hangs.
        OSError: one cannot be written.
    """
    parts = [part.device for disk in disks for part in sysfs.partitions(disk).values()]
    threads.flush([*(disk.path for disk in disks), *parts])


def claim(path: str) -> int:
    """Open a disk or a partition for reading as its only claimant; the handle is the caller's to close.

    Whoever examines disks (another zosstorage that plans, say) claims each for a moment: that is waited for.

    Raises:
        OSError: EBUSY while anything has claimed the disk or a partition of it.
    """
    end = time.monotonic() + _CLAIM_SECONDS
    while True:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_EXCL)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > end:
                raise
            time.sleep(_PAUSE)


@contextmanager
def claimed(device: str) -> Iterator[Callable[[int, int], bytes]]:
    """Claim a device for reading from the medium: yields what reads (offset, length) in bytes.

    While it is claimed nobody can mount it, nor can a mkfs that claims its device begin. What is read raises
    UnreadableFilesystemError where it fails.

    Raises:
        NotEmptyError: something uses the device, or it cannot be opened.
    """
    try:
        handle = claim(device)
    except OSError as error:
        raise _unclaimed(device, error) from error
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        yield partial(_at, handle)
    finally:
        os.close(handle)


def _unclaimed(path: str, error: OSError) -> NotEmptyError:
    hint = f"see fuser -v {path}; something uses it now"
    return NotEmptyError(f"{path} cannot be claimed: {error.strerror}", hint=hint)


def _at(handle: int, offset: int, length: int) -> bytes:
    try:
        data = os.pread(handle, length, offset)
    except OSError as error:
        raise UnreadableFilesystemError(f"reading it failed: {error.strerror}") from error
    if len(data) != length:
        raise UnreadableFilesystemError(f"a read of {length} bytes gave only {len(data)}")
    return data


@contextmanager
def locked(disk: Disk, *, exclusive: bool) -> Iterator[None]:
    """Hold the BSD lock of a whole disk (udev leaves it alone meanwhile) and, if `exclusive`, the kernel's claim on it.

    Tools that write inherit both: a tool that outlives this process keeps others away until it has ended.
    The claim (O_EXCL) fails while anything uses the disk or a partition, and nothing can mount or claim it while it is
    ours; partitions cannot be made a filesystem of meanwhile.

    Raises:
        NotEmptyError: the disk is in use.
    """
    try:
        handle = claim(disk.path) if exclusive else os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
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
