"""Commands and flags: parses and checks the command line. Reads and writes no file."""

from __future__ import annotations

import argparse
import os.path
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from zosstorage import text
from zosstorage.errors import EXIT_CODES, UnimplementedError, UsageError
from zosstorage.facts import STATES
from zosstorage.flags import FLAGS, CliOptions, Kind, Setting, is_assignment, option_name

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "STATES", "CliOptions", "help_sections", "help_text", "parse"]

DOCUMENTS = ("config", "report", "checkpoint", "plan", "failure", "event")
FORMATS = ("mermaid", "dot")


@frozen
class _Command:
    """A command.

    Attributes:
        flags: the flags that only this command (or a few commands) takes.
        usage: its arguments, as the help shows them after the name.
        help: one line of help.
    """

    flags: tuple[str, ...]
    usage: str
    help: str


COMMANDS = {
    "run": _Command((), "", "run all states; the default command where no terminal is"),
    "step": _Command(
        ("--until",), "[--until STATE]", "run the next unfinished state, or all up to and including STATE"
    ),
    "plan": _Command(
        ("--json", "--all", "--verbose"),
        "[--json] [--all] [--verbose]",
        "print what run would do to each disk, and why; writes nothing",
    ),
    "status": _Command(("--json",), "[--json]", "print the checkpoint as a table; writes nothing"),
    "verify": _Command(
        ("--json", "--prometheus"),
        "[--json|--prometheus]",
        "read everything back by other tools and compare it with the report; writes nothing",
    ),
    "reset": _Command(("--from",), "[--from STATE]", "forget all states, or STATE and later ones; touches no disk"),
    "graph": _Command(("--format",), "[--format mermaid|dot]", "print the state machine as a diagram"),
    "schema": _Command((), f"[{'|'.join(DOCUMENTS)}]", "print the JSON Schema of that document"),
    "config": _Command(
        ("--origins",), "show [--origins] | check FILE", "print the merged configuration, or check one file"
    ),
}
_OWN_FLAGS = {
    "--json": ("", "plan, status, verify: print JSON"),
    "--prometheus": ("", "verify: print metrics in the text format of Prometheus"),
    "--all": ("", "plan: also show rejected disks of size 0"),
    "--verbose": ("", "plan: print all evidence, the commands and what they make"),
    "--until": ("STATE", "step: stop after STATE"),
    "--from": ("STATE", "reset: forget STATE and all later states"),
    "--format": ("mermaid|dot", "graph: language of the diagram"),
    "--origins": ("", "config show: print the source of each key"),
}
_GLOBAL_FLAGS = {
    "--config": ("PATH", "YAML file that overrides the default configuration file; flags override it"),
    "--set": ("KEY.PATH=VALUE", "set any configuration key; repeatable; VALUE is YAML"),
    "--cmdline": ("PATH", "file that holds the kernel command line (default /proc/cmdline)"),
    "--force": ("", "unimplemented: always exits with code 8 before anything else happens"),
    "--version": ("", "print the version and exit"),
    "--help": ("", "print this help and exit"),
}
_FILES = (
    ("/etc/zosstorage/config.yaml", "default configuration file; it may be missing"),
    ("/proc/cmdline", "zosstorage.KEY=VALUE parameters, which override all other settings"),
    ("/run/zosstorage/checkpoint.json", "which states are done"),
    ("/run/zosstorage/state.json", "report, written after success"),
    ("/run/zosstorage/lock", "lock, held during the whole run"),
    ("/etc/fstab", "gets the four subvolume mounts, with --fstab"),
)


def _flag_table() -> tuple[tuple[str, str], ...]:
    rows = [(f"{_spelling(name)} {flag.metavar}".strip(), flag.help) for name, flag in FLAGS.items()]
    own = {**_GLOBAL_FLAGS, **_OWN_FLAGS}
    return (*rows, *((f"{name} {metavar}".strip(), meaning) for name, (metavar, meaning) in own.items()))


def _spelling(name: str) -> str:
    return f"{option_name(name)}/--no-{name}" if FLAGS[name].kind is Kind.SWITCH else option_name(name)


def help_sections() -> dict[str, tuple[tuple[str, str], ...]]:
    """The tables of the help by their titles, as (left column, meaning) rows; the README shows the same tables."""
    commands = tuple((f"{name} {command.usage}".strip(), command.help) for name, command in COMMANDS.items())
    return {"Commands": commands, "Flags": _flag_table(), "Exit codes": EXIT_CODES, "Files": _FILES}


def help_text(command: str = "") -> str:
    """The text that `--help` prints, or `COMMAND --help`, with a newline at the end."""
    if command:
        return _command_help(command)
    lines = ["Usage: zosstorage [FLAGS] [COMMAND]", "", "Provisions the empty disks of a node on its first boot."]
    return "\n".join([*lines, *text.sections(help_sections())]) + "\n"


def _command_help(command: str) -> str:
    known = COMMANDS[command]
    usage = f"Usage: zosstorage [FLAGS] {command} {known.usage}".rstrip()
    own = [
        (f"{flag} {metavar}".strip(), meaning) for flag, (metavar, meaning) in _OWN_FLAGS.items() if flag in known.flags
    ]
    lines = [usage, "", f"{known.help[0].upper()}{known.help[1:]}.", *text.sections({"Flags": own} if own else {})]
    return (
        "\n".join([*lines, "", "zosstorage --help lists the flags of all commands, the exit codes and the files."])
        + "\n"
    )


