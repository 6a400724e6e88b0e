"""The hook with a fake zosstorage; vm-tests run the hook with the real program."""

import os
import subprocess
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / "packaging/alpine/hook"
REFUSED = "10:00:00 INFO    verdict\n10:00:01 ERROR   /dev/vda is not empty: ext4 (at byte 1080) exit_code=5\n"
# In a PID namespace, a real reboot that a test calls by mistake ends the namespace and not the machine.
NAMESPACE = ["unshare", "--pid", "--fork"] if os.geteuid() == 0 else []


class Boot:
    """A kernel command line, a console, and fake tools that record their calls."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.console = folder, folder / "console"
        self.console.touch()
        (folder / "bin").mkdir()
        (folder / "run").mkdir()
        self.calls = folder / "calls"
        self.calls.touch()
        for name in ("reboot", "poweroff", "sleep", "sync", "modprobe"):
            self.tool(name, "")
        self.zosstorage("0")

    def tool(self, name: str, script: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.calls}\n{script}\n')
        path.chmod(0o755)

    def zosstorage(self, *codes: str, stderr: str = "") -> None:
        """Make a fake that exits with one of the codes at each call, and with the last one at all further calls."""
        (self.folder / "stderr").write_text(stderr)
        counter, cases = self.folder / "count", "".join(f"{n}) exit {code} ;;" for n, code in enumerate(codes))
        count = f"n=$(cat {counter} 2>/dev/null || echo 0); echo $((n + 1)) >{counter}"
        self.tool(
            "zosstorage", f"cat {self.folder}/stderr >&2\n{count}\ncase $n in {cases} *) exit {codes[-1]} ;; esac"
        )

    def __call__(self, words: str = "", conf: str = "", console: Path | None = None) -> int:
        (self.folder / "cmdline").write_text(f"quiet {words}\n")
        (self.folder / "conf").write_text(conf)
        environment = {
            "PATH": f"{self.folder}/bin:/usr/bin:/bin",
            "ZOSSTORAGE_CMDLINE": f"{self.folder}/cmdline",
            "ZOSSTORAGE_CONF": f"{self.folder}/conf",
            "ZOSSTORAGE_CONSOLE": str(console or self.console),
            "ZOSSTORAGE_RUN": f"{self.folder}/run",
        }
        done = subprocess.run(
            [*NAMESPACE, "/bin/sh", HOOK], env=environment, capture_output=True, text=True, check=False
        )
        assert not done.stderr, done.stderr
        return done.returncode

    def called(self, name: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if line.split()[0] == name]

    @property
    def output(self) -> str:
        return self.console.read_text()


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    return Boot(tmp_path)


def test_success_prints_nothing(boot: Boot) -> None:
    assert boot() == 0
    log_file = f"{boot.folder}/run/zosstorage/zosstorage.log"
    words = f"--log-format text --log-file {log_file} --set logging.kmsg=true run"
    assert boot.called("zosstorage") == [f"zosstorage {words}"]
    assert not boot.output


def test_the_configuration_sets_the_arguments(boot: Boot) -> None:
    assert boot(conf='zosstorage_args="--config /etc/other.yaml"') == 0
    assert boot.called("zosstorage") == ["zosstorage --config /etc/other.yaml run"]


def test_drivers_are_loaded_before_zosstorage_runs(boot: Boot) -> None:
    assert boot(conf='zosstorage_modules="one two"') == 0
    names = [line.split()[0] for line in boot.calls.read_text().splitlines()]
    assert boot.called("modprobe")[:2] == ["modprobe -q one", "modprobe -q two"]
    assert names[-1] == "zosstorage"
    assert set(names[:-1]) == {"modprobe"}


def test_the_boot_continues_by_default(boot: Boot) -> None:
    boot.zosstorage("5", stderr=REFUSED)
    assert boot() == 5
    assert "/dev/vda is not empty: ext4 (at byte 1080)" in boot.output
    assert "verdict" not in boot.output
    assert "failed with exit code 5; policy: continue" in boot.output
    assert not boot.called("reboot")
    assert not boot.called("poweroff")


@pytest.mark.parametrize(
    "stderr",
    [
        '{"level": "INFO", "message": "x"}\n{"level": "ERROR", "message": "/dev/vda is not empty"}\n',
        "zosstorage: the configuration cannot be used\n  /dev/vda is not empty\nhint: look\n",
        "sh: /dev/vda is not empty\n",
    ],
)
def test_the_console_shows_errors_in_every_format(boot: Boot, stderr: str) -> None:
    boot.zosstorage("5", stderr=stderr)
    assert boot() == 5
    assert "/dev/vda is not empty" in boot.output


@pytest.mark.parametrize("policy", ["reboot", "poweroff"])
def test_the_policy_ends_the_boot(boot: Boot, policy: str) -> None:
    boot.zosstorage("6", stderr=REFUSED)
    boot(f"zosstorage.on_failure={policy}", conf="zosstorage_pause=7")
    assert boot.called(policy) == [f"{policy} -f"]
    assert boot.called("sleep") == ["sleep 7"]
    assert f"{policy} in 7 seconds" in boot.output
    assert len(boot.called("reboot") + boot.called("poweroff")) == 1


def test_the_policy_shell_starts_a_shell_on_the_console(boot: Boot, tmp_path: Path) -> None:
    boot.zosstorage("5")
    boot.tool("sh", "echo a shell was here")
    assert boot("zosstorage.on_failure=shell") == 5
    assert "a shell was here" in boot.output
    assert "failed with exit code 5" in boot.output


@pytest.mark.parametrize(
    "words",
    [
        "zosstorage.on_failure=reboot",
        "zosstorage.on-failure=reboot",
        'zosstorage.on_failure="reboot"',
        '"zosstorage.on_failure=reboot"',
        "zosstorage.on_failure=shell zosstorage.on_failure=reboot",
        "zosstorage.include=/dev/* zosstorage.on_failure=reboot",
        "zosstorage.on_failure=reboot -- zosstorage.on_failure=poweroff",
    ],
)
def test_the_command_line_is_parsed_as_the_program_does(boot: Boot, words: str) -> None:
    boot.zosstorage("5")
    boot(words, conf="zosstorage_on_failure=poweroff")
    assert boot.called("reboot") == ["reboot -f"]
    assert not boot.called("poweroff")


def test_the_configuration_sets_the_policy(boot: Boot) -> None:
    boot.zosstorage("5")
    boot(conf="zosstorage_on_failure=poweroff")
    assert boot.called("poweroff") == ["poweroff -f"]


def test_an_unknown_policy_is_reported_and_the_boot_continues(boot: Boot) -> None:
    boot.zosstorage("3")
    assert boot("zosstorage.on_failure=halt") == 3
    assert "unknown policy halt; use continue, shell, reboot or poweroff" in boot.output


def test_the_hook_waits_for_disks(boot: Boot) -> None:
    boot.zosstorage("4", "4", "0", stderr=REFUSED)
    assert boot() == 0
    assert len(boot.called("zosstorage")) == 3
    assert boot.called("sleep") == ["sleep 1", "sleep 1"]
    assert not boot.output


def test_the_wait_ends_after_the_configured_seconds(boot: Boot) -> None:
    boot.zosstorage("4", stderr="10:00:00 ERROR   no eligible disk\n")
    assert boot("zosstorage.wait=3") == 4
    assert len(boot.called("zosstorage")) == 4
    assert boot.output.count("no eligible disk") == 1


@pytest.mark.parametrize("wait", ["0", "", "soon"])
def test_the_wait_can_be_disabled(boot: Boot, wait: str) -> None:
    boot.zosstorage("4")
    assert boot(f"zosstorage.wait={wait}") == 4
    assert len(boot.called("zosstorage")) == 1


@pytest.mark.parametrize("code", ["1", "3", "5", "6", "7"])
def test_no_other_exit_code_is_retried(boot: Boot, code: str) -> None:
    boot.zosstorage(code)
    assert boot() == int(code)
    assert len(boot.called("zosstorage")) == 1


def test_the_console_gets_no_control_characters(boot: Boot) -> None:
    boot.zosstorage("5", stderr="zosstorage: label \x1b[2J\x07 \u009b31m\n")
    boot(words="zosstorage.on_failure=\\033[2J\x1b[2J")
    assert "label ?[2J?" in boot.output
    assert all(line.isprintable() and line.isascii() for line in boot.output.splitlines())
    assert "unknown policy \\033[2J?[2J;" in boot.output
