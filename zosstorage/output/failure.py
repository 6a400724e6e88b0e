"""Reports the error of a failed command: to the log, and for a run as failure.json; returns the exit code."""

from __future__ import annotations

import json
import logging
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from zosstorage import __version__, checkpoint
from zosstorage.converter import unstructure
from zosstorage.errors import ConfigError, ExitCode, InterruptedRunError, ZosstorageError
from zosstorage.system import lock, streams
from zosstorage.system.files import write_atomic
from zosstorage.text import escaped, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from zosstorage.errors import Finding
    from zosstorage.model import Discovery

log = logging.getLogger("zosstorage")

NAME = "failure.json"
# These say nothing about the machine: the command line was wrong, or another run is at work.
_UNRECORDED = (ExitCode.OK, ExitCode.USAGE, ExitCode.LOCKED, ExitCode.UNIMPLEMENTED)
_REFUSALS = (
    ExitCode.USAGE,
    ExitCode.CONFIG,
    ExitCode.NO_DISK,
    ExitCode.NOT_EMPTY,
    ExitCode.LOCKED,
    ExitCode.UNIMPLEMENTED,
)


@frozen
class FailureEvidence:
    """One finding about a disk.

    Attributes:
        disk: its device node.
        serial: its serial number; empty if there is none.
        check: the name of the check.
        offset: where on the disk, in bytes; null if the finding is not about bytes of the disk.
        found: what the check found.
    """

    disk: str
    serial: str
    check: str
    offset: int | None
    found: str


@frozen
class FailureDocument:
    """Why the last run failed; the file is gone when a later run succeeded.

    Attributes:
        version: the version of the document format.
        timestamp: when the run failed, RFC 3339 in UTC.
        boot_id: the boot in which it failed; empty if /proc is not mounted.
        program: the version of the program.
        exit_code: the exit code; 128 plus its number after a signal.
        state: the state that failed; null if none was entered.
        error: what is wrong, in one sentence or, for a configuration, one line for each mistake.
        hint: what the operator can do; may be empty.
        evidence: what was found on the disks.
    """

    version: Literal[1]
    timestamp: str
    boot_id: str
    program: str
    exit_code: int
    state: str | None
    error: str
    hint: str
    evidence: tuple[FailureEvidence, ...]


def report(error: BaseException, set_up_log: Callable[[], bool] | None = None) -> int:
    """Report an error and return the exit code of the program.

    Args:
        error: the error.
        set_up_log: sets up the log if that was not done yet, and returns whether stderr is for text; if None, it is.
    """
    known = _as_known_error(error)
    with suppress(OSError):  # stderr is on a full disk, or a pipe without a reader
        _write(known, _exit_code(known), set_up_log)
    return _exit_code(known)


def _exit_code(error: ZosstorageError | InterruptedRunError) -> int:
    return 128 + error.number if isinstance(error, InterruptedRunError) else int(error.exit_code)


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
    log.debug("traceback", exc_info=error, extra={"event": "traceback"})
    message = f"a defect of zosstorage {__version__} at {where}: {type(error).__name__}: {error}"
    return ZosstorageError(message, hint="report a bug with this line; the command stopped here")


def _write(error: ZosstorageError | InterruptedRunError, number: int, set_up_log: Callable[[], bool] | None) -> None:
    """Write the message and the hint to the log; before the log is set up, as text for people if it is text."""
    problems = _problems(error)
    logged = bool(log.handlers)
    plain = not logged and (set_up_log is None or set_up_log())
    if plain:
        lines = [f"zosstorage: {error.message}", *(f"  {problem}" for problem in problems)]
        lines += [f"hint: {error.hint}"] if error.hint else []
        streams.write_stderr("\n".join(map(escaped, lines)) + "\n")
    if log.handlers:
        for one in _findings(error):
            log.info("evidence", extra={"event": "evidence", **one._asdict()})
        extra = {"event": _event(number), "hint": error.hint, "exit_code": number}
        log.error("%s", error.message, extra={**extra, **({"problems": problems} if problems else {})})


def _event(number: int) -> str:
    if number > 128:  # noqa: PLR2004 - a signal
        return "stopped"
    return "refused" if number in _REFUSALS else "failed"


def _problems(error: BaseException) -> list[str]:
    return list(error.problems) if isinstance(error, ConfigError) else []


def _findings(error: BaseException) -> tuple[Finding, ...]:
    return error.evidence if isinstance(error, ZosstorageError) else ()


def record(error: BaseException, run_dir: str, *, state: str | None = None, discovery: Discovery | None = None) -> None:
    """Write failure.json for the error of a run; do nothing for exit codes that say nothing about the machine.

    A run directory that cannot be written, or that others can write, gets none: the error itself is reported anyway.

    Args:
        error: the error.
        run_dir: the run directory.
        state: the state that failed; None if none was entered.
        discovery: the disks, for the serial numbers.
    """
    known = _as_known_error(error)
    number = _exit_code(known)
    if number in _UNRECORDED:
        return
    document = FailureDocument(
        1,
        utc_now(),
        checkpoint.boot_id(),
        __version__,
        number,
        state,
        "\n".join((known.message, *_problems(known))),
        known.hint,
        tuple(_evidence(_findings(known), discovery)),
    )
    with suppress(OSError, ConfigError):
        if Path(run_dir).exists():
            lock.require_own(Path(run_dir))
        write_atomic(Path(run_dir) / NAME, json.dumps(unstructure(document), indent=2) + "\n", 0o644)


def _evidence(findings: tuple[Finding, ...], discovery: Discovery | None) -> list[FailureEvidence]:
    disks = [*discovery.disks, *(one.disk for one in discovery.rejected)] if discovery else []
    serials = {disk.path: disk.serial for disk in disks}
    return [
        FailureEvidence(one.disk, one.serial or serials.get(one.disk, ""), one.check, one.offset, one.found)
        for one in findings
    ]


def retire(report_path: str) -> None:
    """Rename a report of an earlier run to `<report path>.stale`: it must not speak for a machine that failed since."""
    path = Path(report_path)
    with suppress(OSError):
        if path.is_symlink() or path.is_file():
            stale = path.with_name(f"{path.name}.stale")
            path.replace(stale)
            log.warning("the report is stale now", extra={"event": "report.stale", "path": str(stale)})


def forget(run_dir: str, report_path: str) -> None:
    """Remove what an earlier failure left: failure.json and, if there is a report again, the stale one."""
    with suppress(OSError):
        (Path(run_dir) / NAME).unlink(missing_ok=True)
    with suppress(OSError):
        if Path(report_path).exists():
            Path(f"{report_path}.stale").unlink(missing_ok=True)
