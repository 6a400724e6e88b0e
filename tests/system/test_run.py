import contextlib
import logging
import os
import signal
import time
from pathlib import Path

import pytest
from support import stopped

from zosstorage.errors import ExitCode, InterruptedRunError, ToolError
from zosstorage.system import run
from zosstorage.system.limits import LIMITS


def failure(*argv, **rest):
    with pytest.raises(ToolError) as caught:
        run.run(list(argv), **rest)
    assert caught.value.exit_code is ExitCode.TOOL
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def test_what_a_command_says(fake_tools):
    fake_tools("say", stdout="out\n", stderr="err\n")
    done = run.run(["say", "a b", "", "$x"])
    assert (done.argv, done.status, done.stdout, done.stderr) == (("say", "a b", "", "$x"), 0, "out\n", "err\n")
    assert fake_tools.calls == [["say", "a b", "", "$x"]]


def test_stdin_is_empty_or_what_it_is_given(fake_tools):
    fake_tools("eat")
    run.run(["eat"])
    run.run(["eat"], stdin="table\n")
    assert fake_tools.stdin("eat") == ["", "table\n"]


def test_the_environment(fake_tools, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("KEPT", "yes")
    fake_tools("show", body='echo "$LC_ALL $BLKID_FILE $KEPT"')
    assert run.run(["show"]).stdout == "C.UTF-8 /dev/null yes\n"


def test_an_environment_of_its_own(fake_tools):
    fake_tools("show", body='echo "$LC_ALL $BLKID_FILE"')
    assert run.run_all([["show"]], env={"BLKID_FILE": "/some/file"})[0].stdout == "C.UTF-8 /some/file\n"
    assert run.run(["show"]).stdout == "C.UTF-8 /dev/null\n"


def test_no_signal_is_ignored_or_blocked(fake_tools):
    """Python ignores SIGPIPE, and a mask of ours would go to the tool: it could not be told to end."""
    fake_tools("show", body="/bin/grep -E '^Sig(Ign|Blk)' /proc/self/status")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        told = dict(line.split() for line in run.run(["show"]).stdout.splitlines())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert told["SigBlk:"] == "0" * 16
    assert not int(told["SigIgn:"], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_a_session_of_its_own_and_no_handle_of_ours(fake_tools, tmp_path):
    fake_tools("show", body="/bin/ls /proc/self/fd; read -r _ _ _ _ _ session _ < /proc/$$/stat; echo $session $$")
    with (tmp_path / "a").open("w"):
        lines = run.run(["show"]).stdout.splitlines()
    assert [int(number) for number in lines[:-1]] == [0, 1, 2, 3]  # 3 is the folder that ls reads
    session, pid = lines[-1].split()
    assert session == pid


def test_what_a_parent_left_open_does_not_reach_a_tool(fake_tools):
    fake_tools("show", body="/bin/ls /proc/self/fd")
    one, other = os.pipe()
    os.set_inheritable(one, True)
    os.set_inheritable(other, True)
    try:
        assert str(other) in run.run(["show"]).stdout.split()
        run.take_over()
        assert run.run(["show"]).stdout.split() == ["0", "1", "2", "3"]
    finally:
        os.close(one)
        os.close(other)


def test_a_parent_that_waits_for_no_child(fake_tools):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        run.take_over()
        fake_tools("fail", status=3)
        assert run.run(["fail"], ok=(3,)).status == 3
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_signal_between_start_and_wait_leaves_none_running(fake_tools, monkeypatch, tmp_path):
    fake_tools("slow", body=f"echo $$ > {tmp_path}/pid.$1; exec /bin/sleep 600")

    def interrupted(_):
        until_there(tmp_path, 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "wait_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.run_all([["slow", "1"], ["slow", "2"]])
    assert all(gone(pid) for pid in pids(tmp_path))


def test_a_start_that_fails_halfway_leaves_nothing_behind(fake_tools, monkeypatch, tmp_path):
    fake_tools("slow", body=f"echo $$ > {tmp_path}/pid.self; exec /bin/sleep 600")

    def refuse(pid):
        until_there(tmp_path, 1)
        raise OSError(24, "Too many open files")

    before = handles()
    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(OSError, match="Too many"):
        run.run(["slow"])
    assert gone(pids(tmp_path)[0])
    assert handles() == before


def test_no_terminal(fake_tools):
    """An initramfs has no devpts."""
    fake_tools("tty", body="for n in 0 1 2; do [ -t $n ] && echo $n; done; true")
    assert run.run(["tty"]).stdout == ""


def test_bytes_that_are_no_text(fake_tools):
    fake_tools("noise", body=r"printf '\377\376'")
    assert run.run(["noise"]).stdout == "\ufffd\ufffd"


def test_a_command_is_logged_once_with_its_time(fake_tools, caplog):
    fake_tools("say")
    with caplog.at_level(logging.INFO, "zosstorage"):
        run.run(["say", "x"])
    told = [record for record in caplog.records if record.name.startswith("zosstorage")]
    assert len(told) == 1
    assert (told[0].argv, told[0].status) == ("say x", 0)
    assert told[0].seconds >= 0


# Failures.


def test_a_status_that_is_not_expected(fake_tools):
    fake_tools("fail", stderr="first line\nno such device\n\n", status=3)
    error = failure("fail", "/dev/sda")
    assert error.message == "fail /dev/sda failed with status 3: no such device"
    assert (error.argv, error.status) == (("fail", "/dev/sda"), 3)
    assert error.stderr == "first line\nno such device\n\n"


def test_what_it_said_on_stdout_counts_where_stderr_is_empty(fake_tools):
    fake_tools("fail", stdout="told on stdout\n", status=1)
    assert failure("fail").message.endswith(": told on stdout")
    fake_tools("mute", status=1)
    assert failure("mute").message.endswith(": it said nothing")


def test_a_long_stderr_is_kept_and_the_message_is_short(fake_tools):
    fake_tools("fail", stderr="x" * 20000, status=1)
    error = failure("fail")
    assert len(error.message) < 600
    assert len(error.stderr) == 20000


def test_a_status_that_is_expected(fake_tools):
    fake_tools("fail", status=2)
    assert run.run(["fail"], ok=(0, 2)).status == 2
    assert failure("fail", ok=(0, 8)).status == 2


@pytest.mark.parametrize("status", [0, 1, 127, 139, 255])
def test_any_status(fake_tools, status):
    fake_tools("end", status=status)
    assert run.run(["end"], ok=run.ANY_STATUS).status == status


def test_a_signal(fake_tools):
    fake_tools("crash", body="kill -SEGV $$")
    error = failure("crash")
    assert error.status == -11
    assert "was killed by signal 11" in error.message


@pytest.mark.parametrize(
    ("name", "packages"),
    [("mkfs.fat", ["dosfstools"]), ("sfdisk", ["sfdisk (Alpine)", "fdisk (Debian)"]), ("unheard-of", ["unheard-of"])],
)
def test_a_missing_tool(fake_tools, name, packages):
    error = failure(name, "/dev/sda")
    assert error.message == f"the tool {name} was not found"
    assert all(package in error.hint for package in packages)
    assert error.status is None


def test_a_tool_that_cannot_be_executed(fake_tools):
    (fake_tools.bin / "broken").write_bytes(b"#!/no/such/interpreter\n")
    (fake_tools.bin / "broken").chmod(0o755)
    error = failure_without_hint("broken")
    assert error.message.startswith("broken could not be started")


def failure_without_hint(*argv):
    with pytest.raises(ToolError) as caught:
        run.run(list(argv))
    return caught.value


def test_only_the_fake_tools_can_run(fake_tools):
    assert failure("ls", "/").message == "the tool ls was not found"


# Time limits.


def alive(pid):
    """Whether a process runs still; one that waits for its parent only does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def gone(pid):
    """Wait until a process has gone: the kernel takes a moment over a kill."""
    for _ in range(500):
        if not alive(pid):
            return True
        time.sleep(0.01)
    return False


def pids(folder):
    return [int(path.read_text("ascii")) for path in sorted(folder.glob("pid.*"))]


def until_there(folder, count):
    """Wait until that many processes have told their ids: only then the limit is lowered, on a slow machine too."""
    for _ in range(3000):
        if len([path for path in folder.glob("pid.*") if path.read_text("ascii").endswith("\n")]) == count:
            return
        time.sleep(0.01)
    pytest.fail("the tools did not start")


def expired(argv, folder, count=1):
    """Let a command's time run out once `count` processes are there."""
    running = run.start(argv)
    until_there(folder, count)
    LIMITS.timeout = 0.01
    with pytest.raises(ToolError) as caught:
        running.wait()
    return caught.value


def test_a_command_that_takes_too_long_is_killed_with_its_children(fake_tools, tmp_path):
    body = f"/bin/sleep 600 & echo $! > {tmp_path}/pid.child; echo $$ > {tmp_path}/pid.self; wait"
    fake_tools("slow", body=body)
    error = expired(["slow", "/dev/sda"], tmp_path, 2)
    assert error.exit_code is ExitCode.TOOL
    assert "slow /dev/sda took longer than 0.01 s and was killed" in error.message
    assert error.hint
    assert error.status is None
    assert all(gone(pid) for pid in pids(tmp_path))


def test_one_that_ignores_the_polite_signal_is_killed(fake_tools, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_GRACE", 0.1)
    fake_tools("deaf", body=f"trap '' TERM; echo $$ > {tmp_path}/pid.self; while :; do /bin/sleep 1; done")
    expired(["deaf"], tmp_path)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_a_child_that_outlives_its_parent_and_holds_our_pipe(fake_tools, tmp_path):
    fake_tools("leave", body=f"/bin/sleep 600 & echo $! > {tmp_path}/pid.child")
    expired(["leave"], tmp_path)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_what_it_said_before_it_was_killed_is_kept(fake_tools, tmp_path):
    fake_tools("slow", body=f"echo half done >&2; echo $$ > {tmp_path}/pid.self; /bin/sleep 600")
    assert expired(["slow"], tmp_path).stderr == "half done\n"


def test_one_that_ended_in_time_and_was_heard_late(fake_tools, tmp_path):
    """Reading whole disks takes longer than any command may, and the probers' word is wanted after it."""
    fake_tools("prober", body=f"printf 'TYPE=%040000d' 0; echo late >&2; echo $$ > {tmp_path}/pid.self")
    running = run.start(["prober"])
    until_there(tmp_path, 1)
    assert gone(pids(tmp_path)[0])
    LIMITS.timeout = 0.01
    done = running.wait()
    assert (done.status, len(done.stdout), done.stderr) == (0, 40005, "late\n")


def test_one_that_talks_on_and_on_is_killed(fake_tools, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_GRACE", 0.1)
    fake_tools("talker", body=f"echo $$ > {tmp_path}/pid.self; while :; do echo and on; done")
    expired(["talker"], tmp_path)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_one_that_hangs_does_not_hide_the_end_of_others(fake_tools, tmp_path):
    fake_tools("slow", body=f"echo $$ > {tmp_path}/pid.slow; /bin/sleep 600")
    fake_tools("quick", body=f"echo $$ > {tmp_path}/pid.quick")
    running = [run.start(["slow"]), run.start(["quick"])]
    until_there(tmp_path, 2)
    assert gone(pids(tmp_path)[0])
    LIMITS.timeout = 0.01
    with pytest.raises(ToolError, match="slow took longer"):
        run.wait_all(running)
    assert all(gone(pid) for pid in pids(tmp_path))


def test_one_that_cannot_be_killed_is_told_so_and_not_waited_for(fake_tools, tmp_path, monkeypatch):
    fake_tools("stuck", body=f"echo $$ > {tmp_path}/pid.self; /bin/sleep 600")
    monkeypatch.setattr(run, "_GRACE", 0.1)
    killed = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", lambda *how: killed.append(how))
        error = expired(["stuck"], tmp_path)
    (pid,) = pids(tmp_path)
    os.killpg(pid, 9)
    assert "cannot be killed" in error.message
    assert [number for _, number in killed] == [15, 9]
    assert gone(pid)


def test_a_quick_command_has_all_its_time(fake_tools):
    fake_tools("quick", delay=0.05)
    LIMITS.timeout = 60
    assert run.run(["quick"]).status == 0


# Side by side.


def test_commands_run_side_by_side(fake_tools, tmp_path):
    """Each waits for a sign of the other: one after the other they would never end."""
    meet = f"""echo > {tmp_path}/$1
    n=0; until [ -e {tmp_path}/$2 ]; do n=$((n+1)); [ $n -gt 500 ] && exit 9; /bin/sleep 0.01; done"""
    fake_tools("meet", body=meet)
    done = run.run_all([["meet", "one", "two"], ["meet", "two", "one"]])
    assert [one.argv for one in done] == [("meet", "one", "two"), ("meet", "two", "one")]


def test_each_has_its_own_stdin(fake_tools):
    fake_tools("eat")
    run.run_all([["eat", "1"], ["eat", "2"]], stdin=["one", "two"])
    assert fake_tools.stdin("eat") == ["one", "two"]


def test_all_are_waited_for_when_one_fails(fake_tools, tmp_path):
    fake_tools("fail", status=1)
    fake_tools("slow", delay=0.3, body=f"echo > {tmp_path}/ended")
    with pytest.raises(ToolError) as caught:
        run.run_all([["fail"], ["slow"]])
    assert caught.value.argv == ("fail",)
    assert (tmp_path / "ended").exists()


def test_the_first_in_order_is_told(fake_tools):
    fake_tools("late", delay=0.2, status=4)
    fake_tools("early", status=5)
    with pytest.raises(ToolError) as caught:
        run.run_all([["late"], ["early"]])
    assert caught.value.status == 4


def test_those_that_started_are_waited_for_when_one_is_missing(fake_tools, tmp_path):
    fake_tools("slow", delay=0.3, body=f"echo > {tmp_path}/ended")
    with pytest.raises(ToolError, match="missing was not found"):
        run.run_all([["slow"], ["missing"]])
    assert (tmp_path / "ended").exists()


def test_an_interruption_kills_all(fake_tools, tmp_path, monkeypatch):
    fake_tools("slow", body=f"echo $$ > {tmp_path}/pid.$1; /bin/sleep 600")
    running = [run.start(["slow", str(number)]) for number in (1, 2)]
    until_there(tmp_path, 2)

    monkeypatch.setattr(run, "_listen", interrupted_once(run._listen))
    with pytest.raises(KeyboardInterrupt):
        run.wait_all(running)
    assert all(gone(pid) for pid in pids(tmp_path))


def interrupted_once(listen):
    calls = []

    def interrupted(commands, until):
        calls.append(until)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return listen(commands, until)

    return interrupted


def test_much_output_of_several(fake_tools):
    """More than pipes hold, from all of them at once."""
    fake_tools("much", body="/usr/bin/head -c 300000 /dev/zero; /usr/bin/head -c 200000 /dev/zero >&2")
    for done in run.run_all([["much"]] * 3):
        assert (len(done.stdout), len(done.stderr)) == (300000, 200000)


def handles():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_no_handle_is_left_open(fake_tools):
    fake_tools("say", stdout="out")
    run.run(["say"])
    before = handles()
    run.run_all([["say"]] * 3, stdin=["text"] * 3)
    assert handles() == before


def test_nothing_to_run():
    assert run.run_all([]) == []


# Once more.


def failing_times(count, *, argv=("tool",)):
    calls = []

    def work():
        calls.append(1)
        if len(calls) <= count:
            raise ToolError("no luck", argv=argv)
        return len(calls)

    return work


def test_once_more():
    checks = []
    assert run.once_more(failing_times(0), lambda: checks.append(1)) == 1
    assert run.once_more(failing_times(1), lambda: checks.append(1)) == 2
    assert checks == [1]
    with pytest.raises(ToolError):
        run.once_more(failing_times(2), lambda: None)


def test_not_once_more_where_the_disk_is_not_ours_any_longer():
    work = failing_times(1)

    def not_ours():
        raise RuntimeError("not ours")

    with pytest.raises(RuntimeError, match="not ours"):
        run.once_more(work, not_ours)
    assert work() == 2


def test_not_once_more_where_nothing_was_started():
    with pytest.raises(ToolError):
        run.once_more(failing_times(1, argv=()), lambda: pytest.fail("tried again"))


def test_a_signal_while_commands_are_started_leaves_none_running(fake_tools, monkeypatch):
    fake_tools("slow", body="exec /bin/sleep 60")
    started = []
    real = run.start

    def start(argv, **rest):
        started.append(real(argv, **rest))
        if len(started) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return started[-1]

    monkeypatch.setattr(run, "start", start)
    with stopped():
        run.run_all([["slow"], ["slow"], ["slow"]])
    assert [one.done.status for one in started] == [-signal.SIGTERM] * 2


def test_no_command_is_started_after_a_signal_that_got_lost(fake_tools):
    fake_tools("sfdisk")
    with stopped():
        with contextlib.suppress(InterruptedRunError):
            os.kill(os.getpid(), signal.SIGTERM)
        run.run(["sfdisk"])
    assert fake_tools.calls == []
