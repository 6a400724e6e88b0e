"""The exceptions of zosstorage; each has a message, a hint and an exit code."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class ExitCode(IntEnum):
    """The exit codes of the program."""

    OK = 0
    DEFECT = 1
    USAGE = 2
    CONFIG = 3
    NO_DISK = 4
    NOT_EMPTY = 5
    TOOL = 6
    LOCKED = 7
    UNIMPLEMENTED = 8


# What each exit code means, as the help shows it.
EXIT_CODES = (
    ("0", "provisioned, or already provisioned"),
    ("1", "a defect in zosstorage itself, or its output cannot be written"),
    ("2", "usage error"),
    ("3", "configuration error"),
    ("4", "no eligible disk, or not the expected number of disks; verify: nothing was provisioned"),
    (
        "5",
        (
            "a target disk is not empty, or its content contradicts the plan; nothing was written to a disk; verify: "
            "something is not as promised"
        ),
    ),
    ("6", "a tool or a kernel feature is missing or too old, or a tool failed or timed out"),
    ("7", "another zosstorage holds the lock"),
    ("8", "unimplemented (--force)"),
)


class Finding(NamedTuple):
    """What was found on a disk: `offset` is in bytes, None if it is not about bytes; `serial` may be unknown here."""

    disk: str
    check: str
    offset: int | None
    found: str
    serial: str = ""


class ZosstorageError(Exception):
    """A failure.

    Attributes:
        message: what is wrong, in one sentence.
        hint: what the operator can do about it; empty if there is nothing to say.
        exit_code: the exit code of the program.
        evidence: what was found on the disks; empty if the failure is about something else.
    """

    exit_code = ExitCode.DEFECT

    def __init__(self, message: str, *, hint: str = "", evidence: tuple[Finding, ...] = ()) -> None:
        """Keep the message, the hint and the evidence."""
        super().__init__(message)
        self.evidence = evidence
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Return what pickle needs: BaseException would call the class with the message only."""
        return _with_attributes, (type(self), self.__dict__)


def _with_attributes(of: type[ZosstorageError], attributes: dict[str, object]) -> ZosstorageError:
    error = of(str(attributes["message"]))
    error.__dict__.update(attributes)
    return error


class UsageError(ZosstorageError):
    """The command line cannot be used, or the user may not run the command."""

    exit_code = ExitCode.USAGE


class ConfigError(ZosstorageError):
    """The configuration cannot be used.

    Attributes:
        problems: every mistake, one sentence each; empty if the message names the only one.
    """

    exit_code = ExitCode.CONFIG

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), hint: str = "") -> None:
        """Keep the message, the hint and the problems."""
        super().__init__(message, hint=hint)
        self.problems = problems


class NoDiskError(ZosstorageError):
    """No disk is eligible, a required disk is missing, or the number of disks is not the expected one."""

    exit_code = ExitCode.NO_DISK


class NotEmptyError(ZosstorageError):
    """A target disk is not empty, or its content contradicts the plan."""

    exit_code = ExitCode.NOT_EMPTY


class ToolError(ZosstorageError):
    """A tool or kernel feature is missing or too old, or a command failed or timed out.

    Attributes:
        argv: the command line; empty if no command was started.
        status: the exit status, negative for a signal; None if the command was not started or timed out.
        stderr: the whole standard error output of the command.
    """

    exit_code = ExitCode.TOOL

    def __init__(
        self, message: str, *, hint: str = "", argv: tuple[str, ...] = (), status: int | None = None, stderr: str = ""
    ) -> None:
        """Keep the message, the hint and the details of the command."""
        super().__init__(message, hint=hint)
        self.argv = argv
        self.status = status
        self.stderr = stderr


class LockedError(ZosstorageError):
    """Another zosstorage holds the lock."""

    exit_code = ExitCode.LOCKED


class InterruptedRunError(BaseException):
    """A signal stopped the run; the exit status is 128 plus the number of the signal, as in a shell.

    Like KeyboardInterrupt, it is not derived from Exception: a handler of failures must not catch it and continue.

    Attributes:
        message: what is wrong, in one sentence.
        number: the number of the signal.
    """

    hint = "run zosstorage again to continue"

    def __init__(self, signal_name: str, number: int) -> None:
        """Make the message from the name of the signal, `SIGTERM`."""
        super().__init__(f"stopped by {signal_name}")
        self.message = f"stopped by {signal_name}"
        self.number = number


class UnreadableFilesystemError(Exception):
    """The content of a filesystem cannot be read from its structures; the message says why."""


class UnimplementedError(ZosstorageError):
    """The command line or a kernel parameter asks for `force`, which does not exist."""

    exit_code = ExitCode.UNIMPLEMENTED
