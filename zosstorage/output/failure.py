"""Reports the error of a failed command and returns its exit code."""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from pathlib import Path

from zosstorage import __version__
from zosstorage.errors import ConfigError, InterruptedRunError, ZosstorageError
from zosstorage.system import streams
from zosstorage.text import escaped

log = logging.getLogger("zosstorage")


def report(error: BaseException) -> int:
    """Report an error and return the exit code of the program."""
    known = _as_known_error(error)
    number = 128 + known.number if isinstance(known, InterruptedRunError) else int(known.exit_code)
    with suppress(OSError):  # stderr is on a full disk, or a pipe without a reader
        _write(known, number)
    return number


def _as_known_error(error: BaseException) -> ZosstorageError | InterruptedRunError:
    if isinstance(error, ZosstorageError | InterruptedRunError):
        return error
    if isinstance(error, KeyboardInterrupt):  # SIGINT outside of a run, where there is nothing to undo
        return InterruptedRunError("SIGINT", 2)
    return _defect(error)


def _defect(error: BaseException) -> ZosstorageError:
    """Make an error of one line from an unexpected exception; the debug log gets the traceback."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    log.debug("traceback", exc_info=error)
    message = f"a defect of zosstorage {__version__} at {where}: {type(error).__name__}: {error}"
    return ZosstorageError(message, hint="report a bug with this line; the command stopped here")


def _write(error: ZosstorageError | InterruptedRunError, number: int) -> None:
    """Write the message and the hint to the log; before the log is set up, to stderr as plain text."""
    problems = list(error.problems) if isinstance(error, ConfigError) else []
    if log.handlers:
        extra = {"hint": error.hint, "exit_code": number, **({"problems": problems} if problems else {})}
        log.error("%s", error.message, extra=extra)
        return
    lines = [f"zosstorage: {error.message}", *(f"  {problem}" for problem in problems)]
    lines += [f"hint: {error.hint}"] if error.hint else []
    streams.write_stderr("\n".join(map(escaped, lines)) + "\n")