def parse(argv: Sequence[str]) -> CliOptions:
    """Parse `argv`, which does not include the program name.

    Raises:
        UnimplementedError: `--force` is anywhere before `--`, whatever else is wrong.
        UsageError: an unknown command or flag, a missing or extra argument, or a value that is not allowed.
    """
    words, operands = _split(argv)
    if any(word == "--force" or word.startswith("--force=") for word in words):
        raise UnimplementedError(
            "--force is not implemented", hint="zosstorage never overwrites data; run it without --force"
        )
    if {"--help", "-h"} & {*words}:
        return CliOptions(command="help", topic=_topic(words))
    if "--version" in words:
        return CliOptions(command="version")
    given, rest = _parser().parse_known_args(words, argparse.Namespace(settings=[]))
    return _options(given, [*_checked_operands(rest), *operands])


def _topic(words: Sequence[str]) -> str:
    """The command that `--help` is asked about; empty if none is named."""
    try:
        _, rest = _parser().parse_known_args(list(words), argparse.Namespace(settings=[]))
    except UsageError:
        return ""
    return next((word for word in rest if word in COMMANDS), "")


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    end = argv.index("--") if "--" in argv else len(argv)
    return list(argv[:end]), list(argv[end + 1 :])


class _Parser(argparse.ArgumentParser):
    """Raises UsageError with one sentence instead of printing a usage message and exiting."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        try:
            return super().parse_known_args(args, namespace)
        except argparse.ArgumentError as error:
            problem = "takes no value" if "explicit" in error.message else "needs a value"
            raise _usage_error(f"{error.argument_name} {problem}") from None


class _Record(argparse.Action):
    """Collects the settings in the order given: the last one wins, also between a flag and `--set`."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:  # noqa: ARG002
        value = values if self.const is None else self.const
        namespace.settings.append(Setting(self.dest, _checked(str(option), self.dest, value)))


def _parser() -> _Parser:
    # argparse makes a formatter for each flag that is added; without a width each one asks for the terminal size.
    formatter = partial(argparse.HelpFormatter, width=80)
    parser = _Parser(add_help=False, allow_abbrev=False, exit_on_error=False, formatter_class=formatter)
    for name, flag in FLAGS.items():
        if flag.kind is Kind.SWITCH:
            parser.add_argument(option_name(name), dest=name, action=_Record, nargs=0, const=True)
            parser.add_argument(f"--no-{name}", dest=name, action=_Record, nargs=0, const=False)
        else:
            parser.add_argument(option_name(name), dest=name, action=_Record)
    parser.add_argument("--set", dest="set", action=_Record)
    for name, (metavar, _) in {**_GLOBAL_FLAGS, **_OWN_FLAGS}.items():
        if name not in {"--set", "--force", "--version", "--help"}:
            action = "store" if metavar else "store_true"
            parser.add_argument(name, dest=name, action=action, default=None)
    return parser


def _checked(option: str, name: str, value: str | bool) -> str | bool:
    if name == "set" and not is_assignment(str(value)):
        raise _usage_error(f"--set: found {text.found(value)}; allowed: KEY.PATH=VALUE")
    if name == "set" or isinstance(value, bool):
        return value
    if FLAGS[name].choices:
        return _chosen(option, value, FLAGS[name].choices)
    return _absolute(option, value) if FLAGS[name].kind is Kind.PATH else value


def _chosen(option: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        close = text.nearest(value, choices)
        raise _usage_error(f"{option}: found {text.found(value)}{close}; allowed: {text.one_of(choices)}")
    return value


def _absolute(option: str, value: str) -> str:
    """Make a path absolute: the shell's working directory is the base of a relative one."""
    if not value:
        raise _usage_error(f"{option}: found an empty path")
    return os.path.abspath(value)  # noqa: PTH100  Path.absolute() keeps `..`


def _checked_operands(rest: list[str]) -> list[str]:
    """The operands among the words that argparse did not parse; raises UsageError for a word that looks like a flag."""
    for word in rest:
        if word.startswith("-") and word != "-":
            flag = word.partition("=")[0]
            known = [*map(option_name, FLAGS), "--no-fstab", *_GLOBAL_FLAGS, *_OWN_FLAGS]
            if flag in known:
                raise _usage_error(f"{flag} takes no value")
            raise _usage_error(f"unknown flag {text.clean(flag)}{text.nearest(flag, known)}")
    return rest


def _options(given: argparse.Namespace, operands: list[str]) -> CliOptions:
    implied = not operands
    command, *operands = operands or ["run"]
    if command not in COMMANDS:
        raise _usage_error(f"unknown command '{text.clean(command)}'{text.nearest(command, COMMANDS)}")
    for flag in _OWN_FLAGS:
        if getattr(given, flag) is not None and flag not in COMMANDS[command].flags:
            owners = [name for name, other in COMMANDS.items() if flag in other.flags]
            *most, last = owners
            belongs = f"{', '.join(most)} and {last}" if most else last
            raise _usage_error(f"{flag} belongs to {belongs}, not to {command}")
    if getattr(given, "--json") and getattr(given, "--prometheus"):
        raise _usage_error("--json and --prometheus exclude each other")
    return CliOptions(
        command=command,
        implied=implied,
        config=_path(given, "--config"),
        cmdline=_path(given, "--cmdline"),
        settings=tuple(given.settings),
        json=getattr(given, "--json") or False,
        all=getattr(given, "--all") or False,
        verbose=getattr(given, "--verbose") or False,
        prometheus=getattr(given, "--prometheus") or False,
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
            raise _usage_error(f"config takes {COMMANDS['config'].usage}")
        case _, []:
            return {}
    raise _usage_error(f"{command} does not take '{text.clean(operands[-1])}'")


def _usage_error(message: str) -> UsageError:
    return UsageError(message, hint="zosstorage --help lists commands and flags")
