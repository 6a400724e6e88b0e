"""The example configurations: valid, and planned with on a machine of the kind that each is for."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from attrs import frozen
from fakes import SysfsTree
from program import call
from support import blank, decide

from zosstorage.block import eligibility
from zosstorage.config import load
from zosstorage.errors import NoDiskError
from zosstorage.flags import CliOptions
from zosstorage.model import Discovery, Role
from zosstorage.planned import Action
from zosstorage.planning import discovery

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))
CMDLINE = EXAMPLES / "kernel-command-line.txt"
MODELINE = "# yaml-language-server: $schema=../schemas/config.json\n"

Machine = dict[str, dict[str, Any]]
HDD: dict[str, Any] = {"queue__rotational": 1}
SERIAL = "by-id/nvme-SAMSUNG_MZQL21T9HCJR-00A07_S64GNE0R40000"


def shelf(count: int) -> Machine:
    """A shelf of HDDs, and the small SSD that the system starts from."""
    path = "by-path/pci-0000:3b:00.0-sas-phy{}-lun-0"
    disks = {f"sd{chr(97 + n)}": {**HDD, "gib": 16384, "links": [path.format(n)]} for n in range(count)}
    return {**disks, "nvme0n1": {"gib": 240}}


@frozen
class Case:
    """An example, the machine that it is for, what the plan is, and a disk without which it refuses."""

    machine: Machine
    topology: str
    roles: dict[str, Role]
    without: str


DATA = Role.DATA
CASES = {
    "cloud-vm.yaml": Case({"vda": HDD, "sr0": {"removable": 1}}, "single", {"vda": DATA}, "vda"),
    "two-nvme.yaml": Case(
        {"nvme0n1": {}, "nvme1n1": {}, "sda": {"removable": 1}, "sdb": HDD},
        "dual_independent",
        {"nvme0n1": DATA, "nvme1n1": DATA},
        "nvme1n1",
    ),
    "ssd-hdd.yaml": Case(
        {"nvme0n1": {}, "sda": HDD, "sdb": HDD},
        "bcachefs_2copy",
        {"nvme0n1": Role.CACHE, "sda": Role.BACKING, "sdb": Role.BACKING},
        "sdb",
    ),
    "raid1.yaml": Case({"sda": HDD, "sdb": HDD}, "btrfs_raid1", {"sda": DATA, "sdb": DATA}, "sda"),
    "jbod.yaml": Case(shelf(12), "dual_independent", dict.fromkeys(list(shelf(12))[:12], DATA), "sdl"),
    "by-serial.yaml": Case(
        {
            "nvme0n1": {"links": [f"{SERIAL}2"]},
            "nvme1n1": {"links": [f"{SERIAL}1"]},
            "sda": HDD,
        },
        "single",
        {"nvme1n1": DATA},
        "nvme1n1",
    ),
    "virtio-tiers.yaml": Case(
        {"vda": HDD, "vdb": HDD, "vdc": HDD, "vdd": HDD},
        "ssd_hdd_bcachefs",
        {"vdb": Role.CACHE, "vdc": Role.BACKING, "vdd": Role.BACKING},
        "vdb",
    ),
    "loop.yaml": Case({"loop0": {"gib": 8}, "loop1": {"gib": 8}, "sda": {}}, "single", {"loop0": DATA}, "loop0"),
    CMDLINE.name: Case({"sda": {}, "sdb": {}, "nvme0n1": {}}, "btrfs_raid1", {"sda": DATA, "sdb": DATA}, "sdb"),
}


def cmdline(folder: Path) -> Path:
    """The kernel command line of the example, as the kernel has it."""
    lines = [line for line in CMDLINE.read_text("utf-8").splitlines() if not line.startswith("#")]
    file = folder / "cmdline"
    file.write_text(f"root=/dev/ram0 {' '.join(lines)}\n", "utf-8")
    return file


def loaded(name: str, folder: Path) -> load.Loaded:
    """The configuration of an example."""
    if name == CMDLINE.name:
        return load.load(CliOptions(cmdline=str(cmdline(folder))))
    return load.load(CliOptions(cmdline="/dev/null", config=str(EXAMPLES / name)))


def found(case: Case, config: Any, tree: SysfsTree, *, without: str = "") -> Discovery:
    """What Discover finds on the machine of a case."""
    for number, (name, attributes) in enumerate(case.machine.items()):
        if name != without:
            tree.add(name, number=f"8:{16 * number}", serial=f"serial-{name}", **attributes)
    return eligibility.discover(discovery.selection(config), root=tree.root)


def test_every_example_has_a_case_and_a_line_in_the_table() -> None:
    assert set(CASES) == {path.name for path in EXAMPLES.iterdir()} - {"README.md"}
    assert len(CASES) >= 8
    table = re.findall(r"^\| \[(\S+)\]\(\1\) \|", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE)
    assert set(table) == set(CASES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_is_valid_by_the_program_and_by_the_schema_that_it_names(path: Path) -> None:
    done = call("config", "check", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: valid\n", "")
    text = path.read_text("utf-8")
    assert text.startswith(MODELINE)
    schema = json.loads((path.parent / MODELINE.rpartition("=")[2].strip()).read_text("utf-8"))
    jsonschema.validate(yaml.safe_load(text), schema, cls=jsonschema.Draft202012Validator)
    assert text.count("\n#") >= 1, "an example explains itself"


def test_the_kernel_command_line_sets_all_that_it_names(tmp_path: Path) -> None:
    file = cmdline(tmp_path)
    done = call("--cmdline", file, "config", "show", "--origins")
    assert done.returncode == 0, done.stderr
    words = re.findall(r"zosstorage\.(?!wait|on_failure)\w+", file.read_text("utf-8"))
    assert done.stdout.count("kernel command line") == len(words)


@pytest.mark.parametrize("name", CASES)
def test_an_example_plans_what_it_says(name: str, sysfs_tree: SysfsTree, tmp_path: Path) -> None:
    case, config = CASES[name], loaded(name, tmp_path).config
    seen = found(case, config, sysfs_tree)
    discovery.require(seen, config)
    plan = decide(seen, [blank(disk) for disk in seen.disks], config)
    assert (plan.action, plan.topology) == (Action.CREATE, case.topology)
    assert {one.disk.name: one.role for one in plan.disks} == case.roles
    assert (plan.fstab is not None) == config.fstab.enabled


@pytest.mark.parametrize("name", CASES)
def test_an_example_refuses_a_machine_that_lacks_a_disk(name: str, sysfs_tree: SysfsTree, tmp_path: Path) -> None:
    case, config = CASES[name], loaded(name, tmp_path).config
    with pytest.raises(NoDiskError):
        discovery.require(found(case, config, sysfs_tree, without=case.without), config)
