"""The settings that have a flag of their own, on the command line and, with `zosstorage.` before it, for the kernel."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from zosstorage.config.choices import LogFormat, LogLevel, TopologyMode


class Kind(Enum):
    TEXT = "text"
    PATH = "path"
    SWITCH = "switch"
    LIST = "list"


class Flag(NamedTuple):
    """A flag and the key that it sets.

    Attributes:
        key: the path of the key in the configuration; `root` is none of a file's keys.
        metavar: what stands for the value in the help.
        choices: the only values, empty where the value is free.
    """

    key: tuple[str, ...]
    kind: Kind
    metavar: str
    help: str
    choices: tuple[str, ...] = ()


FLAGS: dict[str, Flag] = {
    "topology": Flag(
        ("topology", "mode"),
        Kind.TEXT,
        "MODE",
        "which topology to make: " + ", ".join(TopologyMode),
        tuple(TopologyMode),
    ),
    "log_level": Flag(("logging", "level"), Kind.TEXT, "|".join(LogLevel), "how much is logged", tuple(LogLevel)),
    "log_format": Flag(
        ("logging", "format"), Kind.TEXT, "|".join(LogFormat), "how a log line is written", tuple(LogFormat)
    ),
    "log_file": Flag(("logging", "file"), Kind.PATH, "PATH", "write the log to this file as well as to stderr"),
    "fstab": Flag(("fstab", "enabled"), Kind.SWITCH, "", "write the four subvolume mounts to fstab, or do not"),
    "report": Flag(("report", "path"), Kind.PATH, "PATH", "where the report is written"),
    "run_dir": Flag(("run_dir",), Kind.PATH, "DIR", "where the checkpoint and the lock live"),
    "root": Flag(("root",), Kind.PATH, "DIR", "prefix for every path that is mounted on or written, default /"),
    "include": Flag(
        ("devices", "include"), Kind.LIST, "GLOB", "disks that may be taken; repeatable, replaces the list"
    ),
    "exclude": Flag(("devices", "exclude"), Kind.LIST, "GLOB", "disks to leave alone; repeatable, replaces the list"),
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


class CliOptions(NamedTuple):
    """What the command line asks for. (Not a dataclass: those cost every run 8 ms for importing inspect.)

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
