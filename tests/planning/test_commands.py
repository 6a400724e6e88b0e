"""The commands of a plan: printed by `plan`, and the very ones that the states run."""

import shlex

import pytest
from machines import HDD_B, TYPICAL, U1, U2, A, B, C, created, decided, raid
from support import blank, data_content, disk, finished, unfinished

from zosstorage.model import Firmware, Role
from zosstorage.planning.commands import PlannedCommand, commands

NAMES = ("system", "etc", "modules", "vm-meta")


def text(found):
    """A line for each command; what it reads is below it, indented."""
    lines = []
    for one in found:
        lines += [f"{one.state}: {shlex.join(one.argv)}", *(f"    {line}" for line in one.stdin.splitlines())]
    return "\n".join(lines) + "\n"


def of(plan, state):
    return [one for one in commands(plan) if one.state == state]


def mounted(plan):
    """What is mounted, with the options, by the target."""
    return {one.argv[-1]: one.argv[3:-1] for one in of(plan, "mount") if one.argv[0] == "mount"}


@pytest.mark.parametrize("firmware", list(Firmware))
@pytest.mark.parametrize("mode", list(TYPICAL))
def test_commands_of_blank_disks(golden, mode, firmware):
    golden(f"commands-{mode}-{firmware}.txt", text(commands(created(mode, firmware=firmware))))


@pytest.mark.parametrize("mode", list(TYPICAL))
def test_commands_come_in_the_order_of_the_states(mode):
    found = [one.state for one in commands(created(mode))]
    order = ["partition", "format", "mount"]
    assert found == sorted(found, key=order.index)
    assert set(found) == set(order)


def test_an_adopted_system_is_only_mounted():
    plan = decided([A, B], [raid(A, 1), raid(B, 2)])
    assert [one.argv[:3] for one in commands(plan)] == [("btrfs", "device", "scan"), *[("mount", "-t", "btrfs")] * 5]
    assert not any(one.stdin for one in commands(plan))


def test_an_adopted_bcachefs_gets_no_subvolume():
    plan = decided([A], [raid(A, 1, devices=1, fstype="bcachefs")])
    assert {one.argv[0] for one in commands(plan)} == {"mount"}


def test_of_a_resumed_job_only_what_is_not_finished_is_made():
    """A table stands already, another is torn, the third disk is blank."""
    torn = unfinished(B, tag=2, torn=True)
    plan = decided([A, B, C], [unfinished(A), torn, blank(C)])
    tables = [one.argv[-1] for one in of(plan, "partition") if one.stdin]
    assert tables == ["/dev/sdb", "/dev/sdc"]
    assert len(of(plan, "format")) == 6
    plan = decided([A, B], [finished(A), unfinished(B, tag=2)])
    assert of(plan, "partition") == []
    assert [one.argv[-1] for one in of(plan, "format")] == ["/dev/sdb1", "/dev/sdb2"]
    assert len(mounted(plan)) == 6


def test_subvolumes_of_a_primary_that_is_not_known_yet_are_not_named():
    verdicts = [finished(A, data=data_content(U1)), finished(B, tag=2, data=data_content(U2))]
    assert list(mounted(decided([A, B], verdicts))) == [f"/var/mounts/{U1}", f"/var/mounts/{U2}"]


def test_mounts_have_the_root_prefix_and_the_configured_options():
    plan = created("single", root="/mnt", filesystems={"btrfs": {"compression": "zstd", "mount_options": ["nodev"]}})
    (data,) = plan.data
    options = [f"subvol={name},nodev,compress=zstd" for name in NAMES]
    found = mounted(plan)
    assert found.pop(f"/mnt/var/mounts/{data.uuid}") == (
        "-o",
        "subvolid=5,nodev,compress=zstd",
        f"UUID={data.uuid}",
    )
    assert found == {
        f"/mnt/var/cache/{name}": ("-o", option, f"UUID={data.uuid}")
        for name, option in zip(NAMES, options, strict=True)
    }


def test_the_roles_of_a_tiered_filesystem_reach_its_mkfs():
    verdicts = [unfinished(A, role=Role.CACHE), unfinished(HDD_B, tag=2, role=Role.BACKING)]
    *_, made = of(decided([A, HDD_B], verdicts), "format")
    assert [word for word in made.argv if word.startswith("--label=")] == ["--label=ssd.0", "--label=hdd.0"]
    assert "--force" not in made.argv


@pytest.mark.parametrize(("name", "nodes"), [("vda", ["vda1", "vda2"]), ("nvme0n1", ["nvme0n1p1", "nvme0n1p2"])])
def test_filesystems_are_made_on_the_nodes_that_the_kernel_will_give(name, nodes):
    plan = decided([disk(name)], [blank(disk(name))])
    found = [word for one in of(plan, "format") for word in one.argv if word.startswith("/dev/")]
    assert found == [f"/dev/{node}" for node in nodes]


def test_a_command_without_stdin_reads_nothing():
    assert PlannedCommand("mount", ("true",)).stdin == ""
