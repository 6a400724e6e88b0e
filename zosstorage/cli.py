"""Commands and flags: what is typed, checked and put into one frozen value. Nothing is read or written here."""

from __future__ import annotations

import argparse
import os.path
import textwrap
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from zosstorage import text
from zosstorage.errors import UnimplementedError, UsageError
from zosstorage.facts import STATES
from zosstorage.flags import FLAGS, CliOptions, Kind, Setting, spelled, well_formed

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "STATES", "CliOptions", "help_sections", "help_text", "parse"]

DOCUMENTS = ("config", "report", "checkpoint", "plan")
FORMATS = ("mermaid", "dot")


@frozen
class _Command:
    """A command: its own flags, its usage after the name, and its help."""

    flags: tuple[str, ...]
    usage: str
    help: str


COMMANDS = {
    "run": _Command((), "", "the whole machine, which is also what happens without a command"),
    "step": _Command(("--until",), "[--until STATE]", "the next unfinished state, or all up to and with STATE"),
    "plan": _Command(("--json",), "[--json]", "what run would do to each disk, and why; writes nothing"),
    "status": _Command(("--json",), "[--json]", "the checkpoint as a table; writes nothing"),
    "reset": _Command(("--from",), "[--from STATE]", "forget the checkpoint, or from STATE on; touches no disk"),
    "graph": _Command(("--format",), "[--format mermaid|dot]", "the state machine as a diagram"),
    "schema": _Command((), f"[{'|'.join(DOCUMENTS)}]", "JSON Schema of that document"),
    "config": _Command(
        ("--origins",), "show [--origins] | check FILE", "the merged configuration and its sources; or check one file"
    ),
}
_OWN_FLAGS = {
    "--json": ("", "plan, status: print JSON"),
    "--until": ("STATE", "step: stop after STATE"),
    "--from": ("STATE", "reset: forget STATE and what follows"),
    "--format": ("mermaid|dot", "graph: how to draw"),
    "--origins": ("", "config show: name the source of every key"),
}
_GLOBAL_FLAGS = {
    "--config": ("PATH", "a YAML file that ranks with the command line, below its flags"),
    "--set": ("KEY.PATH=VALUE", "set any key of the configuration; repeatable, VALUE is YAML"),
    "--cmdline": ("PATH", "where the kernel command line is read, default /proc/cmdline"),
    "--force": ("", "unimplemented: always ends with exit code 8, before anything else happens"),
    "--version": ("", "print the version and exit"),
    "--help": ("", "print this help and exit"),
}
_EXIT_CODES = (
    ("0", "provisioned, or already provisioned"),
    ("1", "a defect of zosstorage itself, or its output cannot be written"),
    ("2", "usage"),
    ("3", "configuration"),
    ("4", "no eligible disk, or not the expected number of them"),
    ("5", "a target disk is not empty, or what it carries contradicts the plan: nothing was written"),
    ("6", "a tool or a kernel feature is missing or too old, or a tool failed or timed out"),
    ("7", "another zosstorage holds the lock"),
    ("8", "unimplemented (--force)"),
)
_FILES = (
    ("/etc/zosstorage/config.yaml", "the configuration file, read when it is there"),
    ("/proc/cmdline", "zosstorage.KEY=VALUE words, which outrank everything else"),
    ("/run/zosstorage/checkpoint.json", "which states are done"),
    ("/run/zosstorage/state.json", "the report, written after success"),
    ("/run/zosstorage/lock", "held for the whole run"),
    ("/etc/fstab", "takes the four subvolume mounts, with --fstab"),
)


def _flag_table() -> tuple[tuple[str, str], ...]:
    rows = [(f"{_spelling(name)} {flag.metavar}".strip(), flag.help) for name, flag in FLAGS.items()]
    own = {**_GLOBAL_FLAGS, **_OWN_FLAGS}
    return (*rows, *((f"{name} {metavar}".strip(), told) for name, (metavar, told) in own.items()))


def _spelling(name: str) -> str:
    return f"{spelled(name)}/--no-{name}" if FLAGS[name].kind is Kind.SWITCH else spelled(name)


def help_sections() -> dict[str, tuple[tuple[str, str], ...]]:
    """What the help prints, and what the README must say as well: (left column, meaning) in titled tables."""
    commands = tuple((f"{name} {command.usage}".strip(), command.help) for name, command in COMMANDS.items())
    return {"Commands": commands, "Flags": _flag_table(), "Exit codes": _EXIT_CODES, "Files": _FILES}


def help_text() -> str:
    """What `--help` prints, ending with a newline."""
    lines = ["zosstorage [FLAGS] [COMMAND]", "", "Provisions the empty disks of a node on its first boot."]
    for title, rows in help_sections().items():
        width = max(len(left) for left, _ in rows)
        lines += ["", f"{title}:", *(line for left, told in rows for line in _row(left, told, width))]
    return "\n".join(lines) + "\n"


def _row(left: str, told: str, width: int) -> list[str]:
    first, *rest = textwrap.wrap(told, 76)
    return [f"  {left:<{width}}  {first}", *(" " * (width + 4) + line for line in rest)]


