"""The log: to stderr, and to a file as well when asked for; JSON lines or text. Stdout is never used."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pythonjsonlogger.json import JsonFormatter

from zosstorage.errors import ConfigError

if TYPE_CHECKING:
    from zosstorage.config.schema import Logging

_PACKAGES = ("zosstorage", "states")
# What every LogRecord has; all else came in as `extra`.
_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """One line: time, level, message, then the extra fields as key=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        extra = {key: value for key, value in vars(record).items() if key not in _RECORD}
        return " ".join([super().format(record), *(f"{key}={_shown(value)}" for key, value in extra.items())])


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if " " in text or not text else text


def _formatter(form: str) -> logging.Formatter:
    if form == "text":
        return TextFormatter()
    return JsonFormatter(["levelname", "message"], rename_fields={"levelname": "level"}, timestamp="time")


def set_up(settings: Logging) -> None:
    """Send the log where the configuration says.

    Raises:
        ConfigError: the file cannot be written.
    """
    logging.raiseExceptions = False  # a full disk or a closed console: no line of the log is worth a traceback
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if settings.file:
        handlers.append(_file_handler(settings.file))
    formatter = _formatter(settings.format)
    for handler in handlers:
        handler.setFormatter(formatter)
    for package in _PACKAGES:
        logger = logging.getLogger(package)
        for former in set(logger.handlers) - set(handlers):
            former.close()
        logger.handlers[:] = handlers
        logger.setLevel({"warn": "WARNING"}.get(settings.level, settings.level.upper()))
        logger.propagate = False


class _File(logging.FileHandler):
    """A file, which may be on a full medium: that is told once, on stderr."""

    told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's name
        error = sys.exc_info()[1]
        if not self.told:
            self.told = True
            logging.getLogger(_PACKAGES[0]).warning(
                "the log file cannot be written",
                extra={"path": self.baseFilename, "reason": getattr(error, "strerror", None) or str(error)},
            )


def _file_handler(path: str) -> logging.Handler:
    try:
        if Path(path).is_block_device():
            raise ConfigError(f"the log file {path} is a block device", hint="name a file with --log-file")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return _File(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(
            f"the log file {path} cannot be written: {error.strerror}", hint="name another with --log-file"
        ) from error
