"""What a command inherits (environment, signals, session, descriptors) and what it leaves open."""

import gc
import os
import signal
from pathlib import Path

import pytest
from children import gone, handles, pids, wait_for_pids
from fakes import FakeTools

from zosstorage.errors import ToolError
from zosstorage.system import run, streams


def words(name: str) -> list[str]:
    """Run a tool and return the words that it prints."""
    return run.command([name]).stdout.split()


def test_sets_locale_cache_and_lock_variables(fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LOCK_BLOCK_DEVICE", "1")
    monkeypatch.setenv("KEPT", "yes")
    fake_tools("show", body='echo "$LC_ALL $BLKID_FILE $LOCK_BLOCK_DEVICE $KEPT"')
    assert words("show") == ["C.UTF-8", "/dev/null", "0", "yes"]


def test_adds_variables_to_the_environment(fake_tools: FakeTools) -> None:
    fake_tools("show", body='echo "$LC_ALL $BLKID_FILE"')
    env = {"BLKID_FILE": "/some/file"}
    assert run.commands([["show"]], env=env)[0].stdout == "C.UTF-8 /some/file\n"
    assert run.start(["show"], env=env).wait().stdout == "C.UTF-8 /some/file\n"
    assert words("show") == ["C.UTF-8", "/dev/null"]


def test_tools_do_not_inherit_a_blocked_signal_mask(fake_tools: FakeTools) -> None:
    """The parent may block signals; a tool with that mask would not react to SIGTERM."""
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


def test_a_command_has_its_own_session_and_process_group(fake_tools: FakeTools) -> None:
    fake_tools("show", body="read -r _ _ _ _ group session _ < /proc/$$/stat; echo $$ $group $session")
    pid, group, session = words("show")
    assert pid == group == session
    assert int(session) != os.getsid(0)


def test_a_command_has_no_terminal(fake_tools: FakeTools) -> None:
    """An initramfs has no devpts, so a terminal could not be opened."""
    fake_tools("tty", body="for n in 0 1 2; do [ -t $n ] && echo $n; done; true")
    assert words("tty") == []


def test_tools_inherit_no_descriptor(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("show", body="/bin/ls /proc/self/fd")
    one, other = os.pipe()
    os.set_inheritable(one, True)
    os.set_inheritable(other, True)
    try:
        with (tmp_path / "file").open("w"):
            assert words("show") == ["0", "1", "2", "3"]  # 3 is the directory that ls lists
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


def test_a_failed_start_leaves_no_process_and_no_descriptor(
    fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_tools("slow", body=f"echo $$ > {tmp_path}/pid.self; exec /bin/sleep 600")

    def refuse(pid: int) -> None:
        wait_for_pids(tmp_path, 1)
        raise OSError(24, "Too many open files")

    before = handles()
    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(OSError, match="Too many"):
        run.command(["slow"])
    assert gone(pids(tmp_path)[0])
    assert handles() == before


def test_reports_that_no_descriptor_is_free_for_pipes(fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    fake_tools("say")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", refuse)
        with pytest.raises(ToolError, match=r"^say could not be started: Too many open files$"):
            run.command(["say"])
    assert fake_tools.calls == []


def test_gets_the_status_although_the_parent_ignores_sigchld(fake_tools: FakeTools) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        streams.reset_inherited()
        fake_tools("fail", status=3)
        assert run.command(["fail"], ok=(3,)).status == 3
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # from Popen, which does not know the status
def test_a_lost_exit_status_is_not_success(fake_tools: FakeTools) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    fake_tools("fail", status=3)
    try:
        with pytest.raises((ChildProcessError, ProcessLookupError)):
            run.command(["fail"])
    finally:
        signal.signal(signal.SIGCHLD, before)
    gc.collect()
