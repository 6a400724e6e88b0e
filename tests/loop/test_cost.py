"""What a run costs, counted: the commands it starts and the modules it imports. No clock: these do not vary.

Whoever raises a bound writes down here what for; docs/PERFORMANCE.md tells what each of them costs in milliseconds.
"""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from program import TOP


def shares(devices):
    """The processes that look at some devices: one a processor."""
    return min(devices, os.cpu_count() or 1)


# Commands of a run, by disks. blkid: one for each disk, as it stops at the first on which it sees nothing, and once for
# all that was made. wipefs: once before the tables, once before the filesystems. mount: each filesystem, and the four
# subvolumes.
COLD = {
    disks: {
        "wipefs": shares(disks) + shares(2 * disks),
        "blkid": disks + shares(2 * disks),
        "sfdisk": disks,
        "partx": disks,
        "mkfs.fat": disks,
        "mkfs.btrfs": disks,
        "mount": disks + 4,
    }
    for disks in (1, 3)
}
# After a reboot: partx only where the kernel did not read the tables by itself.
SECOND = {disks: {"partx": disks, "mount": disks + 4} for disks in COLD}

# Modules that a run loads, all of them and ours: the rooms, attrs, cattrs, transitions, argparse, logging, subprocess,
# pickle for what a reading process sends.
ALL, OURS = 345, 102
# What no run has a use for, and what is slow to import.
NEVER = {"asyncio", "ssl", "email", "http", "xml", "multiprocessing", "unittest", "jsonschema"}

PROGRAM = """
import json, sys
from zosstorage.__main__ import main
status = main(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    json.dump(sorted(sys.modules), file)
sys.exit(status)
"""


class Costs:
    """Runs the program on a machine: by flags alone, as one does whose disks are real."""

    def __init__(self, machine, disks, tmp_path):
        self.machine = machine(disks)
        self.modules_file = tmp_path / "modules"

    def flags(self):
        run_dir = self.machine.run_dir
        includes = [word for disk in self.machine.disks for word in ("--include", disk.device)]
        places = ["--root", self.machine.root, "--run-dir", run_dir, "--report", run_dir / "state.json"]
        return [*includes, "--exclude", "/dev/none", *places, "--cmdline", os.devnull]

    def __call__(self, *words):
        """(how many times each tool was called, modules)."""
        argv = self.machine.inside(sys.executable, "-c", PROGRAM, self.modules_file, *(words or self.flags()))
        # Coverage would measure the child too, and import what this test looks for.
        env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        done = subprocess.run(argv, cwd=TOP, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        entries = [json.loads(line) for line in done.stderr.splitlines()]
        tools = Counter(entry["argv"].split()[0] for entry in entries if entry["message"] == "command")
        return tools, set(json.loads(self.modules_file.read_text()))


def check_commands(tools, bound):
    assert {name: count for name, count in tools.items() if count > bound.get(name, 0)} == {}


def check_modules(modules):
    ours = {name for name in modules if name.partition(".")[0] in ("zosstorage", "states")}
    assert len(ours) <= OURS, sorted(ours)
    assert len(modules) <= ALL, sorted(modules)
    assert {name.partition(".")[0] for name in modules} & NEVER == set()


@pytest.mark.parametrize("disks", COLD)
def test_commands_and_modules_of_every_kind_of_run(machine, tmp_path, disks):
    costs = Costs(machine, disks, tmp_path)
    tools, modules = costs()
    assert sum(tools.values()) > 12  # they were seen
    check_commands(tools, COLD[disks])
    check_modules(modules)

    tools, modules = costs()
    assert tools == Counter()
    check_modules(modules)

    costs.machine.reboot()
    tools, modules = costs()
    assert tools["mount"] == disks + 4
    check_commands(tools, SECOND[disks])
    check_modules(modules)


def test_modules_of_version(machine, tmp_path):
    _, modules = Costs(machine, 1, tmp_path)("--version")
    check_modules(modules)
