"""The problems that follow from observations."""

from pathlib import PurePath
from typing import Any

import pytest
from attrs import evolve
from machines import TYPICAL
from support import (
    config,
    data_content,
    discovery,
    disk,
    facts,
    observations,
    observed,
    place,
)

from zosstorage.config.schema import Config
from zosstorage.errors import ConfigError, ExitCode, NotEmptyError, ToolError, ZosstorageError
from zosstorage.observed import Observations, ObservedDisk, ObservedKernel, ObservedTool
from zosstorage.planned import Plan
from zosstorage.planning import preflight

DISKS = (disk("sda"), disk("sdb", rotational=True))
NAMES = ("system", "etc", "modules", "vm-meta")


def plan(mode: str = "single", *, make: bool = True, **rest: Any) -> Plan:
    """A plan that makes (`make`) or adopts the filesystems."""
    return facts(mode=mode, disks=DISKS[: len(TYPICAL[mode])], make=make, **rest).plan


def seen(**changes: Any) -> Observations:
    """Observations without a problem, with some fields changed."""
    return observations(discovery(), [], **changes)


def problems(found: Plan, settings: Config | None = None, **changes: Any) -> list[ZosstorageError]:
    return preflight.problems(found, seen(**changes), settings or config())


@pytest.mark.parametrize("mode", ["single", "btrfs_raid1", "bcachefs_single", "ssd_hdd_bcachefs"])
def test_a_complete_machine_has_no_problem(mode: str) -> None:
    assert problems(plan(mode)) == []


# Tools.


@pytest.mark.parametrize(
    ("mode", "make", "more"),
    [
        ("single", True, {"mkfs.fat", "mkfs.btrfs", "btrfs"}),
        ("single", False, {"mkfs.btrfs", "btrfs"}),
        ("btrfs_raid1", True, {"mkfs.fat", "mkfs.btrfs", "btrfs"}),
        ("ssd_hdd_bcachefs", True, {"mkfs.fat", "bcachefs"}),
    ],
)
def test_tools_that_the_rest_of_a_run_needs(mode: str, make: bool, more: set[str]) -> None:
    assert set(preflight.needed_tools(plan(mode, make=make))) == {*preflight.ALWAYS_NEEDED, *more}


def test_every_missing_tool_is_reported() -> None:
    tools = seen().tools | {"wipefs": ObservedTool(None), "mkfs.fat": ObservedTool(None)}
    found = preflight.missing_tools(["blkid", "wipefs", "mkfs.fat"], seen(tools=tools))
    assert [problem.message for problem in found] == [
        "the tool wipefs was not found",
        "the tool mkfs.fat was not found",
    ]
    assert all(problem.exit_code is ExitCode.TOOL and problem.hint.startswith("install ") for problem in found)


def test_an_applet_is_a_problem() -> None:
    problem = preflight.tool_problem("mount", ObservedTool("/bin/mount", "busybox"))
    assert problem
    assert problem.message.startswith("/bin/mount is an applet of busybox")
    assert "package mount" in problem.hint or "util-linux" in problem.hint


def test_a_missing_tool_that_the_plan_does_not_need_is_no_problem() -> None:
    tools = seen().tools | {"bcachefs": ObservedTool(None)}
    assert problems(plan(), tools=tools) == []


# The kernel.


def kernel(*names: str, version: str = "", **tried: str) -> ObservedKernel:
    return ObservedKernel(frozenset(names), tried, version)


def test_a_kernel_with_the_filesystem_is_no_problem() -> None:
    assert problems(plan(), kernel=kernel("btrfs", "ext4")) == []


