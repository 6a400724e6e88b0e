"""The tools of `verify`, started through sh: their output, their end, and what goes wrong with them."""

import logging
import sys
import time
from pathlib import Path

import pytest
from fakes import FakeTools

from zosstorage.errors import ExitCode, ToolError
from zosstorage.verification import tools as module
from zosstorage.verification.tools import Tools, require


@pytest.fixture
def tools() -> Tools:
    return Tools(60)


def test_returns_status_output_and_messages(fake_tools: FakeTools, tools: Tools) -> None:
    fake_tools("blkid", stdout="out\n", stderr="a\nb\n", status=3)
    said = tools("blkid", "-p", "/dev/a b")
    assert (said.status, said.stdout, said.stderr, said.failure) == (3, "out\n", "a b", "a b")
    assert fake_tools.calls == [["blkid", "-p", "/dev/a b"]]


def test_a_failure_without_a_message_is_the_exit_status(fake_tools: FakeTools, tools: Tools) -> None:
    fake_tools("blkid", status=2)
    assert tools("blkid").failure == "exit status 2"
    fake_tools("sfdisk", stderr="a warning\n")
    assert tools("sfdisk").failure == ""


def test_keeps_long_output_whole(fake_tools: FakeTools, tools: Tools) -> None:
    fake_tools(
        "btrfs", body=f'exec {sys.executable} -c \'import sys; print("x" * 2000000); sys.stderr.write("y" * 9999)\''
    )
    said = tools("btrfs")
    assert (len(said.stdout), len(said.stderr)) == (2000001, 9999)


def test_a_tool_has_no_terminal_and_an_empty_standard_input(fake_tools: FakeTools, tools: Tools) -> None:
    fake_tools(
        "btrfs", body="test -t 0 || test -t 1 || test -t 2 || echo none; echo $LC_ALL $BLKID_FILE $LOCK_BLOCK_DEVICE"
    )
    assert tools("btrfs").stdout == "none\nC.UTF-8 /dev/null 0\n"
    assert fake_tools.stdin("btrfs") == [""]


def test_a_tool_that_exceeds_the_time_limit_is_killed_with_its_children(fake_tools: FakeTools, tmp_path: Path) -> None:
    survived = tmp_path / "survived"
    fake_tools("btrfs", body=f"(/bin/sleep 3; : >{survived}) & /bin/sleep 600")
    said = Tools(0.3)("btrfs")
    assert said.status == -9
    assert said.failure == "killed after 0.3 s without an answer"
    time.sleep(3)
    assert not survived.exists()


@pytest.mark.parametrize("number", [9, 11])
def test_a_tool_that_a_signal_ends(fake_tools: FakeTools, tools: Tools, number: int) -> None:
    fake_tools("btrfs", body=f"kill -{number} $$")
    said = tools("btrfs")
    assert (said.status, said.failure) == (-number, f"exit status -{number}")


def test_a_tool_is_killed_when_we_are_interrupted(
    fake_tools: FakeTools, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survived = tmp_path / "survived"
    fake_tools("btrfs", body=f"/bin/sleep 1; : >{survived}")
    monkeypatch.setattr(module, "_ended", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tools("btrfs")
    time.sleep(1.5)
    assert not survived.exists()


def test_bytes_that_are_no_text_are_kept(fake_tools: FakeTools, tools: Tools) -> None:
    fake_tools("blkid", body="printf '\\377'")
    assert tools("blkid").stdout == "\udcff"


def test_json_is_parsed_or_a_reason_given(fake_tools: FakeTools, tools: Tools) -> None:
    fake_tools("sfdisk", stdout='{"a": 1}')
    assert tools.json("sfdisk") == ({"a": 1}, "")
    fake_tools("findmnt", stdout="{")
    assert tools.json("findmnt") == (None, "findmnt printed no JSON")
    fake_tools("blkid", stderr="no\n", status=1)
    assert tools.json("blkid") == (None, "no")


def test_a_missing_tool_is_exit_6_with_its_package(fake_tools: FakeTools, tools: Tools) -> None:
    for call in (lambda: tools("findmnt"), lambda: require(["findmnt"])):
        with pytest.raises(ToolError, match="there is no findmnt") as caught:
            call()
        assert caught.value.exit_code is ExitCode.TOOL
        assert caught.value.hint == "install the package findmnt (Alpine) or util-linux (Debian)"


def test_an_applet_is_refused(fake_tools: FakeTools) -> None:
    fake_tools("blkid", banner=b"BusyBox v1.36.1")
    with pytest.raises(ToolError, match="is an applet of busybox") as caught:
        require(["blkid"])
    assert "util-linux" in caught.value.hint


def test_a_command_is_logged_once_at_debug(
    fake_tools: FakeTools, tools: Tools, caplog: pytest.LogCaptureFixture
) -> None:
    fake_tools("blkid")
    with caplog.at_level(logging.DEBUG, "zosstorage"):
        tools("blkid", "-p")
    (record,) = caplog.records
    assert (record.name, record.levelname, vars(record)["argv"]) == (
        "zosstorage.verification.tools",
        "DEBUG",
        "blkid -p",
    )
