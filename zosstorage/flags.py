"""The settings that have their own flag on the command line and their own `zosstorage.` kernel parameter."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, StrEnum
from typing import NamedTuple

from attrs import field, frozen

from zosstorage import text, topologies
from zosstorage.errors import UsageError


class LogLevel(StrEnum):
    """The lowest severity that is logged."""

    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"


class LogFormat(StrEnum):
    """How a log line is written; `auto` means text where stderr is a terminal, else JSON."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class Kind(Enum):
    """The kind of value that a flag takes."""

    TEXT = "text"
    PATH = "path"
    SWITCH = "switch"
    LIST = "list"


@frozen
class Flag:
    """A flag and the configuration key that it sets.

    Attributes:
        key: the path of the key in the configuration; `root` is not a key of a configuration file.
        kind: the kind of its value.
        summary: its help text, without the choices.
        placeholder: the placeholder of the value in the help; if empty, the help shows the choices instead.
        values: returns the allowed values, or nothing if any value is allowed. It is called at each use, because the
            table of topologies may gain rows at runtime.
    """

    key: tuple[str, ...]
    kind: Kind
    summary: str
    placeholder: str = ""
    values: Callable[[], Iterable[str]] = tuple

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values; empty if any value is allowed."""
        return tuple(self.values())

    @property
    def metavar(self) -> str:
        """The placeholder of the value in the help; empty for a switch."""
        return self.placeholder or "|".join(self.choices)

    @property
    def help(self) -> str:
        """One line of help; it lists the choices if `metavar` does not."""
        return f"{self.summary}: {text.one_of(self.choices)}" if self.placeholder and self.choices else self.summary


FLAGS: dict[str, Flag] = {
    "topology": Flag(("topology", "mode"), Kind.TEXT, "topology to create", "MODE", topologies.modes),
    "log_level": Flag(("logging", "level"), Kind.TEXT, "lowest severity that is logged", values=lambda: LogLevel),
    "log_format": Flag(("logging", "format"), Kind.TEXT, "format of the log lines", values=lambda: LogFormat),
    "log_file": Flag(("logging", "file"), Kind.PATH, "write the log to this file as well as to stderr", "PATH"),
    "fstab": Flag(("fstab", "enabled"), Kind.SWITCH, "write, or do not write, the four subvolume mounts to fstab"),
    "report": Flag(("report", "path"), Kind.PATH, "file that the report is written to", "PATH"),
    "run_dir": Flag(("run_dir",), Kind.PATH, "directory of the checkpoint and the lock", "DIR"),
    "root": Flag(("root",), Kind.PATH, "prefix for every path that is mounted on or written (default /)", "DIR"),
    "include": Flag(("devices", "include"), Kind.LIST, "disks that may be used; repeatable; replaces the list", "GLOB"),
    "exclude": Flag(
        ("devices", "exclude"), Kind.LIST, "disks that are never used; repeatable; replaces the list", "GLOB"
    ),
}

# Kernel parameters that only the init hook uses. They are checked here, so that a typing error is reported.
HOOK_PARAMETERS = ("on_failure", "wait")
# The longest time, in seconds, that the hook can be asked to wait for disks.
MAX_WAIT = 3600
OTHER_PARAMETERS = ("config", "set", "force")


class Setting(NamedTuple):
    """One flag as given: `name` is a key of FLAGS or `set`; `value` is text, or a bool for a switch."""

    name: str
    value: str | bool


@frozen
class CliOptions:
    """The parsed command line.

    Attributes:
        command: a name in cli.COMMANDS, or `help` or `version`.
        implied: whether no command was named, so that it is the default one.
        topic: the command that `help` is about; empty for all.
        config: the YAML file named by `--config`.
        cmdline: the file named by `--cmdline`; None for `/proc/cmdline`.
        settings: the flags that set a key, in the order given.
        json: `plan`, `status` and `verify` print JSON.
        all: `plan` prints rejected disks of size 0 too.
        verbose: `plan` prints all evidence, and model and WWN of each disk.
        prometheus: `verify` prints metrics.
        until: the last state that `step` runs; None for only the next one.
        start: the first state that `reset` forgets; None for all.
        format: the output format of `graph`.
        layout: the topology whose disks `graph` draws; None for the states.
        document: the document whose schema `schema` prints.
        action: `show` or `check`, for `config`.
        file: the file that `config check` checks.
        origins: `config show` prints the source of each key.
    """

    command: str = "run"
    implied: bool = field(default=False, eq=False)
    topic: str = ""
    config: str | None = None
    cmdline: str | None = None
    settings: tuple[Setting, ...] = ()
    json: bool = False
    all: bool = False
    verbose: bool = False
    prometheus: bool = False
    until: str | None = None
    start: str | None = None
    format: str = "mermaid"
    layout: str | None = None
    document: str = "config"
    action: str = ""
    file: str = ""
    origins: bool = False


def option_name(name: str) -> str:
    """The command line form of a flag: `--log-level` for `log_level`."""
    return "--" + name.replace("_", "-")


def is_assignment(assignment: str) -> bool:
    """Whether `assignment` is KEY.PATH=VALUE without an empty key."""
    key, equals, _ = assignment.partition("=")
    return bool(equals) and all(key.split("."))


def checked(option: str, name: str, value: str | bool) -> str | bool:
    """Check the value of the flag `option`, whose name in FLAGS is `name` (or `set`); make a path absolute.

    Raises:
        UsageError: the value is not allowed.
    """
    if name == "set" and not is_assignment(str(value)):
        raise usage_error(f"--set: found {text.found(value)}; allowed: KEY.PATH=VALUE")
    if name == "set" or isinstance(value, bool):
        return value
    if FLAGS[name].choices:
        return chosen(option, value, FLAGS[name].choices)
    return absolute(option, value) if FLAGS[name].kind is Kind.PATH else value


def chosen(option: str, value: str, choices: Sequence[str]) -> str:
    """Return a value of `option` if it is one of the choices.

    Raises:
        UsageError: it is not.
    """
    if value not in choices:
        close = text.nearest(value, choices)
        raise usage_error(f"{option}: found {text.found(value)}{close}; allowed: {text.one_of(choices)}")
    return value


def absolute(option: str, value: str) -> str:
    """Make the path given to `option` absolute: the shell's working directory is the base of a relative one.

    Raises:
        UsageError: it is empty.
    """
    if not value:
        raise usage_error(f"{option}: found an empty path")
    return os.path.abspath(value)  # noqa: PTH100  Path.absolute() keeps `..`


def usage_error(message: str) -> UsageError:
    """Return the error for a command line, with its hint."""
    return UsageError(message, hint="zosstorage --help lists commands and flags")
