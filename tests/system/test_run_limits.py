"""Time limits, and children that outlive a command."""

import os
import signal
from pathlib import Path

import pytest
from children import expired, gone, pids, status, wait_for_pids
from fakes import FakeTools

from zosstorage.errors import ExitCode, ToolError
from zosstorage.system import run, running
from zosstorage.system.running import LIMIT


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_GRACE", 0.1)


def test_a_command_that_takes_too_long_is_killed_with_its_children(fake_tools: FakeTools, tmp_path: Path) -> None:
    body = f"/bin/sleep 600 & echo $! > {tmp_path}/pid.child; echo $$ > {tmp_path}/pid.self; wait"
    fake_tools("slow", body=body)
    error = expired(run.start(["slow", "/dev/sda"]), tmp_path, 2)
    assert error.exit_code is ExitCode.TOOL
    assert error.message == "slow /dev/sda took longer than 0.01 s and was killed"
    assert error.hint == "look for a failing disk in the kernel's log, or raise tools.timeout"
    assert (error.argv, error.status) == (("slow", "/dev/sda"), None)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_a_command_that_ignores_sigterm_is_killed(fake_tools: FakeTools, tmp_path: Path, short_grace: None) -> None:
    fake_tools("deaf", body=f"trap '' TERM; echo $$ > {tmp_path}/pid.self; while :; do /bin/sleep 1; done")
    expired(run.start(["deaf"]), tmp_path)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_a_child_that_ignores_sigterm_and_holds_no_pipe_is_killed(fake_tools: FakeTools, tmp_path: Path) -> None:
    """SIGTERM ends the command itself; SIGKILL must still be sent to the rest of its group."""
    child = f"(trap '' TERM; echo > {tmp_path}/deaf; while :; do /bin/sleep 1; done) < /dev/null > /dev/null 2>&1 &"
    wait = f"until [ -e {tmp_path}/deaf ]; do /bin/sleep 0.01; done"
    body = f"{child} echo $! > {tmp_path}/pid.child; {wait}; echo $$ > {tmp_path}/pid.self; exec /bin/sleep 600"
    fake_tools("slow", body=body)
    expired(run.start(["slow"]), tmp_path, 2)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_output_before_the_kill_is_kept(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("slow", body=f"echo half done >&2; echo $$ > {tmp_path}/pid.self; exec /bin/sleep 600")
    assert expired(run.start(["slow"]), tmp_path).stderr == "half done\n"


def test_a_command_that_ended_in_time_is_not_late(fake_tools: FakeTools, tmp_path: Path) -> None:
    """A scan of whole disks may exceed the time limit of commands; the probers that ran meanwhile must not fail."""
    fake_tools("prober", body=f"printf 'TYPE=%040000d' 0; echo late >&2; echo $$ > {tmp_path}/pid.self")
    prober = run.start(["prober"])
    wait_for_pids(tmp_path, 1)
    assert gone(pids(tmp_path)[0])
    LIMIT.seconds = 0.01
    done = prober.wait()
    assert (done.status, len(done.stdout), done.stderr) == (0, 40005, "late\n")


def test_a_command_that_writes_without_end_is_killed(fake_tools: FakeTools, tmp_path: Path, short_grace: None) -> None:
    fake_tools("talker", body=f"echo $$ > {tmp_path}/pid.self; while :; do echo and on; done")
    expired(run.start(["talker"]), tmp_path)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_a_hanging_command_does_not_hide_that_others_ended(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("slow", body=f"echo $$ > {tmp_path}/pid.slow; exec /bin/sleep 600")
    fake_tools("quick", body=f"echo $$ > {tmp_path}/pid.quick")
    both = [run.start(["slow"]), run.start(["quick"])]
    wait_for_pids(tmp_path, 2)
    assert gone(pids(tmp_path)[0])
    LIMIT.seconds = 0.01
    with pytest.raises(ToolError, match="slow took longer"):
        run.wait_all(both)
    assert status(both[1]) == 0
    assert all(gone(pid) for pid in pids(tmp_path))


def test_reports_the_first_command_that_takes_too_long(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("slow", body=f"echo $$ > {tmp_path}/pid.$1; exec /bin/sleep 600")
    both = [run.start(["slow", name]) for name in ("one", "two")]
    wait_for_pids(tmp_path, 2)
    LIMIT.seconds = 0.01
    with pytest.raises(ToolError, match=r"^slow one took longer"):
        run.wait_all(both)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_does_not_wait_for_a_command_that_cannot_be_killed(
    fake_tools: FakeTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_grace: None
) -> None:
    fake_tools("stuck", body=f"echo $$ > {tmp_path}/pid.self; exec /bin/sleep 600")
    stuck, sent = run.start(["stuck"]), []
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", lambda *how: sent.append(how))
        error = expired(stuck, tmp_path)
        run.kill_all([stuck])  # as a `with` block does at its end; sends no further signal
    (pid,) = pids(tmp_path)
    assert error.message == "stuck took longer than 0.01 s and cannot be killed: it hangs in the kernel"
    assert error.argv == ()  # so that it is not retried
    assert sent == [(pid, 15), (pid, 9)]
    os.killpg(pid, 9)
    assert gone(pid)
    assert stuck.wait().status == -9


def test_a_quick_command_is_not_killed(fake_tools: FakeTools) -> None:
    fake_tools("quick", delay=0.05)
    LIMIT.seconds = 60
    assert run.command(["quick"]).status == 0


# Children that outlive a command.


@pytest.mark.parametrize("redirect", ["2>/dev/null", ">/dev/null", ""])
def test_a_grandchild_that_keeps_a_pipe_is_waited_for(fake_tools: FakeTools, redirect: str) -> None:
    fake_tools("leave", body=f"(/bin/sleep 0.3; echo late; echo late >&2) {redirect} &")
    done = run.command(["leave"])
    assert done.status == 0
    assert done.stdout + done.stderr == ("late\n" if redirect else "late\nlate\n")


def test_a_grandchild_that_keeps_a_pipe_is_killed_at_the_limit(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("leave", body=f"/bin/sleep 600 & echo $! > {tmp_path}/pid.child")
    expired(run.start(["leave"]), tmp_path)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_a_grandchild_that_keeps_no_pipe_is_not_waited_for(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("leave", body=f"/bin/sleep 600 < /dev/null > /dev/null 2>&1 & echo $! > {tmp_path}/pid.child")
    assert run.command(["leave"]).status == 0
    (pid,) = pids(tmp_path)
    os.kill(pid, 9)
    assert gone(pid)


def test_a_command_that_closes_its_pipes_is_waited_for(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("mute", body=f"exec > /dev/null 2>&1; /bin/sleep 0.3; echo > {tmp_path}/ended", status=3)
    assert run.command(["mute"], ok=(3,)).status == 3
    assert (tmp_path / "ended").exists()


def test_a_process_that_keeps_the_output_open_is_told_as_that(
    fake_tools: FakeTools, tmp_path: Path, short_grace: None
) -> None:
    fake_tools("daemon", body=f"/usr/bin/setsid /bin/sh -c 'echo $$ > {tmp_path}/pid.self; exec /bin/sleep 600' &")
    daemon = run.start(["daemon"])
    error = expired(daemon, tmp_path)
    (pid,) = pids(tmp_path)
    os.kill(pid, signal.SIGKILL)
    LIMIT.seconds = 600
    daemon.wait()
    assert "hangs in the kernel" not in error.message
    assert error.message.endswith("a process that it started left its session and still has its output open")
    assert error.argv == ()


@pytest.mark.parametrize("stream", [1, 2])
def test_endless_output_is_an_error_and_not_a_shorter_answer(
    fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch, short_grace: None, stream: int
) -> None:
    monkeypatch.setattr(running, "OUTPUT_BYTES", 1 << 20)
    fake_tools("endless", body=f"exec /bin/cat /dev/zero >&{stream}")
    with pytest.raises(ToolError, match=r"^endless printed more than 1 MiB and was stopped$"):
        run.command(["endless"])


def test_too_much_output_of_a_command_that_ends_is_an_error_too(
    fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "OUTPUT_BYTES", 1 << 10)
    fake_tools("long", body="/usr/bin/head -c 1025 /dev/zero")
    with pytest.raises(ToolError, match=r"^long printed more than"):
        run.command(["long"])
    monkeypatch.setattr(running, "OUTPUT_BYTES", 1025)
    assert len(run.command(["long"]).stdout) == 1025
