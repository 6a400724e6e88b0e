"""Sets up the log: to stderr and, if configured, to a file, as JSON lines or text. It never uses stdout."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pythonjsonlogger.json import JsonFormatter

from zosstorage.errors import ConfigError
from zosstorage.system import streams
from zosstorage.system.files import make_folders, open_log
from zosstorage.text import escaped, escaped_lines

if TYPE_CHECKING:
    from io import TextIOWrapper

    from zosstorage.config.schema import Logging

_PACKAGES = ("zosstorage", "states")
# The attributes of every LogRecord; all others were passed as `extra`.
_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """Formats a record as one line: time, level, message, then the extra fields as key=value."""

    def __init__(self) -> None:
        """Set the format of the line and of the time."""
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline at its end; what is foreign in it is escaped."""
        extra = {key: value for key, value in vars(record).items() if key not in _RECORD}
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
                extra = {"name": record.name, "levelno": logging.WARNING, "levelname": "WARNING", "lines": self.lost}
                message = "the reader of stderr stalled, and lines were dropped"
                if streams.write_stderr(self.format(logging.makeLogRecord({"msg": message, **extra})) + "\n"):
                    self.lost = 0
            if self.lost or not streams.write_stderr(self.format(record) + "\n"):
                self.lost += 1
        except OSError:  # it is closed, or on a full disk
            self.handleError(record)


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
                extra={"path": self.baseFilename, "reason": getattr(error, "strerror", None) or str(error)},
            )


def _file_handler(path: str) -> logging.Handler:
    try:
        make_folders(Path(path).parent)
        return _File(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(
            f"the log file {path} cannot be written: {error.strerror}", hint="name another file with --log-file"
        ) from error
