"""What a command inherits: environment, signals, session, descriptors; and what it leaves."""

import gc
import os
import signal
from pathlib import Path

import pytest
from children import gone, handles, pids, until_there
from fakes import FakeTools

from zosstorage.errors import ToolError
from zosstorage.system import run, streams


def words(name: str) -> list[str]:
    """What a command prints, as words."""
    return run.command([name]).stdout.split()


def test_the_environment(fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LOCK_BLOCK_DEVICE", "1")
    monkeypatch.setenv("KEPT", "yes")
    fake_tools("show", body='echo "$LC_ALL $BLKID_FILE $LOCK_BLOCK_DEVICE $KEPT"')
    assert words("show") == ["C.UTF-8", "/dev/null", "0", "yes"]


def test_an_environment_of_its_own(fake_tools: FakeTools) -> None:
    fake_tools("show", body='echo "$LC_ALL $BLKID_FILE"')
    env = {"BLKID_FILE": "/some/file"}
    assert run.commands([["show"]], env=env)[0].stdout == "C.UTF-8 /some/file\n"
    assert run.start(["show"], env=env).wait().stdout == "C.UTF-8 /some/file\n"
    assert words("show") == ["C.UTF-8", "/dev/null"]


def test_a_blocked_signal_mask_does_not_reach_a_tool(fake_tools: FakeTools) -> None:
    """Whoever started us may block signals; a tool with that mask could not be asked to end."""
    fake_tools("show", body="/bin/grep '^SigBlk' /proc/self/status")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        streams.reset_inherited()
        assert words("show") == ["SigBlk:", "0" * 16]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_signals_that_python_ignores_are_restored(fake_tools: FakeTools) -> None:
    fake_tools("show", body="/bin/grep '^SigIgn' /proc/self/status")
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    ignored = int(words("show")[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_a_session_and_a_process_group_of_its_own(fake_tools: FakeTools) -> None:
    fake_tools("show", body="read -r _ _ _ _ group session _ < /proc/$$/stat; echo $$ $group $session")
    pid, group, session = words("show")
    assert pid == group == session
    assert int(session) != os.getsid(0)


def test_no_terminal(fake_tools: FakeTools) -> None:
    """An initramfs has no devpts."""
    fake_tools("tty", body="for n in 0 1 2; do [ -t $n ] && echo $n; done; true")
    assert words("tty") == []


def test_no_descriptor_of_ours_reaches_a_tool(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("show", body="/bin/ls /proc/self/fd")
    one, other = os.pipe()
    os.set_inheritable(one, True)
    os.set_inheritable(other, True)
    try:
        with (tmp_path / "file").open("w"):
            assert words("show") == ["0", "1", "2", "3"]  # 3 is the folder that ls reads
    finally:
        os.close(one)
        os.close(other)


def test_no_descriptor_is_left_open(fake_tools: FakeTools) -> None:
    fake_tools("say", stdout="out")
    run.command(["say"])
    before = handles()
    run.commands([["say"]] * 3, stdin=["text"] * 3)
    run.start(["say"]).wait()
    assert handles() == before


def test_a_start_that_fails_halfway_leaves_nothing_behind(
    fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_tools("slow", body=f"echo $$ > {tmp_path}/pid.self; exec /bin/sleep 600")

    def refuse(pid: int) -> None:
        until_there(tmp_path, 1)
        raise OSError(24, "Too many open files")

    before = handles()
    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(OSError, match="Too many"):
        run.command(["slow"])
    assert gone(pids(tmp_path)[0])
    assert handles() == before


def test_no_descriptor_left_for_its_pipes(fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    fake_tools("say")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", refuse)
        with pytest.raises(ToolError, match=r"^say could not be started: Too many open files$"):
            run.command(["say"])
    assert fake_tools.calls == []


def test_a_parent_that_ignores_the_end_of_children(fake_tools: FakeTools) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        streams.reset_inherited()
        fake_tools("fail", status=3)
        assert run.command(["fail"], ok=(3,)).status == 3
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of Popen, whose status cannot be known
def test_an_exit_status_that_is_lost_is_no_success(fake_tools: FakeTools) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    fake_tools("fail", status=3)
    try:
        with pytest.raises((ChildProcessError, ProcessLookupError)):
            run.command(["fail"])
    finally:
        signal.signal(signal.SIGCHLD, before)
    gc.collect()
