"""The commands of a plan: `plan` prints them and the states run them."""

import shlex
from collections.abc import Callable, Iterable

import pytest
from machines import HDD_B, TYPICAL, U1, U2, A, B, C, created, decided, raid
from support import blank, data_content, disk, finished, unfinished

from zosstorage.model import Firmware, Role
from zosstorage.planned import Plan
from zosstorage.planning.commands import PlannedCommand, commands

NAMES = ("system", "etc", "modules", "vm-meta")


def text(found: Iterable[PlannedCommand]) -> str:
    """A line for each command, followed by its standard input, indented."""
    lines = []
    for one in found:
        lines += [f"{one.state}: {shlex.join(one.argv)}", *(f"    {line}" for line in one.stdin.splitlines())]
    return "\n".join(lines) + "\n"


def of(plan: Plan, state: str) -> list[PlannedCommand]:
    return [one for one in commands(plan) if one.state == state]


def mounted(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The options and the source of each mount, by its target."""
    return {one.argv[-1]: one.argv[3:-1] for one in of(plan, "mount") if one.argv[0] == "mount"}


@pytest.mark.parametrize("firmware", list(Firmware))
@pytest.mark.parametrize("mode", list(TYPICAL))
def test_commands_of_blank_disks(golden: Callable[[str, str], None], mode: str, firmware: Firmware) -> None:
    golden(f"commands-{mode}-{firmware}.txt", text(commands(created(mode, firmware=firmware))))


@pytest.mark.parametrize("mode", list(TYPICAL))
def test_commands_come_in_the_order_of_the_states(mode: str) -> None:
    found = [one.state for one in commands(created(mode))]
    order = ["partition", "format", "mount"]
    assert found == sorted(found, key=order.index)
    assert set(found) == set(order)


def test_an_adopted_system_is_only_mounted() -> None:
    plan = decided([A, B], [raid(A, 1), raid(B, 2)])
    assert [one.argv[:3] for one in commands(plan)] == [("btrfs", "device", "scan"), *[("mount", "-t", "btrfs")] * 5]
    assert not any(one.stdin for one in commands(plan))


def test_an_adopted_bcachefs_gets_no_subvolume() -> None:
    plan = decided([A], [raid(A, 1, devices=1, fstype="bcachefs")])
    assert {one.argv[0] for one in commands(plan)} == {"mount"}


def test_a_resumed_job_makes_only_what_is_not_finished() -> None:
    """The first disk has its table, the table of the second is torn, the third is blank."""
    torn = unfinished(B, tag=2, torn=True)
    plan = decided([A, B, C], [unfinished(A), torn, blank(C)])
    tables = [one.argv[-1] for one in of(plan, "partition") if one.stdin]
    assert tables == ["/dev/sdb", "/dev/sdc"]
    assert len(of(plan, "format")) == 6
    plan = decided([A, B], [finished(A), unfinished(B, tag=2)])
    assert of(plan, "partition") == []
    assert [one.argv[-1] for one in of(plan, "format")] == ["/dev/sdb1", "/dev/sdb2"]
    assert len(mounted(plan)) == 6


def test_a_plan_without_a_primary_mounts_no_subvolume() -> None:
    verdicts = [finished(A, data=data_content(U1)), finished(B, tag=2, data=data_content(U2))]
    assert list(mounted(decided([A, B], verdicts))) == [f"/var/mounts/{U1}", f"/var/mounts/{U2}"]


def test_mounts_have_the_root_prefix_and_the_configured_options() -> None:
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


def test_the_roles_of_a_tiered_filesystem_reach_its_mkfs() -> None:
    verdicts = [unfinished(A, role=Role.CACHE), unfinished(HDD_B, tag=2, role=Role.BACKING)]
    *_, mkfs = of(decided([A, HDD_B], verdicts), "format")
    assert [word for word in mkfs.argv if word.startswith("--label=")] == ["--label=ssd.0", "--label=hdd.0"]
    assert "--force" not in mkfs.argv


@pytest.mark.parametrize(("name", "nodes"), [("vda", ["vda1", "vda2"]), ("nvme0n1", ["nvme0n1p1", "nvme0n1p2"])])
def test_filesystems_are_made_on_the_nodes_of_their_partitions(name: str, nodes: list[str]) -> None:
    plan = decided([disk(name)], [blank(disk(name))])
    found = [word for one in of(plan, "format") for word in one.argv if word.startswith("/dev/")]
    assert found == [f"/dev/{node}" for node in nodes]


def test_the_stdin_of_a_command_is_empty_by_default() -> None:
    assert PlannedCommand("mount", ("true",)).stdin == ""
