"""What can go wrong, as exceptions with a hint, and the exit code that each one ends in."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    OK = 0
    DEFECT = 1
    USAGE = 2
    CONFIG = 3
    NO_DISK = 4
    NOT_EMPTY = 5
    TOOL = 6
    LOCKED = 7
    UNIMPLEMENTED = 8


class ZosstorageError(Exception):
    """A failure told in one sentence, with a hint of what the operator can do about it."""

    exit_code = ExitCode.DEFECT

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ZosstorageError):
    exit_code = ExitCode.USAGE


class ConfigError(ZosstorageError):
    """The configuration cannot be used; `problems` holds every mistake found, one sentence each."""

    exit_code = ExitCode.CONFIG

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class NoDiskError(ZosstorageError):
    exit_code = ExitCode.NO_DISK


class NotEmptyError(ZosstorageError):
    exit_code = ExitCode.NOT_EMPTY


class ToolError(ZosstorageError):
    """A tool or kernel feature is missing or too old, or a command failed or timed out.

    Attributes:
        argv: the command, empty where none was started.
        status: its exit status, negative for a signal, None where it was not started or timed out.
        stderr: what it said, whole.
    """

    exit_code = ExitCode.TOOL

    def __init__(
        self, message: str, *, hint: str = "", argv: tuple[str, ...] = (), status: int | None = None, stderr: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.argv = argv
        self.status = status
        self.stderr = stderr


class LockedError(ZosstorageError):
    exit_code = ExitCode.LOCKED


class InterruptedRunError(BaseException):
    """A signal asked us to stop; the exit status is the shell's for that signal, 128 and its number.

    Like KeyboardInterrupt it is no Exception: nobody who handles failures may take it for one and go on.
    """

    hint = "run again: it goes on from where the disks are"

    def __init__(self, signal_name: str, number: int) -> None:
        super().__init__(f"stopped by {signal_name}")
        self.message = f"stopped by {signal_name}"
        self.number = number


class UnreadableFilesystemError(Exception):
    """What a filesystem holds cannot be told from its structures; the text says why."""


class UnimplementedError(ZosstorageError):
    exit_code = ExitCode.UNIMPLEMENTED