@pytest.mark.parametrize(
    ("tried", "result"),
    [
        ({"btrfs": "modprobe btrfs ended with status 1"}, "modprobe btrfs ended with status 1"),
        ({"btrfs": "modprobe was not found"}, "modprobe was not found"),
        ({}, "modprobe was not tried"),
    ],
)
def test_a_kernel_without_the_filesystem_is_reported_with_the_result_of_modprobe(
    tried: dict[str, str], result: str
) -> None:
    (problem,) = problems(plan(), kernel=kernel("ext4", **tried))
    assert isinstance(problem, ToolError)
    assert problem.message == f"this kernel has no btrfs ({result})"
    assert "topology.mode" in problem.hint


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("mount from util-linux 2.39 (libmount 2.39: btrfs)", True),
        ("mount from util-linux 2.41.1 (libmount)", True),
        ("mount from util-linux 3.0", True),
        ("mount from util-linux 2.38.1 (libmount 2.38.1)", False),
        ("mount from util-linux 2.9", False),
        ("some other mount", False),
    ],
)
def test_bcachefs_needs_a_mount_that_knows_subdirectories(version: str, enough: bool) -> None:
    found = problems(plan("bcachefs_single"), kernel=kernel("bcachefs", version=version))
    assert [problem.exit_code for problem in found] == ([] if enough else [ExitCode.TOOL])
    assert all("2.39" in problem.message and "2.39" in problem.hint for problem in found)


def test_btrfs_needs_no_version_of_mount() -> None:
    assert problems(plan(), kernel=kernel("btrfs", version="mount from util-linux 2.20")) == []


def test_a_missing_mount_is_reported_once() -> None:
    """As a missing tool: its version is unknown."""
    tools = seen().tools | {"mount": ObservedTool(None)}
    (problem,) = problems(plan("bcachefs_single"), tools=tools, kernel=kernel("bcachefs"))
    assert problem.message == "the tool mount was not found"


def test_an_old_mount_is_reported_only_if_the_kernel_has_the_filesystem() -> None:
    old = "mount from util-linux 2.20"
    (problem,) = problems(plan("bcachefs_single"), kernel=kernel("btrfs", version=old))
    assert problem.message.startswith("this kernel has no bcachefs")


# Copies.


def test_a_copy_of_a_finished_filesystem_is_a_problem() -> None:
    found = plan(make=False)
    kept = data_content(found.data[0].uuid)
    (problem,) = problems(found, contents={"/dev/sda2": kept, "/dev/sdy1": kept})
    assert isinstance(problem, NotEmptyError)
    assert problem.message.startswith(f"/dev/sdy1 carries a copy of the filesystem {kept.uuid}")
    assert "btrfstune" in problem.hint


def test_another_filesystem_is_no_copy() -> None:
    found = plan(make=False)
    other = data_content("12345678-0000-4000-8000-000000000000")
    assert problems(found, contents={"/dev/sda2": data_content(found.data[0].uuid), "/dev/sdy1": other}) == []


def test_a_new_filesystem_has_no_copy() -> None:
    found = plan()
    assert problems(found, contents={"/dev/sdy1": data_content(found.data[0].uuid)}) == []


# Backing files of loop devices.


def backed(*files: str) -> tuple[ObservedDisk, ...]:
    """Observed loop devices with these backing files."""
    return tuple(observed(one, backing_file=file) for one, file in zip(DISKS, files, strict=True))


def test_two_loop_devices_with_one_backing_file_are_a_problem() -> None:
    (problem,) = problems(plan("btrfs_raid1"), disks=backed("/a.img", "/a.img"))
    assert isinstance(problem, NotEmptyError)
    assert problem.message == "/dev/sda and /dev/sdb have the same backing file /a.img"
    assert "exclude" in problem.hint


@pytest.mark.parametrize("files", [("/a.img", "/b.img"), ("", ""), ("/a.img", "")], ids=str)
def test_loop_devices_with_different_backing_files_are_no_problem(files: tuple[str, str]) -> None:
    assert problems(plan("btrfs_raid1"), disks=backed(*files)) == []


def test_a_loop_device_outside_the_plan_is_no_problem() -> None:
    assert problems(plan(), disks=backed("/a.img", "/a.img")) == []


# Places. test_places.py has real directories.


def at(path: str, **changes: Any) -> dict[str, Any]:
    """The change that replaces one observed place."""
    return {"places": seen().places | {path: place(path, **changes)}}


