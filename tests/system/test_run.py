"""A single command: output, status, errors, log line and retries."""

import logging
from collections.abc import Callable

import attrs
import pytest
from children import failure, handles
from fakes import FakeTools

from zosstorage.errors import ToolError
from zosstorage.system import run


def test_returns_output_and_status_of_a_command(fake_tools: FakeTools) -> None:
    fake_tools("say", stdout="out\n", stderr="err\n")
    done = run.command(["say", "a b", "", "$x"])
    assert (done.argv, done.status, done.stdout, done.stderr) == (("say", "a b", "", "$x"), 0, "out\n", "err\n")
    assert fake_tools.calls == [["say", "a b", "", "$x"]]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        done.status = 1  # type: ignore[misc]  # what is tested


def test_starts_a_command_in_the_background(fake_tools: FakeTools) -> None:
    fake_tools("say", stdout="out\n", status=3)
    done = run.start(["say"]).wait()
    assert (done.status, done.stdout) == (3, "out\n")


def test_stdin_is_empty_or_the_given_text(fake_tools: FakeTools) -> None:
    fake_tools("eat")
    run.command(["eat"])
    run.command(["eat"], stdin="table\n")
    assert fake_tools.stdin("eat") == ["", "table\n"]


def test_stdin_holds_at_most_the_capacity_of_a_pipe(fake_tools: FakeTools) -> None:
    fake_tools("eat")
    run.command(["eat"], stdin="x" * 65536)
    assert fake_tools.stdin("eat") == ["x" * 65536]
    before = handles()
    with pytest.raises(ValueError, match="stdin is 65537 bytes"):
        run.command(["eat"], stdin="x" * 65537)
    assert handles() == before


def test_a_command_need_not_read_its_stdin(fake_tools: FakeTools) -> None:
    fake_tools.real("true")
    assert run.command(["true"], stdin="x" * 65536).status == 0


def test_replaces_output_that_is_not_utf_8(fake_tools: FakeTools) -> None:
    fake_tools("noise", body=r"printf '\377\376'; printf '\377' >&2")
    done = run.command(["noise"])
    assert (done.stdout, done.stderr) == ("\ufffd\ufffd", "\ufffd")


def test_a_command_is_logged_once_with_its_duration(fake_tools: FakeTools, caplog: pytest.LogCaptureFixture) -> None:
    fake_tools("say")
    with caplog.at_level(logging.INFO, "zosstorage"):
        done = run.command(["say", "x"])
    (record,) = [record for record in caplog.records if record.name.startswith("zosstorage")]
    logged = vars(record)
    assert (record.message, logged["argv"], logged["status"]) == ("command", "say x", 0)
    assert logged["seconds"] == done.seconds >= 0


# Failures.


def test_raises_for_an_unexpected_status(fake_tools: FakeTools) -> None:
    fake_tools("fail", stderr="first line\nno such device\n\n", status=3)
    error = failure("fail", "/dev/sda")
    assert error.message == "fail /dev/sda failed with status 3: no such device"
    assert error.hint == "fix the cause and run again; nothing more was done"
    assert (error.argv, error.status) == (("fail", "/dev/sda"), 3)
    assert error.stderr == "first line\nno such device\n\n"


def test_the_reason_is_on_stdout_if_stderr_is_empty(fake_tools: FakeTools) -> None:
    fake_tools("fail", stdout="reason on stdout\n", status=1)
    assert failure("fail").message.endswith(": reason on stdout")
    fake_tools("mute", status=1)
    assert failure("mute").message.endswith(": it printed nothing")


def test_the_remark_of_mount_on_dmesg_is_not_the_reason(fake_tools: FakeTools) -> None:
    fake_tools(
        "mount", stderr="wrong fs type\n       dmesg(1) may have more information after failed mount.\n", status=32
    )
    assert failure("mount").message.endswith(": wrong fs type")


def test_a_long_stderr_is_kept_and_the_message_is_short(fake_tools: FakeTools) -> None:
    fake_tools("fail", stderr="x" * 20000, status=1)
    error = failure("fail")
    assert len(error.message) < 600
    assert len(error.stderr) == 20000


def test_accepts_expected_statuses(fake_tools: FakeTools) -> None:
    fake_tools("fail", status=2)
    assert run.command(["fail"], ok=(0, 2)).status == 2
    assert failure("fail", ok=(0, 8)).status == 2


@pytest.mark.parametrize("status", [0, 1, 127, 139, 255])
def test_accepts_any_status(fake_tools: FakeTools, status: int) -> None:
    fake_tools("end", status=status)
    assert run.command(["end"], ok=run.ANY_STATUS).status == status


def test_reports_a_command_that_a_signal_killed(fake_tools: FakeTools) -> None:
    fake_tools("crash", body="kill -SEGV $$")
    error = failure("crash")
    assert error.status == -11
    assert "was killed by signal 11" in error.message
    assert run.command(["crash"], ok=run.ANY_STATUS).status == -11


@pytest.mark.parametrize(
    ("name", "packages"),
    [("mkfs.fat", ["dosfstools"]), ("sfdisk", ["sfdisk (Alpine)", "fdisk (Debian)"]), ("unheard-of", ["unheard-of"])],
)
def test_names_the_package_of_a_missing_tool(fake_tools: FakeTools, name: str, packages: list[str]) -> None:
    error = failure(name, "/dev/sda")
    assert error.message == f"the tool {name} was not found"
    assert all(package in error.hint for package in packages)
    assert (error.argv, error.status) == ((name, "/dev/sda"), None)


def test_only_the_fake_tools_can_run(fake_tools: FakeTools) -> None:
    assert failure("ls", "/").message == "the tool ls was not found"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"#!/no/such/interpreter\n", "No such file or directory"), (b"\0\1\2\3", "Exec format error")],
)
def test_reports_a_tool_that_cannot_be_executed(fake_tools: FakeTools, content: bytes, reason: str) -> None:
    (fake_tools.bin / "broken").write_bytes(content)
    (fake_tools.bin / "broken").chmod(0o755)
    before = handles()
    error = failure("broken", "x")
    assert error.message == f"broken could not be started: {reason}"
    assert error.argv == ("broken", "x")
    assert handles() == before


# Retries.


def failing_times(count: int, *, argv: tuple[str, ...] = ("tool",)) -> Callable[[], int]:
    calls = []

    def work() -> int:
        calls.append(1)
        if len(calls) <= count:
            raise ToolError("no luck", argv=argv)
        return len(calls)

    return work


def test_work_that_fails_is_retried_once() -> None:
    checks = []
    assert run.retry_once(failing_times(0), lambda: checks.append(1)) == 1
    assert run.retry_once(failing_times(1), lambda: checks.append(1)) == 2
    assert checks == [1]
    with pytest.raises(ToolError):
        run.retry_once(failing_times(2), lambda: None)


def test_a_retry_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    run.retry_once(failing_times(1), lambda: None)
    assert [(record.message, vars(record)["reason"]) for record in caplog.records] == [
        ("a tool failed, trying once more", "no luck")
    ]


def test_does_not_retry_if_the_recheck_raises() -> None:
    work = failing_times(1)

    def not_ours() -> None:
        raise RuntimeError("not ours")

    with pytest.raises(RuntimeError, match="not ours"):
        run.retry_once(work, not_ours)
    assert work() == 2


def test_does_not_retry_if_no_tool_was_started() -> None:
    with pytest.raises(ToolError):
        run.retry_once(failing_times(1, argv=()), lambda: pytest.fail("it was retried"))