def parse(argv: Sequence[str]) -> CliOptions:
    """What `argv`, without the program's name, asks for.

    Raises:
        UnimplementedError: `--force` stands anywhere before `--`, whatever else is wrong.
        UsageError: an unknown command or flag, a missing or superfluous argument, a value that is none of its choices.
    """
    words, operands = _split(argv)
    if any(word == "--force" or word.startswith("--force=") for word in words):
        raise UnimplementedError(
            "--force is not implemented", hint="zosstorage never overwrites data; wipe a disk yourself if you mean it"
        )
    if {"--help", "-h"} & {*words}:
        return CliOptions(command="help")
    if "--version" in words:
        return CliOptions(command="version")
    given, rest = _parser().parse_known_args(words, argparse.Namespace(settings=[]))
    return _options(given, [*_no_flags(rest), *operands])


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    end = argv.index("--") if "--" in argv else len(argv)
    return list(argv[:end]), list(argv[end + 1 :])


class _Parser(argparse.ArgumentParser):
    """Tells one sentence where argparse would print its usage and exit."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        try:
            return super().parse_known_args(args, namespace)
        except argparse.ArgumentError as error:
            told = "takes no value" if "explicit" in error.message else "needs a value"
            raise _usage(f"{error.argument_name} {told}") from None


class _Record(argparse.Action):
    """Keeps the settings in the order typed: the last one wins, between flags and `--set` too."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:  # noqa: ARG002
        value = values if self.const is None else self.const
        namespace.settings.append(Setting(self.dest, _checked(str(option), self.dest, value)))


def _parser() -> _Parser:
    # It makes a formatter for each flag to see that it could be shown; without a width each asks for the terminal's.
    shown = partial(argparse.HelpFormatter, width=80)
    parser = _Parser(add_help=False, allow_abbrev=False, exit_on_error=False, formatter_class=shown)
    for name, flag in FLAGS.items():
        if flag.kind is Kind.SWITCH:
            parser.add_argument(spelled(name), dest=name, action=_Record, nargs=0, const=True)
            parser.add_argument(f"--no-{name}", dest=name, action=_Record, nargs=0, const=False)
        else:
            parser.add_argument(spelled(name), dest=name, action=_Record)
    parser.add_argument("--set", dest="set", action=_Record)
    for name, (metavar, _) in {**_GLOBAL_FLAGS, **_OWN_FLAGS}.items():
        if name not in {"--set", "--force", "--version", "--help"}:
            action = "store" if metavar else "store_true"
            parser.add_argument(name, dest=name, action=action, default=None)
    return parser


def _checked(option: str, name: str, value: str | bool) -> str | bool:
    if name == "set" and not well_formed(str(value)):
        raise _usage(f"--set: found {text.found(value)}, allowed: KEY.PATH=VALUE")
    if name == "set" or isinstance(value, bool):
        return value
    if FLAGS[name].choices:
        return _chosen(option, value, FLAGS[name].choices)
    return _absolute(option, value) if FLAGS[name].kind is Kind.PATH else value


def _chosen(option: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        close = text.nearest(value, choices)
        raise _usage(f"{option}: found {text.found(value)}{close}; allowed: {text.one_of(choices)}")
    return value


def _absolute(option: str, value: str) -> str:
    """A path typed in a shell is meant from where the shell is."""
    if not value:
        raise _usage(f"{option}: found an empty path")
    return os.path.abspath(value)  # noqa: PTH100  Path.absolute() keeps `..`


def _no_flags(rest: list[str]) -> list[str]:
    """The operands among what argparse did not take, or an error for the first that looks like a flag."""
    for word in rest:
        if word.startswith("-") and word != "-":
            flag = word.partition("=")[0]
            known = [*map(spelled, FLAGS), "--no-fstab", *_GLOBAL_FLAGS, *_OWN_FLAGS]
            if flag in known:
                raise _usage(f"{flag} takes no value")
            raise _usage(f"unknown flag {text.clean(flag)}{text.nearest(flag, known)}")
    return rest


def _options(given: argparse.Namespace, operands: list[str]) -> CliOptions:
    command, *operands = operands or ["run"]
    if command not in COMMANDS:
        raise _usage(f"unknown command '{text.clean(command)}'{text.nearest(command, COMMANDS)}")
    for flag in _OWN_FLAGS:
        if getattr(given, flag) is not None and flag not in COMMANDS[command].flags:
            owners = [name for name, other in COMMANDS.items() if flag in other.flags]
            raise _usage(f"{flag} belongs to {' and '.join(owners)}, not to {command}")
    return CliOptions(
        command=command,
        config=_path(given, "--config"),
        cmdline=_path(given, "--cmdline"),
        settings=tuple(given.settings),
        json=getattr(given, "--json") or False,
        until=_state(given, "--until"),
        start=_state(given, "--from"),
        format=_chosen("--format", getattr(given, "--format") or FORMATS[0], FORMATS),
        origins=getattr(given, "--origins") or False,
        **_operands(command, operands, getattr(given, "--origins")),
    )


def _path(given: argparse.Namespace, flag: str) -> str | None:
    value = getattr(given, flag)
    return None if value is None else _absolute(flag, value)


def _state(given: argparse.Namespace, flag: str) -> str | None:
    value = getattr(given, flag)
    return None if value is None else _chosen(flag, value, STATES)


def _operands(command: str, operands: list[str], origins: bool | None) -> dict[str, str]:
    match command, operands:
        case "schema", [document]:
            return {"document": _chosen("schema", document, DOCUMENTS)}
        case "config", ["show"]:
            return {"action": "show"}
        case "config", ["check", file] if not origins:
            return {"action": "check", "file": file}
        case "config", _:
            raise _usage(f"config takes {COMMANDS['config'].usage}")
        case _, []:
            return {}
    raise _usage(f"{command} does not take '{text.clean(operands[-1])}'")


def _usage(message: str) -> UsageError:
    return UsageError(message, hint="zosstorage --help lists commands and flags")