def reported(found: Plan, **changes: Any) -> list[tuple[type[ZosstorageError], str]]:
    """Class and message of each problem."""
    return [(type(one), one.message) for one in problems(found, **changes)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mounted": "tmpfs"}, "/var/cache/etc is in use: tmpfs is mounted there"),
        ({"mounted": "/dev/sda2:/dev/sdz1"}, "/var/cache/etc is in use: /dev/sda2:/dev/sdz1 is mounted there"),
        ({"above": "/var", "above_is_directory": False}, "/var/cache/etc cannot be a directory: /var is a file"),
        ({"refused": "/var: Read-only"}, "/var/cache/etc cannot be created: /var: Read-only"),
    ],
)
def test_a_target_that_cannot_be_mounted_on_is_a_problem(changes: Any, message: str) -> None:
    assert reported(plan(), **at("/var/cache/etc", **changes)) == [(ConfigError, message)]


@pytest.mark.parametrize("changes", [{"mounted": "/dev/sda2"}, {"exists": True, "refused": "/var: Read-only"}])
def test_an_existing_target_or_one_that_an_earlier_run_mounted_is_no_problem(changes: Any) -> None:
    assert reported(plan(), **at("/var/cache/etc", **changes)) == []


def test_a_read_only_data_root_is_a_problem_for_each_new_filesystem() -> None:
    found = plan("dual_independent")
    changes = at("/var/mounts", exists=True, refused="/var/mounts: Read-only")
    assert reported(found, **changes) == [
        (ConfigError, f"/var/mounts/{one.uuid} cannot be created: /var/mounts: Read-only") for one in found.data
    ]


def test_the_mount_point_of_a_finished_filesystem_is_checked_itself() -> None:
    found = plan(make=False)
    assert found.data[0].top
    top = found.data[0].top.target
    assert reported(found, **at(top, above=top, above_is_directory=False)) == [
        (ConfigError, f"{top} cannot be a directory: {top} is a file")
    ]
    places = at("/var/mounts", exists=True, refused="x")["places"] | at(top, exists=True)["places"]
    places["/var/mounts"] = place("/var/mounts", exists=True, refused="/var/mounts: Read-only")
    assert reported(found, places=places) == []


def test_a_place_out_of_the_root_is_a_problem() -> None:
    settings = config(root="/mnt")
    found = plan(root="/mnt")
    places = observations(discovery(), [], settings).places
    root = {"root": "/mnt", "places": places}
    assert problems(found, settings, **root) == []
    places["/mnt/var/cache/etc"] = evolve(places["/mnt/var/cache/etc"], real="/var/cache/etc")
    places["/mnt/var/mounts"] = evolve(places["/mnt/var/mounts"], real="/elsewhere")
    assert [problem.message for problem in problems(found, settings, **root)] == [
        f"/mnt/var/mounts/{found.data[0].uuid} leads out of /mnt, to /elsewhere/{found.data[0].uuid}",
        "/mnt/var/cache/etc leads out of /mnt, to /var/cache/etc",
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"exists": True}, "it is not a regular file"), ({"refused": "/run: Read-only"}, "/run: Read-only")],
)
def test_a_report_that_cannot_be_written_is_a_problem(changes: Any, reason: str) -> None:
    path = config().report.path
    (problem,) = problems(plan(), **at(path, **changes))
    assert problem.message == f"{path} cannot be written: {reason}"
    assert "--report" in problem.hint


def test_an_fstab_is_a_problem_only_if_it_is_written() -> None:
    changes = at("/etc/fstab", exists=True, real="/srv/fstab") | {"fstab": ("tmpfs /var/cache/etc tmpfs",)}
    assert problems(plan(), **changes) == []
    messages = [problem.message for problem in problems(plan(fstab="/etc/fstab"), **changes)]
    assert messages == [
        "/srv/fstab cannot be written: it is not a regular file",
        "/etc/fstab mounts something else at a mount target: 'tmpfs /var/cache/etc tmpfs'",
    ]


def test_problems_are_in_the_order_of_the_plan() -> None:
    places = {path: evolve(one, mounted="tmpfs") for path, one in seen().places.items()}
    messages = [problem.message for problem in problems(plan(), places=places)]
    assert [PurePath(message.split(" ")[0]).name for message in messages] == list(NAMES)
