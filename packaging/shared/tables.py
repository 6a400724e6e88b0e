"""What the help knows of commands and flags, as the man page and the completions of shells need it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage import cli, topologies
from zosstorage.flags import FLAGS, option_name

if TYPE_CHECKING:
    from collections.abc import Iterator

# Placeholders of values that are chosen from a table.
_TABLES = {"STATE": cli.STATES, "MODE": tuple(topologies.TOPOLOGIES)}
_FOLDER, _FILES = "DIR", ("PATH", "FILE", "GLOB")
# A group that begins with a flag, `[--until STATE]`: no operand is in it.
_FLAG_GROUP = re.compile(r"\[--[^\]]*\]")


@frozen
class Flag:
    """A flag of the command line.

    Attributes:
        names: its spellings; a switch has two, `--fstab` and `--no-fstab`.
        metavar: the placeholder of its value; empty if it takes none.
        help: one line of help.
        choices: the values that are allowed; empty if any value is.
        commands: the commands that take it; empty if all do.
    """

    names: tuple[str, ...]
    metavar: str
    help: str
    choices: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def is_folder(self) -> bool:
        """Whether its value is the path of a directory."""
        return self.metavar == _FOLDER

    @property
    def is_path(self) -> bool:
        """Whether its value is the path of a file or a device node."""
        return self.metavar in _FILES and not self.choices

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be given more than once."""
        return "repeatable" in self.help


@frozen
class Command:
    """A command.

    Attributes:
        name: its name.
        usage: its arguments, as the help shows them.
        help: one line of help.
        words: the words that may follow it.
        before_file: those of `words` that a file follows.
    """

    name: str
    usage: str
    help: str
    words: tuple[str, ...]
    before_file: tuple[str, ...]


def flags() -> tuple[Flag, ...]:
    """All flags, in the order of the help."""
    return tuple(_flag(left, meaning) for left, meaning in cli.help_sections()["Flags"])


def flags_of(command: str) -> tuple[Flag, ...]:
    """The flags that only a command, or a few commands, take; with an empty name, those that all take."""
    return tuple(flag for flag in flags() if (command in flag.commands if command else not flag.commands))


def commands() -> tuple[Command, ...]:
    """All commands, in the order of the help."""
    return tuple(_commands())


def _flag(left: str, meaning: str) -> Flag:
    spellings, _, metavar = left.partition(" ")
    names, metavar = tuple(spellings.split("/")), metavar.rstrip("…")
    owners = tuple(name for name, command in cli.COMMANDS.items() if names[0] in command.flags)
    return Flag(names, metavar, meaning, _choices(names[0], metavar), owners)


def _choices(name: str, metavar: str) -> tuple[str, ...]:
    known = next((flag.choices for key, flag in FLAGS.items() if option_name(key) == name), ())
    found = known or _TABLES.get(metavar) or (metavar.split("|") if "|" in metavar else ())
    return tuple(map(str, found))


def _commands() -> Iterator[Command]:
    for name, command in cli.COMMANDS.items():
        operands = _FLAG_GROUP.sub("", command.usage)
        words = tuple(re.findall(r"\b[a-z]+\b", operands))
        yield Command(name, command.usage, command.help, words, tuple(re.findall(r"\b([a-z]+) FILE", operands)))
