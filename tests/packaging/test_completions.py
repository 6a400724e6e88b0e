"""The completions, in the shells themselves: bash and zsh on a terminal, fish by its own command for that."""

import os
import pty
import select
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import tables
from zosstorage import cli

FILES = Path(__file__).parents[2] / "packaging/completions"
# For a shell that knows the completions, {shown} is the file that it writes the words of a command to.
START = {
    "bash": "bind 'set enable-bracketed-paste off'; source {files}/zosstorage.bash",
    "zsh": "fpath=({files} $fpath); autoload -Uz compinit; compinit -u -D; setopt nolistbeep",
}
ARGV = {"bash": ("bash", "--norc", "--noprofile", "-i"), "zsh": ("zsh", "-f", "-i")}
Complete = Callable[[str], list[str]]


@pytest.fixture(params=ARGV)
def typed(request: pytest.FixtureRequest, tmp_path: Path) -> Complete:
    """Type a line in a shell, tabs included, and return the words that the shell ran."""
    shown = tmp_path / "shown"
    (tmp_path / "a folder").mkdir()
    (tmp_path / "site.yaml").touch()

    def run(line: str) -> list[str]:
        start = START[request.param].format(files=shlex.quote(str(FILES)))
        lines = [f"{start}; zosstorage() {{ printf '%s\\n' \"$@\" >shown.new; mv shown.new shown; }}", line]
        environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(tmp_path)
            os.execvpe(ARGV[request.param][0], ARGV[request.param], environment)  # noqa: S606
        try:
            for one in lines:
                drain(terminal)
                os.write(terminal, one.encode() + b"\n")
            deadline = time.monotonic() + 30
            while not shown.exists() and time.monotonic() < deadline:
                drain(terminal)
            return shown.read_text("utf-8").splitlines()
        finally:
            os.close(terminal)
            os.waitpid(child, 0)

    return run


def drain(terminal: int) -> None:
    """Read what a shell writes until it waits for input."""
    while select.select([terminal], [], [], 0.5)[0]:
        os.read(terminal, 4096)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("zosstorage gra\t", ["graph"]),
        ("zosstorage --topo\t dua\t pl\t --js\t", ["--topology", "dual_independent", "plan", "--json"]),
        ("zosstorage sche\t che\t", ["schema", "checkpoint"]),
        ("zosstorage ste\t --unt\tpart\t", ["step", "--until", "partition"]),
        ("zosstorage conf\t che\t sit\t", ["config", "check", "site.yaml"]),
        ("zosstorage --run-d\ta\\ f\t", ["--run-dir", "a folder"]),
        ("zosstorage --set fsta\ten\ttrue", ["--set", "fstab.enabled=true"]),
        ("zosstorage --log-level=deb\t stat\t", ["--log-level=debug", "status"]),
        ("zosstorage --topology single gra\t --form\tme\t", ["--topology", "single", "graph", "--format", "mermaid"]),
    ],
    ids=lambda value: value.replace("\t", "<TAB>") if isinstance(value, str) else "",
)
def test_tab_completes(typed: Complete, line: str, words: list[str]) -> None:
    found = [word.rstrip("/") for word in typed(line)]
    if found and any(word.startswith("--") and "=" in word for word in found) and "--set" not in found:
        found = [part for word in found for part in word.split("=")]
        words = [part for word in words for part in word.split("=")]
    assert found == words


def bash_offers(line: str) -> list[str]:
    """What bash offers for the last word of a line; the function is called as bash calls it."""
    words = line.split(" ")
    call = (
        f"compopt() {{ :; }}; source {shlex.quote(str(FILES / 'zosstorage.bash'))}; "
        f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}; _zosstorage; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", call], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


def fish_offers(line: str) -> list[str]:
    """What fish offers for the last word of a line."""
    call = f"source {shlex.quote(str(FILES / 'zosstorage.fish'))}; complete -C {shlex.quote(line)}"
    done = subprocess.run(["fish", "--no-config", "-c", call], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return [row.partition("\t")[0] for row in done.stdout.splitlines()]


def names(command: str) -> set[str]:
    """The flags that fit behind a command; without one, those that all commands take."""
    found = [*tables.flags_of(""), *(tables.flags_of(command) if command else ())]
    return {name for flag in found for name in flag.names}


@pytest.mark.parametrize("offers", [bash_offers, fish_offers], ids=["bash", "fish"])
class TestOffers:
    def test_all_commands_and_nothing_else(self, offers: Complete) -> None:
        assert set(offers("zosstorage ")) == set(cli.COMMANDS)
        assert set(offers("zosstorage --fstab --topology single ")) == set(cli.COMMANDS)
        assert offers("zosstorage run ") in ([], [""])

    @pytest.mark.parametrize("command", ["", *cli.COMMANDS])
    def test_the_flags_of_a_command(self, offers: Complete, command: str) -> None:
        assert set(offers(f"zosstorage {command} --".replace("  ", " "))) == names(command)

    @pytest.mark.parametrize("flag", [flag for flag in tables.flags() if flag.choices], ids=lambda flag: flag.names[0])
    def test_the_choices_of_a_flag(self, offers: Complete, flag: tables.Flag) -> None:
        command = flag.commands[0] if flag.commands else "run"
        found = offers(f"zosstorage {command} {flag.names[0]} ")
        assert set(found) == set(flag.choices)
        for word in found:
            assert cli.parse([command, flag.names[0], word]).command == command

    def test_the_operands_of_commands(self, offers: Complete) -> None:
        assert set(offers("zosstorage schema ")) == set(cli.DOCUMENTS)
        assert set(offers("zosstorage --log-level info config ")) == {"show", "check"}
        assert set(offers("zosstorage schema config ")) <= {""}

    def test_the_keys_of_set(self, offers: Complete) -> None:
        found = offers("zosstorage --set topology.")
        assert set(found) == {"topology.mode=", "topology.cache=", "topology.backing="}
