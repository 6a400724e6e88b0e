"""Tools that fail, hang or crash at each step: exit 6 with a checkpoint that tells it, and the next run finishes."""

import os

import pytest
from checks import check_provisioned
from disks import GIB
from toolwrappers import ToolWrappers

# Tool, which call of it, the state that it belongs to; on two disks in one mirror.
CALLS = [
    ("wipefs", 1, "validate"),
    ("blkid", 2, "validate"),
    ("sfdisk", 2, "partition"),
    ("partx", 2, "partition"),
    ("wipefs", 1 + min(2, os.cpu_count() or 1), "format"),  # each processor has had its share of the two disks
    ("mkfs.fat", 2, "format"),
    ("mkfs.btrfs", 1, "format"),
    ("blkid", 3, "format"),
    ("btrfs", 1, "mount"),
    ("mount", 1, "mount"),
    ("mount", 4, "mount"),
]
# Seconds that a command may take where one hangs; the next where a healthy one was too slow for it, on a busy machine.
LIMITS = (1, 5, 25)


def run_with_failure(one, wrappers, how, tool, call):
    """A run in which a call of a tool, and all that follow it, go wrong."""
    if how != "hang":
        return one("run", env=wrappers.install(how, f"[ $nth -ge {call} ]", tool))
    for seconds in LIMITS:
        one.settings["tools"] = {"timeout": f"{seconds}s"}
        done = one("run", env=wrappers.install(how, f"[ $nth -ge {call} ]", tool))
        if wrappers.reached(tool, call) and error_of(one)["message"].startswith(f"{tool} "):
            break
        one.blank()
    del one.settings["tools"]  # what finishes the job gets all the time it needs
    return done


def error_of(one):
    return next(record["error"] for record in one.checkpoint["states"] if record["status"] == "failed")


@pytest.mark.parametrize("how", ["fail", "fail-after", "hang", "segfault"])
@pytest.mark.parametrize(("tool", "call", "state"), CALLS, ids=str)
def test_a_tool_that_goes_on_failing(machine, tmp_path, tool, call, state, how):
    one = machine(2, size=2 * GIB, topology={"mode": "btrfs_raid1"})
    done = run_with_failure(one, ToolWrappers(tmp_path / "wrappers"), how, tool, call)
    assert done.status == 6, done.stderr
    assert "Traceback" not in done.stderr
    assert tool in done.stderr
    records = {record["name"]: record for record in one.checkpoint["states"]}
    assert records[state]["status"] == "failed"
    assert records[state]["error"]["exit_code"] == 6
    assert tool in records[state]["error"]["message"]
    assert not (one.run_dir / "state.json").exists()
    assert one.mounts == {}, "what was mounted was not undone"
    assert tool in one("status").stdout
    again = one("run")
    assert again.status == 0, again.stderr
    check_provisioned(one, "btrfs_raid1", status=one.report["status"])


@pytest.mark.parametrize("how", ["fail", "fail-after", "segfault"])
@pytest.mark.parametrize(("tool", "call"), [("sfdisk", 1), ("mkfs.fat", 1), ("mkfs.btrfs", 1), ("mount", 1)])
def test_a_tool_that_fails_once_is_tried_again(machine, tmp_path, tool, call, how):
    one = machine(2, size=2 * GIB, topology={"mode": "btrfs_raid1"})
    wrappers = ToolWrappers(tmp_path / "wrappers")
    done = one("run", env=wrappers.install(how, f"[ $nth = {call} ]", tool))
    assert done.status == 0, done.stderr
    assert "trying once more" in done.stderr
    check_provisioned(one, "btrfs_raid1")


def test_a_missing_tool_is_told_before_anything_is_written(machine, tmp_path):
    one = machine(1, size=2 * GIB)
    wrappers = ToolWrappers(tmp_path / "wrappers")
    env = wrappers.install()
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"#!/bin/sh\n# BusyBox v1.36.1\n")
    busybox.chmod(0o755)
    (wrappers.folder / "mount").unlink()
    (wrappers.folder / "mount").symlink_to(busybox)
    done = one("run", env=env)
    assert done.status == 6
    assert "applet of busybox" in done.stderr
    assert "install the package mount" in done.stderr
    assert one.disks[0].image.stat().st_blocks == 0
