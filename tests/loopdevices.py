"""Loop devices whose numbers nobody else uses.

A number of the range FIRST to LAST is chosen under a lock on a file below LOCKS, which is held as long as the device is
attached. So two test runs on one machine never get the same number, and `losetup --find` of another program, which
takes the lowest free number, never gets one of them. The number of a process that was killed is free again: the lock
has ended with it, and what it left attached is detached.

No device is used or detached that is not attached to the expected file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import struct
import subprocess
import time
from pathlib import Path

import attrs

FIRST, LAST = 2048, 4095
LOCKS = Path("/run/zosstorage-loop")
# linux/loop.h
LOOP_GET_STATUS64 = 0x4C05
LOOP_CTL_ADD = 0x4C80
LOOP_CTL_REMOVE = 0x4C81
# The size of struct loop_info64 in bytes; it begins with the device and the inode of the backing file.
_INFO_BYTES, _FILE = 232, struct.Struct("=QQ")
# The path of an image of a test or a demo; only such a file is detached from a number whose owner is dead.
OURS = re.compile(r"/zosstorage-(test|demo)-")
# Seconds to wait for a program that has the device open for a moment.
_PATIENCE = 60.0
_PAUSE = 0.005


class ForeignDeviceError(Exception):
    """A loop device of our range is attached to a file that is not ours."""


@attrs.define(eq=False)
class LoopDevice:
    """A file that is attached to a loop device.

    Attributes:
        path: the node, such as /dev/loop2048.
        number: of the device.
    """

    image: Path
    number: int
    _lock: int

    @property
    def path(self) -> str:
        return f"/dev/loop{self.number}"

    def attach(self, *options: str) -> None:
        """Attach the file to the device; `options` are of losetup(8).

        Raises:
            ForeignDeviceError: the device is attached already, or to another file afterwards.
        """
        if backing_file(self.number):
            raise ForeignDeviceError(f"{self.path} is attached to {backing_file(self.number)}")
        _run("losetup", *options, self.path, str(self.image))
        self.check()

    def check(self) -> None:
        """See that the device is attached to the file.

        Raises:
            ForeignDeviceError: it is attached to another file, or to none.
        """
        found = _attached_to(self.path)
        status = self.image.stat()
        # A block device as the backing file counts with the file system in which its node is.
        if found != (status.st_dev, status.st_ino):
            raise ForeignDeviceError(f"{self.path} is attached to {backing_file(self.number) or 'nothing'}")

    def detach(self) -> None:
        """Detach the file, if it is attached, and wait until it is.

        Raises:
            ForeignDeviceError: another file is attached.
        """
        if not backing_file(self.number):
            return
        self.check()
        _detach(self.number)

    def release(self) -> None:
        """Detach the file, remove the device, and give up its number.

        Raises:
            ForeignDeviceError: another file is attached; the number is given up all the same.
        """
        try:
            self.detach()
            _remove(self.number)
        finally:
            os.close(self._lock)


def attach(image: Path, *options: str) -> LoopDevice:
    """Attach a file to a loop device with the lowest free number of the range; `options` are of losetup(8)."""
    device = reserve(image)
    try:
        device.attach(*options)
    except BaseException:
        device.release()
        raise
    return device


def reserve(image: Path) -> LoopDevice:
    """Choose the lowest free number of the range for a file, and make its device.

    Raises:
        RuntimeError: no number is free.
    """
    LOCKS.mkdir(mode=0o755, exist_ok=True)
    for number in range(FIRST, LAST + 1):
        lock = os.open(LOCKS / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _take(lock) and _is_free(number):
            return LoopDevice(image, number, lock)
        os.close(lock)
    raise RuntimeError(f"no loop device from {FIRST} to {LAST} is free: see losetup --list")


def backing_file(number: int) -> str:
    """The path of the file that a loop device is attached to; empty if there is none."""
    try:
        return Path(f"/sys/block/loop{number}/loop/backing_file").read_text("utf-8").rstrip("\n")
    except OSError:
        return ""


def sweep() -> None:
    """Detach what killed processes left attached to numbers of the range, and remove the images."""
    numbers = [int(entry.name.removeprefix("loop")) for entry in Path("/sys/block").glob("loop[0-9]*")]
    # Highest first: a device over a part of another one was attached after it.
    for number in sorted(numbers, reverse=True):
        image = backing_file(number)
        if not FIRST <= number <= LAST or not _is_ours(image):
            continue
        with contextlib.ExitStack() as stack:
            lock = os.open(LOCKS / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, lock)
            if _take(lock) and _is_free(number):
                if OURS.search(image):
                    Path(image.removesuffix(" (deleted)")).unlink(missing_ok=True)
                _remove(number)


def forget_partitions(number: int) -> None:
    """Have the kernel forget the partitions of a device; wait while one is in use.

    Raises:
        TimeoutError: one stays in use.
    """
    end = time.monotonic() + _PATIENCE
    while list(Path(f"/sys/class/block/loop{number}").glob(f"loop{number}p*")):
        subprocess.run(["partx", "--delete", f"/dev/loop{number}"], capture_output=True, check=False)
        if time.monotonic() > end:
            raise TimeoutError(f"a partition of /dev/loop{number} stays in use")
        time.sleep(_PAUSE)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(number: int) -> bool:
    """Whether a number whose lock is ours can be used: nothing is attached, or what a killed process left."""
    image = backing_file(number)
    if image:
        if not _is_ours(image):
            return False
        try:
            _detach(number, patience=0.0)
        except TimeoutError:  # a mount of the killed process is still there
            return False
    with Path("/dev/loop-control").open("rb") as control:
        try:
            fcntl.ioctl(control, LOOP_CTL_ADD, number)
        except FileExistsError:
            return not backing_file(number)
    return True


def _is_ours(image: str) -> bool:
    """Whether a backing file is an image of a test or demo, or a loop device of the range."""
    under = re.fullmatch(r"/dev/loop(\d+)", image)
    return bool(OURS.search(image)) or bool(under and FIRST <= int(under[1]) <= LAST)


def _attached_to(path: str) -> tuple[int, int] | None:
    """The device and the inode number of the file that is attached to a loop device."""
    info = bytearray(_INFO_BYTES)
    try:
        with Path(path).open("rb") as device:
            fcntl.ioctl(device, LOOP_GET_STATUS64, info)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return None
        raise
    device_number, inode = _FILE.unpack_from(info)
    return device_number, inode


def _detach(number: int, patience: float = _PATIENCE) -> None:
    """Detach a device, and wait for whoever has it open still.

    Raises:
        TimeoutError: it stays attached.
    """
    end = time.monotonic() + patience
    subprocess.run(["partx", "--delete", f"/dev/loop{number}"], capture_output=True, check=False)
    subprocess.run(["losetup", "--detach", f"/dev/loop{number}"], capture_output=True, check=False)
    while backing_file(number):
        if time.monotonic() > end:
            raise TimeoutError(f"/dev/loop{number} stays in use")
        time.sleep(_PAUSE)


def _remove(number: int) -> None:
    """Remove a detached device. One that another program has open stays: the number can be used again."""
    with Path("/dev/loop-control").open("rb") as control:
        for _ in range(20):
            try:
                fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    return
                time.sleep(_PAUSE)
            else:
                return


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(errno.EIO, f"{' '.join(argv)} failed: {done.stderr.strip()}")
