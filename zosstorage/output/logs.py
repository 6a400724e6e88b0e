"""Sets up the log: to stderr and, if configured, to a file, as JSON lines or text. It never uses stdout."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve
from pythonjsonlogger.json import JsonFormatter

from zosstorage.errors import ConfigError
from zosstorage.system import streams
from zosstorage.system.files import make_folders, open_log
from zosstorage.text import clean, escaped, escaped_lines

if TYPE_CHECKING:
    from io import TextIOWrapper

    from zosstorage.config.schema import Logging

_PACKAGES = ("zosstorage", "states")
KERNEL_LOG = "/dev/kmsg"
# What every line gets as fields of its own: the state of the run.
CONTEXT: dict[str, str] = {}
# What the kernel log gets, how many lines at most, and how long each may be, in characters.
_KERNEL_EVENTS = ("run.begin", "run.end", "refused", "failed", "stopped")
_MOST_KERNEL_LINES, _LONGEST_KERNEL_LINE = 10, 200
# In a line of text these would only repeat the message.
_NOT_IN_TEXT = ("event", "state")
# The attributes of every LogRecord; all others were passed as `extra`.
_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """Formats a record as one line: time, level, message, then the extra fields as key=value."""

    def __init__(self) -> None:
        """Set the format of the line and of the time."""
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline at its end; what is foreign in it is escaped."""
        extra = {key: value for key, value in vars(record).items() if key not in _RECORD and key not in _NOT_IN_TEXT}
        return " ".join([super().format(record), *(f"{key}={_shown(value)}" for key, value in extra.items())])

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line up to the message; a traceback, which follows it, has lines of its own."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return the traceback."""
        return escaped_lines(super().formatException(ei))


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if " " in text or not text else escaped(text)  # repr escapes too


def _formatter(*, as_text: bool) -> logging.Formatter:
    if as_text:
        return TextFormatter()
    return JsonFormatter(["levelname", "message"], rename_fields={"levelname": "level"}, timestamp="time")


def set_up(settings: Logging) -> None:
    """Set up the loggers of zosstorage as configured; a second call replaces the first set-up.

    Raises:
        ConfigError: the log file cannot be written.
    """
    logging.raiseExceptions = False  # if a line cannot be written (a full disk), print no traceback
    stderr: logging.Handler = _Stderr()
    as_text = settings.format == "text"
    stderr.setFormatter(_formatter(as_text=as_text or (settings.format == "auto" and sys.stderr.isatty())))
    handlers = [stderr]
    if settings.file:
        handlers.append(_file_handler(settings.file))
        handlers[-1].setFormatter(_formatter(as_text=as_text))
    if settings.kmsg:
        handlers.append(_Kernel())
    for handler in handlers:
        handler.addFilter(_in_context)
    for package in _PACKAGES:
        logger = logging.getLogger(package)
        for former in set(logger.handlers) - set(handlers):
            former.close()
        logger.handlers[:] = handlers
        logger.setLevel({"warn": "WARNING"}.get(settings.level, settings.level.upper()))
        logger.propagate = False


class _Stderr(logging.Handler):
    """Writes to stderr; a line that the reader does not take in time is dropped, and a later one says how many were."""

    lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and before it, if lines were dropped, how many."""
        try:
            if self.lost:
                lost = {
                    "msg": "the reader of stderr stalled, and lines were dropped",
                    "levelno": logging.WARNING,
                    "levelname": "WARNING",
                    "event": "log.lost",
                    "lines": self.lost,
                }
                if streams.write_stderr(self.format(logging.makeLogRecord(lost)) + "\n"):
                    self.lost = 0
            if self.lost or not streams.write_stderr(self.format(record) + "\n"):
                self.lost += 1
        except OSError:  # it is closed, or on a full disk
            self.handleError(record)


def set_up_for_error(settings: Logging) -> bool:
    """Set up the log, as far as it can be, for one error; return whether stderr is for text.

    If it is, the error is not logged there: the caller prints it as several lines, which are easier to read.
    """
    try:
        set_up(settings)
    except ConfigError:
        set_up(evolve(settings, file=None))
    logger = logging.getLogger(_PACKAGES[0])
    kept = [one for one in logger.handlers if not isinstance(one, _Stderr)]
    as_text = any(one not in kept and isinstance(one.formatter, TextFormatter) for one in logger.handlers)
    if as_text:
        logger.handlers[:] = kept
    return as_text


def _in_context(record: logging.LogRecord) -> bool:
    """Add the fields that every line has; a filter that keeps all lines."""
    for key, value in CONTEXT.items():
        vars(record).setdefault(key, value)
    return True


class _Kernel(logging.Handler):
    """Writes start, refusals and end to the kernel log, so that they are on the console and in dmesg.

    A line is one write(2), with the level before it (Documentation/ABI/testing/dev-kmsg): 6 is info, 3 an error.
    """

    lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message and its hint; nothing if the kernel log cannot be written."""
        if getattr(record, "event", "") not in _KERNEL_EVENTS:
            return
        level = 3 if record.levelno >= logging.ERROR else 6
        hint = getattr(record, "hint", "")
        for line in (record.getMessage(), *([f"hint: {hint}"] if hint else [])):
            if self.lines < _MOST_KERNEL_LINES:
                self.lines += 1
                self._write(f"<{level}>zosstorage: {clean(line, _LONGEST_KERNEL_LINE)}\n")

    @staticmethod
    def _write(line: str) -> None:
        with suppress(OSError):
            handle = os.open(KERNEL_LOG, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                os.write(handle, line.encode("ascii", "backslashreplace"))
            finally:
                os.close(handle)


class _File(logging.FileHandler):
    """A log file; if it cannot be written (a full disk), one warning goes to stderr."""

    warned = False

    def _open(self) -> TextIOWrapper:
        """Open the file without waiting, and let only root read it; logging calls this once."""
        return open(self.baseFilename, "a", encoding="utf-8", errors=self.errors, opener=open_log)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's name
        """Warn at the first error; ignore later ones."""
        error = sys.exc_info()[1]
        if not self.warned:
            self.warned = True
            logging.getLogger(_PACKAGES[0]).warning(
                "the log file cannot be written",
                extra={
                    "event": "log.failed",
                    "path": self.baseFilename,
                    "reason": getattr(error, "strerror", None) or str(error),
                },
            )


def _file_handler(path: str) -> logging.Handler:
    try:
        make_folders(Path(path).parent)
        return _File(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(
            f"the log file {path} cannot be written: {error.strerror}", hint="name another file with --log-file"
        ) from error
