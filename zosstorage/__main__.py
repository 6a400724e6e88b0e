"""The entry point: takes the argument vector, returns the exit code."""

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
    """Run a command and return its exit code.

    Args:
        argv: the arguments without the program name; None for those of the process.
    """
    gc.disable()  # a run is short and keeps its objects; the collector would free nothing and take a tenth of the time
    streams.open_closed()
    status = _command(sys.argv[1:] if argv is None else argv)
    try:
        sys.stderr.flush()
    except OSError:  # stderr cannot be written; only the exit code is left to report the result
        streams.discard(sys.stderr)
    return status


def script() -> NoReturn:
    """Run `main` and exit the process without shutting down the interpreter.

    The shutdown takes a fifth of a short run, to free objects one by one. No buffer holds data at this point: the
    command flushes stdout, `main` flushes stderr, and every file is closed where it was written.
    """
    os._exit(main())


def _command(argv: Sequence[str]) -> int:
    try:
        return commands.call(cli.parse(argv))
    except (Exception, InterruptedRunError, KeyboardInterrupt) as error:  # noqa: BLE001 - a defect is reported in one sentence too
        return failure.report(error, lambda: commands.set_up_log(argv))


if __name__ == "__main__":
    script()
