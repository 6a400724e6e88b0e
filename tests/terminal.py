"""Starts the program on a pseudo-terminal of its own, as a person does."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence
from typing import Any

from program import PROGRAM, TOP


def at_terminal(*argv: object, columns: int = 80, program: Sequence[str] = PROGRAM, **options: Any) -> tuple[int, str]:
    """Run the program with a controlling terminal of `columns` columns; return its exit code and all that it printed.

    `options` go to Popen: a standard stream given there is not the terminal.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def control() -> None:
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    streams: dict[str, Any] = {"stdin": slave, "stdout": slave, "stderr": slave}
    words = [*program, *map(str, argv)]
    with subprocess.Popen(
        words,
        cwd=TOP,
        start_new_session=True,
        preexec_fn=control,  # noqa: PLW1509
        pass_fds=(slave,),
        **{**streams, **options},
    ) as process:
        os.close(slave)
        shown = b""
        while chunk := _read(master):
            shown += chunk
        os.close(master)
        code = process.wait()
    return code, shown.decode("utf-8").replace("\r\n", "\n")


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:  # EIO: every process has closed the terminal
        return b""
