"""The settings that have a flag of their own, on the command line and, with `zosstorage.` before it, for the kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, StrEnum
from typing import NamedTuple

from attrs import frozen

from zosstorage import text, topologies


class LogLevel(StrEnum):
    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"


class LogFormat(StrEnum):
    JSON = "json"
    TEXT = "text"


class Kind(Enum):
    """What the value of a flag is."""

    TEXT = "text"
    PATH = "path"
    SWITCH = "switch"
    LIST = "list"


@frozen
class Flag:
    """A flag and the key that it sets.

    Attributes:
        key: the path of the key in the configuration; `root` is none of a file's keys.
        summary: its help, without the choices.
        word: stands for the value in the help; where it is empty, the choices do.
        values: returns the only values, nothing where the value is free. It is asked at each use: a table may grow.
    """

    key: tuple[str, ...]
    kind: Kind
    summary: str
    word: str = ""
    values: Callable[[], Iterable[str]] = tuple

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values, empty where the value is free."""
        return tuple(self.values())

    @property
    def metavar(self) -> str:
        """What stands for the value in the help, empty for a switch."""
        return self.word or "|".join(self.choices)

    @property
    def help(self) -> str:
        """One line of help, which names the choices where `metavar` does not."""
        return f"{self.summary}: {text.one_of(self.choices)}" if self.word and self.choices else self.summary


FLAGS: dict[str, Flag] = {
    "topology": Flag(("topology", "mode"), Kind.TEXT, "which topology to make", "MODE", topologies.modes),
    "log_level": Flag(("logging", "level"), Kind.TEXT, "how much is logged", values=lambda: LogLevel),
    "log_format": Flag(("logging", "format"), Kind.TEXT, "how a log line is written", values=lambda: LogFormat),
    "log_file": Flag(("logging", "file"), Kind.PATH, "write the log to this file as well as to stderr", "PATH"),
    "fstab": Flag(("fstab", "enabled"), Kind.SWITCH, "write the four subvolume mounts to fstab, or do not"),
    "report": Flag(("report", "path"), Kind.PATH, "where the report is written", "PATH"),
    "run_dir": Flag(("run_dir",), Kind.PATH, "where the checkpoint and the lock live", "DIR"),
    "root": Flag(("root",), Kind.PATH, "prefix for every path that is mounted on or written, default /", "DIR"),
    "include": Flag(
        ("devices", "include"), Kind.LIST, "disks that may be taken; repeatable, replaces the list", "GLOB"
    ),
    "exclude": Flag(("devices", "exclude"), Kind.LIST, "disks to leave alone; repeatable, replaces the list", "GLOB"),
}

# Words that only the init hook reads: accepted and checked here, so that a typing error in them is told at all.
HOOK_WORDS = ("on_failure", "wait")
# The most seconds that the hook may be told to wait for disks.
MAX_WAIT = 3600
OTHER_WORDS = ("config", "set", "force")


class Setting(NamedTuple):
    """One flag as it was given: `name` is a key of FLAGS or `set`; `value` is text, or a bool for a switch."""

    name: str
    value: str | bool


@frozen
class CliOptions:
    """What the command line asks for.

    Attributes:
        command: a name of cli.COMMANDS, or `help` or `version`.
        config: the YAML file named by `--config`.
        cmdline: the file named by `--cmdline`; None for the kernel's own.
        settings: in the order given.
        json: `plan` and `status` print JSON.
        until: the last state that `step` does, None for just the next one.
        start: the first state that `reset` forgets, None for all.
        format: how `graph` draws.
        document: whose schema `schema` prints.
        action: `show` or `check`, for `config`.
        file: what `config check` checks.
        origins: `config show` names the source of every key.
    """

    command: str = "run"
    config: str | None = None
    cmdline: str | None = None
    settings: tuple[Setting, ...] = ()
    json: bool = False
    until: str | None = None
    start: str | None = None
    format: str = "mermaid"
    document: str = "config"
    action: str = ""
    file: str = ""
    origins: bool = False


def spelled(name: str) -> str:
    """`log_level` as it stands on a command line: `--log-level`."""
    return "--" + name.replace("_", "-")


def well_formed(assignment: str) -> bool:
    """True where `assignment` is KEY.PATH=VALUE with no empty key."""
    key, equals, _ = assignment.partition("=")
    return bool(equals) and all(key.split("."))
