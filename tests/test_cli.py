"""The command line: commands, flags, usage errors and the help."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from program import call

from zosstorage import __version__, cli
from zosstorage.errors import ExitCode, UnimplementedError, UsageError
from zosstorage.flags import FLAGS, Setting


def refused_by_the_parser(*argv: str) -> str:
    """The message of the error that the parser raises."""
    with pytest.raises(UsageError) as caught:
        cli.parse(argv)
    assert caught.value.exit_code is ExitCode.USAGE
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


def refused_by_the_program(*argv: str) -> str:
    """The message that the program logs, as JSON where stderr is no terminal."""
    done = call(*argv)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    logged = json.loads(line)
    assert (logged["event"], logged["level"], logged["exit_code"]) == ("refused", "ERROR", 2)
    assert logged["hint"]
    return str(logged["message"])


@pytest.fixture(params=[refused_by_the_parser, refused_by_the_program])
def refusal(request: pytest.FixtureRequest) -> Callable[..., str]:
    refuse: Callable[..., str] = request.param
    return refuse


def test_the_default_command_is_run() -> None:
    assert cli.parse([]) == cli.CliOptions(command="run")


@pytest.mark.parametrize("command", ["run", "step", "plan", "status", "verify", "reset", "graph", "schema"])
def test_parses_commands(command: str) -> None:
    assert cli.parse([command]).command == command


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        ("step --until mount", {"command": "step", "until": "mount"}),
        ("reset --from=format", {"command": "reset", "start": "format"}),
        ("plan --json", {"command": "plan", "json": True}),
        ("--json status", {"command": "status", "json": True}),
        ("verify --json", {"command": "verify", "json": True}),
        ("verify --prometheus", {"command": "verify", "prometheus": True}),
        ("graph --format dot", {"command": "graph", "format": "dot"}),
        ("graph --layout single", {"command": "graph", "layout": "single"}),
        ("schema report", {"command": "schema", "document": "report"}),
        ("schema plan", {"command": "schema", "document": "plan"}),
        ("config show", {"command": "config", "action": "show"}),
        ("config show --origins", {"command": "config", "action": "show", "origins": True}),
        ("config check f.yaml", {"command": "config", "action": "check", "file": "f.yaml"}),
        ("config check -- -f.yaml", {"command": "config", "action": "check", "file": "-f.yaml"}),
        ("-- plan", {"command": "plan"}),
        ("--cmdline /c --config /f run", {"cmdline": "/c", "config": "/f"}),
        ("--version", {"command": "version"}),
        ("plan --help --bogus", {"command": "help", "topic": "plan"}),
        ("--root plan --help", {"command": "help"}),
        ("--help --root / status", {"command": "help", "topic": "status"}),
        ("step --until --help", {"command": "help"}),
        ("plan --all --verbose", {"command": "plan", "all": True, "verbose": True}),
        ("-h", {"command": "help"}),
    ],
)
def test_parses_arguments(argv: str, options: dict[str, Any]) -> None:
    assert cli.parse(argv.split()) == cli.CliOptions(**options)


@pytest.mark.parametrize("argv", ["--topology single plan", "plan --topology single", "plan --topology=single"])
def test_accepts_global_flags_before_and_after_the_command(argv: str) -> None:
    assert cli.parse(argv.split()) == cli.CliOptions(command="plan", settings=(Setting("topology", "single"),))


def test_settings_keep_their_order() -> None:
    argv = [
        "--fstab",
        "--set",
        "a=1",
        "plan",
        "--no-fstab",
        "--include",
        "/dev/a",
        "--include",
        "/dev/b",
        "--set",
        "b=--x",
    ]
    assert cli.parse(argv).settings == (
        Setting("fstab", value=True),
        Setting("set", "a=1"),
        Setting("fstab", value=False),
        Setting("include", "/dev/a"),
        Setting("include", "/dev/b"),
        Setting("set", "b=--x"),
    )


@pytest.mark.parametrize("flag", ["--report", "--run-dir", "--root", "--log-file"])
def test_resolves_relative_paths_in_flags(flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (setting,) = cli.parse([flag, "a/../b"]).settings
    assert setting.value == f"{tmp_path}/b"
    named = cli.parse(["--config", "c", "--cmdline", "d"])
    assert (named.config, named.cmdline) == (f"{tmp_path}/c", f"{tmp_path}/d")


@pytest.mark.parametrize(
    "argv",
    [
        "--force",
        "run --force",
        "--force --bogus",
        "bogus --force",
        "--report --force",
        "--help --force",
        "--force=1",
        "--version --force",
        "step --until nowhere --force",
        "--set --force -- x",
    ],
)
def test_force_always_exits_with_code_8(argv: str) -> None:
    with pytest.raises(UnimplementedError) as caught:
        cli.parse(argv.split())
    assert caught.value.exit_code == 8
    assert "not implemented" in caught.value.message
    done = call(*argv.split())
    assert (done.returncode, done.stdout) == (8, "")
    assert caught.value.message in done.stderr


def test_force_after_two_dashes_is_an_operand() -> None:
    assert cli.parse(["config", "check", "--", "--force"]).file == "--force"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("--topolgy single", "unknown flag --topolgy (did you mean --topology?)"),
        ("--topo single", "unknown flag --topo (did you mean --topology?)"),
        ("plan --jsno", "unknown flag --jsno (did you mean --json?)"),
        ("--forc", "unknown flag --forc (did you mean --force?)"),
        ("--zzzzzzz=1", "unknown flag --zzzzzzz"),
        ("-x", "unknown flag -x"),
        ("stauts", "unknown command 'stauts' (did you mean status?)"),
        ("verifi", "unknown command 'verifi' (did you mean verify?)"),
        ("verify --json --prometheus", "--json and --prometheus exclude each other"),
        ("inventory", "unknown command 'inventory'"),
        ("plan --inventory f", "unknown flag --inventory"),
        ("run now", "run does not take 'now'"),
        ("step mount", "step does not take 'mount'"),
        ("config", "config takes show [--origins] | check FILE"),
        ("config shwo", "config takes show [--origins] | check FILE"),
        ("config check", "config takes show [--origins] | check FILE"),
        ("config check a b", "config takes show [--origins] | check FILE"),
        ("config check a --origins", "config takes show [--origins] | check FILE"),
        (
            "schema everything",
            "schema: found the text 'everything'; allowed: config, report, checkpoint, plan, failure",
        ),
        ("schema config report", "schema does not take 'report'"),
        ("--json", "--json belongs to plan, status and verify, not to run"),
        ("plan --until mount", "--until belongs to step, not to plan"),
        ("step --until mnt", "--until: found the text 'mnt' (did you mean mount?); allowed: discover, validate"),
        ("reset --from nowhere", "--from: found the text 'nowhere'; allowed: discover"),
        ("graph --format png", "--format: found the text 'png'; allowed: mermaid, dot"),
        (
            "--topology btrfs-raid1",
            "--topology: found the text 'btrfs-raid1' (did you mean btrfs_raid1?); allowed: auto, single",
        ),
        ("--log-level loud", "--log-level: found the text 'loud'; allowed: error, warn, info, debug"),
        ("--log-format xml", "--log-format: found the text 'xml'; allowed: auto, json, text"),
        ("--topology", "--topology needs a value"),
        ("--report --root /", "--report needs a value"),
        ("--report=", "--report: found an empty path"),
        ("--fstab=yes", "--fstab takes no value"),
        ("plan --json=1", "--json takes no value"),
        ("--version=1", "--version takes no value"),
        ("--set topology.mode", "--set: found the text 'topology.mode'; allowed: KEY.PATH=VALUE"),
        ("--set =1", "--set: found the text '=1'; allowed: KEY.PATH=VALUE"),
        ("--set a..b=1", "--set: found the text 'a..b=1'; allowed: KEY.PATH=VALUE"),
    ],
)
def test_reports_usage_errors(refusal: Callable[..., str], argv: str, expected: str) -> None:
    assert refusal(*argv.split()).startswith(expected)


def test_refuses_an_empty_command(refusal: Callable[..., str]) -> None:
    assert refusal("").startswith("unknown command ''")


def test_escapes_unprintable_arguments_in_messages(refusal: Callable[..., str]) -> None:
    assert refusal("a\nb\x1b[1m\udcff") == r"unknown command 'a\x0ab\x1b[1m\xff'"
    assert refusal("--a\nb\x1b").isprintable()


def test_the_help_names_all_flags_commands_and_exit_codes() -> None:
    text = cli.help_text()
    for name in FLAGS:
        assert f"--{name.replace('_', '-')}" in text
    for words in ("--set KEY.PATH=VALUE", "--cmdline PATH", "--force", "--version", "--until STATE", "/--no-fstab"):
        assert words in text
    for command in cli.COMMANDS:
        assert f"\n  {command}" in text
    for code in ExitCode:
        assert f"\n  {code.value}  " in text
    assert text.endswith("\n")
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_prints_the_help_of_a_command(command: str) -> None:
    done = call(command, "--help", "--bogus")
    assert (done.returncode, done.stdout, done.stderr) == (0, cli.help_text(command), "")
    assert done.stdout.startswith(f"Usage: zosstorage [FLAGS] {command}")
    assert all(flag in done.stdout for flag in cli.COMMANDS[command].flags)
    assert max(map(len, done.stdout.splitlines())) <= 120


@pytest.mark.parametrize("argv", ["--help", "-h", "--help --bogus"])
def test_prints_the_help(argv: str) -> None:
    done = call(*argv.split())
    assert (done.returncode, done.stdout, done.stderr) == (0, cli.help_text(), "")


def test_prints_the_version() -> None:
    assert call("--version").stdout == f"zosstorage {__version__}\n"


def test_the_help_has_all_rows_of_its_tables() -> None:
    text = " ".join(cli.help_text().split())
    for title, rows in cli.help_sections().items():
        assert f"{title}:" in text
        for left, expected in rows:
            assert f"{left} {expected}" in text


def test_every_flag_that_is_parsed_is_in_the_help() -> None:
    shown = cli.help_text()
    options = [option for action in cli._parser()._actions for option in action.option_strings]
    assert len(options) > 15
    assert all(option in shown or option == "--no-fstab" for option in options)
