"""Commands and flags: parses and checks the command line. Reads and writes no file."""

from __future__ import annotations

import argparse
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from zosstorage import text
from zosstorage.errors import EXIT_CODES, UnimplementedError, UsageError
from zosstorage.facts import STATES
from zosstorage.flags import FLAGS, CliOptions, Kind, Setting, absolute, checked, chosen, option_name, usage_error
from zosstorage.topologies import TOPOLOGIES

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
    "status": _Command(
        ("--json",),
        "[--json]",
        "print the checkpoint as a table; exit 0: all done in this boot, 1: failed, 4: pending; writes nothing",
    ),
    "verify": _Command(
        ("--json", "--prometheus"),
        "[--json|--prometheus]",
        "read everything back by other tools and compare it with the report; writes nothing",
    ),
    "reset": _Command(("--from",), "[--from STATE]", "forget all states, or STATE and later ones; touches no disk"),
    "graph": _Command(
        ("--format", "--layout"),
        "[--format FORM] [--layout MODE]",
        "print the state machine, or the disks of a topology, as a diagram",
    ),
    "schema": _Command((), f"[{'|'.join(DOCUMENTS)}]", "print the JSON Schema of that document"),
    "config": _Command(
        ("--origins",), "show [--origins] | check FILE", "print the merged configuration, or check one file"
    ),
}
_OWN_FLAGS = {
    "--json": ("", "plan, status, verify: print JSON"),
    "--prometheus": ("", "verify: print metrics in the text format of Prometheus"),
    "--all": ("", "plan: also show rejected disks of size 0"),
    "--verbose": ("", "plan: print all evidence, and model and WWN of each disk"),
    "--until": ("STATE", "step: stop after STATE"),
    "--from": ("STATE", "reset: forget STATE and all later states"),
    "--format": ("mermaid|dot", "graph: language of the diagram"),
    "--layout": ("MODE", "graph: draw the disks of a topology, as few as it needs, instead of the states"),
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
    ("/run/zosstorage/failure.json", "why the last run failed; removed after the next success"),
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


def log_flags(argv: Sequence[str]) -> CliOptions:
    """The flags of the log among arguments that cannot be parsed: their error goes to the log too."""
    words, _ = _split(argv)
    pairs = [(word, following) for word, following in zip(words, [*words[1:], ""], strict=True)]
    split = [tuple(word.split("=", 1)) if "=" in word else (word, following) for word, following in pairs]
    settings = []
    for option, value in split:
        name = next((name for name in ("log_level", "log_format", "log_file") if option == option_name(name)), None)
        if name:
            with suppress(UsageError):
                settings.append(Setting(name, checked(option, name, value)))
    return CliOptions(settings=tuple(settings))


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
            raise usage_error(f"{error.argument_name} {problem}") from None


class _Record(argparse.Action):
    """Collects the settings in the order given: the last one wins, also between a flag and `--set`."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:  # noqa: ARG002
        value = values if self.const is None else self.const
        namespace.settings.append(Setting(self.dest, checked(str(option), self.dest, value)))


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


def _checked_operands(rest: list[str]) -> list[str]:
    """The operands among the words that argparse did not parse; raises UsageError for a word that looks like a flag."""
    for word in rest:
        if word.startswith("-") and word != "-":
            flag = word.partition("=")[0]
            known = [*map(option_name, FLAGS), "--no-fstab", *_GLOBAL_FLAGS, *_OWN_FLAGS]
            if flag in known:
                raise usage_error(f"{flag} takes no value")
            raise usage_error(f"unknown flag {text.clean(flag)}{text.nearest(flag, known)}")
    return rest


def _options(given: argparse.Namespace, operands: list[str]) -> CliOptions:
    implied = not operands
    command, *operands = operands or ["run"]
    if command not in COMMANDS:
        raise usage_error(f"unknown command '{text.clean(command)}'{text.nearest(command, COMMANDS)}")
    for flag in _OWN_FLAGS:
        if getattr(given, flag) is not None and flag not in COMMANDS[command].flags:
            owners = [name for name, other in COMMANDS.items() if flag in other.flags]
            *most, last = owners
            belongs = f"{', '.join(most)} and {last}" if most else last
            raise usage_error(f"{flag} belongs to {belongs}, not to {command}")
    if getattr(given, "--json") and getattr(given, "--prometheus"):
        raise usage_error("--json and --prometheus exclude each other")
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
        format=chosen("--format", getattr(given, "--format") or FORMATS[0], FORMATS),
        layout=_topology(given, "--layout"),
        origins=getattr(given, "--origins") or False,
        **_operands(command, operands, getattr(given, "--origins")),
    )


def _path(given: argparse.Namespace, flag: str) -> str | None:
    value = getattr(given, flag)
    return None if value is None else absolute(flag, value)


def _state(given: argparse.Namespace, flag: str) -> str | None:
    value = getattr(given, flag)
    return None if value is None else chosen(flag, value, STATES)


def _topology(given: argparse.Namespace, flag: str) -> str | None:
    value = getattr(given, flag)
    return None if value is None else chosen(flag, value, tuple(TOPOLOGIES))


def _operands(command: str, operands: list[str], origins: bool | None) -> dict[str, str]:
    match command, operands:
        case "schema", [document]:
            return {"document": chosen("schema", document, DOCUMENTS)}
        case "config", ["show"]:
            return {"action": "show"}
        case "config", ["check", file] if not origins:
            return {"action": "check", "file": file}
        case "config", _:
            raise usage_error(f"config takes {COMMANDS['config'].usage}")
        case _, []:
            return {}
    raise usage_error(f"{command} does not take '{text.clean(operands[-1])}'")
