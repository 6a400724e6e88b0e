"""Handles what a process inherits: closed, full or unread standard streams, open descriptors, signal settings."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TextIO

from zosstorage.errors import ZosstorageError

_DESCRIPTORS = Path("/proc/self/fd")
_LAST_STANDARD_STREAM = 2


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
