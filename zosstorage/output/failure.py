"""How a command that failed ends: its sentence and its exit code."""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from zosstorage import __version__
from zosstorage.errors import ConfigError, InterruptedRunError, ZosstorageError

log = logging.getLogger("zosstorage")


def ended(error: BaseException) -> int:
    """Tell an error; returns the exit code."""
    told = _as_ours(error)
    number = 128 + told.number if isinstance(told, InterruptedRunError) else int(told.exit_code)
    with suppress(OSError):  # a stderr that is full, or that nobody reads
        _tell(told, number)
    return number


def _as_ours(error: BaseException) -> ZosstorageError | InterruptedRunError:
    if isinstance(error, ZosstorageError | InterruptedRunError):
        return error
    if isinstance(error, KeyboardInterrupt):  # SIGINT where nothing was begun that would have to be undone
        return InterruptedRunError("SIGINT", 2)
    return _defect(error)


def _defect(error: BaseException) -> ZosstorageError:
    """A defect of ours is told in a line too: where it was, for the report; the log at level debug has the rest."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    log.debug("traceback", exc_info=error)
    message = f"a defect of zosstorage {__version__} at {where}: {type(error).__name__}: {error}"
    return ZosstorageError(message, hint="please report it with this line; nothing more was done")


def _tell(error: ZosstorageError | InterruptedRunError, number: int) -> None:
    """One sentence and a hint: through the log once it is set up, as plain text before."""
    problems = list(error.problems) if isinstance(error, ConfigError) else []
    if log.handlers:
        extra = {"hint": error.hint, "exit_code": number, **({"problems": problems} if problems else {})}
        log.error("%s", error.message, extra=extra)
        return
    lines = [f"zosstorage: {error.message}", *(f"  {problem}" for problem in problems)]
    lines += [f"hint: {error.hint}"] if error.hint else []
    sys.stderr.write("\n".join(lines) + "\n")
