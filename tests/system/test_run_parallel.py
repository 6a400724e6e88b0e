"""Several commands in parallel, and signals while they run."""

import contextlib
import os
import resource
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from children import gone, handles, pids, status, stopped, wait_for_pids
from fakes import FakeTools

from zosstorage.errors import InterruptedRunError, ToolError
from zosstorage.system import run, running

MIB = 1 << 20


@pytest.fixture
def slow(fake_tools: FakeTools, tmp_path: Path) -> None:
    """A tool that runs for ten minutes; its argument is the suffix of the file with its process ID."""
    fake_tools("slow", body=f"echo $$ > {tmp_path}/pid.$1; exec /bin/sleep 600")


def test_commands_run_in_parallel(fake_tools: FakeTools, tmp_path: Path) -> None:
    """Each command waits for a file of the other: one after the other, the first would fail."""
    meet = f"""echo > {tmp_path}/$1
    n=0; until [ -e {tmp_path}/$2 ]; do n=$((n+1)); [ $n -gt 3000 ] && exit 9; /bin/sleep 0.01; done"""
    fake_tools("meet", body=meet)
    done = run.commands([["meet", "one", "two"], ["meet", "two", "one"]])
    assert [one.argv for one in done] == [("meet", "one", "two"), ("meet", "two", "one")]


def test_each_command_has_its_own_stdin(fake_tools: FakeTools) -> None:
    fake_tools("eat")
    run.commands([["eat", "1"], ["eat", "2"]], stdin=["one", "two"])
    assert fake_tools.stdin("eat") == ["one", "two"]


def test_needs_a_stdin_for_each_command(fake_tools: FakeTools) -> None:
    fake_tools("eat")
    with pytest.raises(ValueError, match="shorter"):
        run.commands([["eat"], ["eat"]], stdin=["one"])
    with pytest.raises(ValueError, match="shorter"):
        run.commands([["eat"]], stdin=[])


def test_accepts_an_empty_list() -> None:
    assert run.commands([]) == []


def test_waits_for_all_when_one_fails(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("fail", status=1)
    fake_tools("slow", delay=0.3, body=f"echo > {tmp_path}/ended")
    with pytest.raises(ToolError) as caught:
        run.commands([["fail"], ["slow"]])
    assert caught.value.argv == ("fail",)
    assert (tmp_path / "ended").exists()


def test_reports_the_first_command_that_fails(fake_tools: FakeTools) -> None:
    fake_tools("late", delay=0.2, status=4)
    fake_tools("early", status=5)
    with pytest.raises(ToolError) as caught:
        run.commands([["late"], ["early"]])
    assert caught.value.status == 4


def test_waits_for_started_commands_when_one_is_missing(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("slow", delay=0.3, body=f"echo > {tmp_path}/ended")
    with pytest.raises(ToolError, match="missing was not found"):
        run.commands([["slow"], ["missing"]])
    assert (tmp_path / "ended").exists()


def test_reads_much_output_from_both_streams(fake_tools: FakeTools) -> None:
    """All commands write more than a pipe holds."""
    fake_tools("much", body="/usr/bin/head -c 300000 /dev/zero; /usr/bin/head -c 200000 /dev/zero >&2")
    for done in run.commands([["much"]] * 3):
        assert (len(done.stdout), len(done.stderr)) == (300000, 200000)


def test_reads_much_output_of_many_commands(fake_tools: FakeTools) -> None:
    fake_tools("much", body=f'/usr/bin/yes "$1" | /usr/bin/head -c {MIB}')
    names = [f"{number:07}" for number in range(64)]  # 8 bytes per line
    done = run.commands([["much", name] for name in names])
    assert all(one.stdout == f"{name}\n" * (MIB // 8) for one, name in zip(done, names, strict=True))


# Commands in the background.


def test_returns_the_results_of_background_commands(fake_tools: FakeTools) -> None:
    fake_tools("say", body='echo "$1"; exit "$1"')
    with run.UnderWay() as under_way:
        under_way.start([["say", "1"], ["say", "2"]])
        under_way.start([["say", "3"]])
        done = under_way.wait()
    assert [(one.status, one.stdout) for one in done] == [(1, "1\n"), (2, "2\n"), (3, "3\n")]
    assert [one.done for one in under_way.commands] == done


def test_background_commands_do_not_outlive_the_block(slow: None, tmp_path: Path) -> None:
    before = handles()
    with run.UnderWay() as under_way:
        under_way.start([["slow", "1"], ["slow", "2"]])
        wait_for_pids(tmp_path, 2)
    assert [status(one) for one in under_way.commands] == [-signal.SIGTERM] * 2
    assert all(gone(pid) for pid in pids(tmp_path))
    assert handles() == before


# Exceptions and signals.


def test_an_exception_between_start_and_wait_leaves_none_running(
    slow: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(_: object) -> None:
        wait_for_pids(tmp_path, 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "wait_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.commands([["slow", "1"], ["slow", "2"]])
    assert all(gone(pid) for pid in pids(tmp_path))


def test_an_exception_while_waiting_kills_all(slow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [run.start(["slow", str(number)]) for number in (1, 2)]
    wait_for_pids(tmp_path, 2)
    monkeypatch.setattr(running, "_read", interrupted_once(running._read))
    with pytest.raises(KeyboardInterrupt):
        run.wait_all(both)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_commands_are_killed_if_no_descriptor_is_free(slow: None, tmp_path: Path) -> None:
    one = run.start(["slow", "1"])
    wait_for_pids(tmp_path, 1)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.pipe()
        run.kill_all([one])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert status(one) == -signal.SIGTERM


def interrupted_once(read: Callable[..., None]) -> Callable[..., None]:
    calls = []

    def interrupted(commands: Iterable[run.Running], until: float, **options: bool) -> None:
        calls.append(until)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return read(commands, until, **options)

    return interrupted


def test_a_signal_while_commands_run_kills_all(slow: None, tmp_path: Path) -> None:
    """One of the commands sends the signal, once the other one runs."""
    body = f"until [ -e {tmp_path}/pid.1 ]; do /bin/sleep 0.01; done; kill -TERM {os.getpid()}; exec /bin/sleep 600"
    (tmp_path / "killer").write_text(f"#!/bin/sh\n{body}\n")
    (tmp_path / "killer").chmod(0o755)
    with stopped(), run.UnderWay() as under_way:
        under_way.start([["slow", "1"], [str(tmp_path / "killer")]])
        under_way.wait()
    assert [status(one) for one in under_way.commands] == [-signal.SIGTERM] * 2
    assert all(gone(one.process.pid) for one in under_way.commands)


def test_a_signal_while_commands_are_started_leaves_none_running(slow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    real = run.start

    def start(argv: Sequence[str], **rest: Any) -> run.Running:
        started.append(real(argv, **rest))
        if len(started) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return started[-1]

    monkeypatch.setattr(run, "start", start)
    with stopped():
        run.commands([["slow", "1"], ["slow", "2"], ["slow", "3"]])
    assert [status(one) for one in started] == [-signal.SIGTERM] * 2


def test_no_command_is_started_after_a_signal_whose_exception_was_lost(fake_tools: FakeTools) -> None:
    fake_tools("sfdisk")
    with stopped():
        with contextlib.suppress(InterruptedRunError):
            os.kill(os.getpid(), signal.SIGTERM)
        run.command(["sfdisk"])
    assert fake_tools.calls == []
