"""The entry point: argument vector in, exit code out."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from zosstorage import cli, commands
from zosstorage.errors import InterruptedRunError
from zosstorage.output import failure
from zosstorage.system import streams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    gc.disable()  # a run is short and what it makes stays: looking for garbage would find none, and costs a tenth of it
    streams.open_closed()
    status = _command(sys.argv[1:] if argv is None else argv)
    try:
        sys.stderr.flush()
    except OSError:  # nobody can be told any more: the exit code says it alone
        streams.let_go(sys.stderr)
    return status


def script() -> NoReturn:
    """The installed command: `main`, and the end of the process without that of the interpreter.

    That takes a fifth of a short run, to give back one by one what the kernel takes back at once. Nothing is left in a
    buffer: stdout is flushed by the command, stderr by `main`, and every file is closed where it was written.
    """
    os._exit(main())


def _command(argv: Sequence[str]) -> int:
    try:
        return commands.call(cli.parse(argv))
    except (Exception, InterruptedRunError, KeyboardInterrupt) as error:  # noqa: BLE001 - the last one: a defect ends in a sentence as well
        return failure.ended(error)


if __name__ == "__main__":
    script()
