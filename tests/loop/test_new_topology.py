"""A topology is one row of the table: with a row more, the program provisions it, and knows it again."""

import json
import os
import subprocess
import sys

import pytest
from processes import output
from program import TOP

PROGRAM = """
import sys
from zosstorage.topologies import TOPOLOGIES, Topology
row = Topology("btrfs_raid1c3", "btrfs", "one btrfs over all, in three copies", data=3, shared=True, profile="raid1c3")
TOPOLOGIES[row.name] = row
from zosstorage.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def one(machine):
    return machine(3, topology={"mode": "btrfs_raid1c3"}, logging={})


def call(one, *words):
    argv = ["--config", one.config, "--root", one.root, "--cmdline", os.devnull, *words]
    command = one.inside(sys.executable, "-c", PROGRAM, *argv)
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_a_row_more_is_all_it_takes(one):
    planned = call(one, "plan", "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["topology"] == "btrfs_raid1c3"
    done = call(one, "run")
    assert done.returncode == 0, done.stderr
    assert (one.report["status"], one.report["topology"]) == ("provisioned", "btrfs_raid1c3")
    (data,) = [fs for fs in one.report["filesystems"] if fs["type"] == "btrfs"]
    assert len(data["devices"]) == 3
    for kind in ("data", "metadata"):
        assert output("ls", f"/sys/fs/btrfs/{data['uuid']}/allocation/{kind}").split().count("raid1c3") == 1
    again = call(one, "run")
    assert "already done in this boot" in again.stderr

    one.reboot()
    second = call(one, "run")
    assert second.returncode == 0, second.stderr
    assert (one.report["status"], one.report["topology"]) == ("already_provisioned", "btrfs_raid1c3")
    assert {fs["uuid"] for fs in one.report["filesystems"]} >= {data["uuid"]}

    one.reboot()
    one.settings["topology"] = {"mode": "auto"}
    without = one("run")  # a program without the row: three copies are not the two that it knows
    assert without.status == 5
    assert "raid1c3" in without.stderr
