"""What a process inherits: standard streams that are closed, full or unread; descriptors; the state of signals."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TextIO

from zosstorage.errors import ZosstorageError

_HANDLES = Path("/proc/self/fd")
_LAST_STANDARD_STREAM = 2


def take_over() -> None:
    """Reset SIGCHLD, unblock all signals, and mark inherited descriptors close-on-exec.

    A parent may ignore SIGCHLD: then the kernel reaps our commands and their exit status is lost. It may block signals:
    a tool inherits the mask and cannot be asked to end. A tool that inherits a descriptor and hangs in the kernel keeps
    a lock or a pipe of the parent's.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for entry in _HANDLES.iterdir() if _HANDLES.is_dir() else ():
        if int(entry.name) > _LAST_STANDARD_STREAM:
            with contextlib.suppress(OSError):  # the descriptor of this listing, closed by now
                os.set_inheritable(int(entry.name), False)


def open_closed() -> None:
    """Open a file that takes and gives nothing for every standard stream that was closed when we were started.

    The next file to be opened would get its number: with a disk as stderr, every message would be written to the disk.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            handle = _nowhere()  # the lowest free number, which is that of the stream
            os.set_inheritable(handle, True)
            setattr(sys, name, os.fdopen(handle, mode, encoding="utf-8", errors="backslashreplace"))


def let_go(stream: TextIO) -> None:
    """Redirect a stream that cannot be written, and its buffer, to nowhere: the interpreter flushes it at its end."""
    handle = _nowhere()
    os.dup2(handle, stream.fileno())
    os.close(handle)
    with contextlib.suppress(OSError):
        stream.flush()


def give_up_stdout(error: OSError) -> None:
    """Let go of stdout after a failed write; a reader that closed its pipe is no failure.

    Raises:
        ZosstorageError: any other reason.
    """
    let_go(sys.stdout)
    if not isinstance(error, BrokenPipeError):
        raise ZosstorageError(
            f"the output cannot be written: {error.strerror}", hint="free the space, or send stdout elsewhere"
        ) from error


def _nowhere() -> int:
    try:
        return os.open(os.devnull, os.O_RDWR)
    except OSError:  # an initramfs whose /dev is not mounted yet
        return os.memfd_create("nowhere")
