"""Standard streams that are closed, full, or left by their reader: the rare cases, imported when one comes up."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from zosstorage.errors import ZosstorageError


def open_closed() -> None:
    """Put something in the place of every standard stream that was closed when we were started.

    What is opened next would get its number: a disk as our stderr, and every message would be written to the disk.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            handle = _nowhere()  # the lowest number that is free, which is that of the stream
            os.set_inheritable(handle, True)
            setattr(sys, name, os.fdopen(handle, mode, encoding="utf-8", errors="backslashreplace"))


def let_go(stream: TextIO) -> None:
    """Send a stream that cannot be written, and what waits in its buffer, nowhere: the interpreter flushes it again."""
    handle = _nowhere()
    os.dup2(handle, stream.fileno())
    os.close(handle)
    with contextlib.suppress(OSError):
        stream.flush()


def give_up_stdout(error: OSError) -> None:
    """Let stdout go; a reader that has gone away is no failure, and what the command finds decides its exit code.

    Raises:
        ZosstorageError: any other reason.
    """
    let_go(sys.stdout)
    if not isinstance(error, BrokenPipeError):
        told = f"the output cannot be written: {error.strerror}"
        raise ZosstorageError(told, hint="free the space, or send stdout elsewhere") from error


def _nowhere() -> int:
    try:
        return os.open(os.devnull, os.O_RDWR)
    except OSError:  # an initramfs whose /dev is not there yet
        return os.memfd_create("nowhere")
