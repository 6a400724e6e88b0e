"""Handles what a process inherits: closed, full or unread standard streams, open descriptors, signal settings."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import sys
import time
from pathlib import Path
from typing import TextIO

from attrs import define

from zosstorage.errors import ZosstorageError

_DESCRIPTORS = Path("/proc/self/fd")
_LAST_STANDARD_STREAM = 2
# A write of so many bytes to a pipe that is ready does not wait (PIPE_BUF, pipe(7)).
_PIPE_BUF = 4096
# How long a reader of stderr that stalls may delay the program, in seconds, before text is dropped.
_PATIENCE = 0.5


def reset_inherited() -> None:
    """Reset SIGCHLD, unblock all signals, and mark inherited descriptors close-on-exec.

    If the parent ignores SIGCHLD, the kernel reaps our commands and their exit status is lost. If it blocks signals,
    tools inherit the mask and do not react to SIGTERM. If a tool inherits a descriptor of the parent and hangs in the
    kernel, it keeps a lock or a pipe of the parent.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for entry in _DESCRIPTORS.iterdir() if _DESCRIPTORS.is_dir() else ():
        if int(entry.name) > _LAST_STANDARD_STREAM:
            with contextlib.suppress(OSError):  # iterdir() had a descriptor, which is closed now
                os.set_inheritable(int(entry.name), False)


def open_closed() -> None:
    """Open /dev/null in place of each standard stream that was closed when this process was started.

    Otherwise the next file that is opened gets that descriptor: if a disk became stderr, messages would overwrite it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            handle = _open_null()  # gets the lowest free descriptor, which is that of the stream
            os.set_inheritable(handle, True)
            setattr(sys, name, os.fdopen(handle, mode, encoding="utf-8", errors="backslashreplace"))


@define
class _Stderr:
    """What is known of stderr.

    Attributes:
        stalled: whether the last text was dropped: the next one is not waited for.
        cut: whether only a part of a line was written.
    """

    stalled: bool = False
    cut: bool = False


_stderr = _Stderr()


def write_stderr(text: str) -> bool:
    """Write to stderr; return False if its reader stalls (a full pipe, a stopped terminal) and the rest is dropped.

    Raises:
        OSError: stderr cannot be written.
    """
    stream = sys.stderr
    stream.flush()
    try:
        handle = stream.fileno()
    except OSError:  # a stream in memory
        stream.write(text)
        return True
    data = ("\n" if _stderr.cut else "").encode() + text.encode("utf-8", "backslashreplace")
    left = _write_without_waiting(handle, data, 0.0 if _stderr.stalled else _PATIENCE)
    _stderr.stalled = bool(left)
    _stderr.cut = 0 < left < len(data) or (_stderr.cut and left == len(data))
    return left <= len("\n")


def _write_without_waiting(handle: int, data: bytes, patience: float) -> int:
    """Write as much as fits without waiting longer than `patience`, in seconds; return how many bytes are left."""
    if not _can_stall(handle):
        while data:
            data = data[os.write(handle, data) :]
        return 0
    own = _reopen(handle)
    poll = select.poll()
    poll.register(own, select.POLLOUT)
    until = time.monotonic() + patience
    try:
        while data:
            try:
                ready = poll.poll(max(0.0, until - time.monotonic()) * 1000)
                data = data[os.write(own, data[:_PIPE_BUF]) if ready else 0 :]
            except BlockingIOError:
                ready = []
                time.sleep(0.01)
            if not ready and time.monotonic() >= until:
                break
    finally:
        if own != handle:
            os.close(own)
    return len(data)


def _can_stall(handle: int) -> bool:
    mode = os.fstat(handle).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _reopen(handle: int) -> int:
    """Open the same pipe or terminal once more, so that only our writes do not wait; the same handle if that fails."""
    try:
        return os.open(f"/proc/self/fd/{handle}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # a socket, or a pipe of another user
        return handle


def detach() -> None:
    """Redirect all standard streams of a forked process to /dev/null: a reader of their pipes waits until all end."""
    handle = _open_null()
    for number in range(_LAST_STANDARD_STREAM + 1):
        os.dup2(handle, number)
    os.close(handle)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal: a person started it, and not an init script."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def put(text: str) -> None:
    """Write the output of a command to stdout; it is not a failure if the reader has closed the pipe.

    Raises:
        ZosstorageError: the output cannot be written.
    """
    try:
        if not text.isascii():  # a disk model or a path may have characters that the locale cannot encode
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # it is no other TextIO
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        discard_stdout(error)


def discard(stream: TextIO) -> None:
    """Redirect a stream that cannot be written to /dev/null, with its buffer: the interpreter flushes it at exit."""
    handle = _open_null()
    os.dup2(handle, stream.fileno())
    os.close(handle)
    with contextlib.suppress(OSError):
        stream.flush()


def discard_stdout(error: OSError) -> None:
    """Discard stdout after a failed write; it is not a failure if the reader closed the pipe.

    Raises:
        ZosstorageError: the write failed for another reason.
    """
    discard(sys.stdout)
    if not isinstance(error, BrokenPipeError):
        raise ZosstorageError(
            f"the output cannot be written: {error.strerror}", hint="free disk space, or redirect stdout"
        ) from error


def _open_null() -> int:
    """Open /dev/null, or an empty file in memory if there is none."""
    try:
        return os.open(os.devnull, os.O_RDWR)
    except OSError:  # an initramfs whose /dev is not mounted yet
        return os.memfd_create("null")
