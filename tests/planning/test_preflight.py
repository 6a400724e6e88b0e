"""What is made of observations: a problem for each thing that a plan lacks. Values in, values out."""

from pathlib import PurePath

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

from zosstorage.errors import ConfigError, ExitCode, NotEmptyError, ToolError
from zosstorage.observed import ObservedKernel, ObservedTool
from zosstorage.planning import preflight

DISKS = (disk("sda"), disk("sdb", rotational=True))
NAMES = ("system", "etc", "modules", "vm-meta")


def plan(mode="single", *, make=True, **rest):
    return facts(mode=mode, disks=DISKS[: len(TYPICAL[mode])], make=make, **rest).plan


def seen(**changes):
    return observations(discovery(), [], **changes)


def problems(found, settings=None, **changes):
    return preflight.problems(found, seen(**changes), settings or config())


@pytest.mark.parametrize("mode", ["single", "btrfs_raid1", "bcachefs_single", "ssd_hdd_bcachefs"])
def test_nothing_is_in_the_way_of_a_plan_on_a_complete_machine(mode):
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
def test_tools_that_the_rest_of_a_run_needs(mode, make, more):
    assert set(preflight.needed_tools(plan(mode, make=make))) == {*preflight.ALWAYS_NEEDED, *more}


def test_every_missing_tool_is_told():
    tools = seen().tools | {"wipefs": ObservedTool(None), "mkfs.fat": ObservedTool(None)}
    found = preflight.missing_tools(["blkid", "wipefs", "mkfs.fat"], seen(tools=tools))
    assert [problem.message for problem in found] == [
        "the tool wipefs was not found",
        "the tool mkfs.fat was not found",
    ]
    assert all(problem.exit_code is ExitCode.TOOL and problem.hint.startswith("install ") for problem in found)


def test_an_applet_is_no_tool():
    problem = preflight.tool_problem("mount", ObservedTool("/bin/mount", "busybox"))
    assert problem.message.startswith("/bin/mount is an applet of busybox")
    assert "package mount" in problem.hint or "util-linux" in problem.hint


def test_a_tool_that_the_plan_does_not_need_may_be_missing():
    tools = seen().tools | {"bcachefs": ObservedTool(None)}
    assert problems(plan(), tools=tools) == []


# The kernel.


def kernel(*names, version="", **tried):
    return ObservedKernel(frozenset(names), tried, version)


def test_a_kernel_that_has_the_filesystem_is_enough():
    assert problems(plan(), kernel=kernel("btrfs", "ext4")) == []


@pytest.mark.parametrize(
    ("tried", "told"),
    [
        ({"btrfs": "modprobe btrfs ended with status 1"}, "modprobe btrfs ended with status 1"),
        ({"btrfs": "modprobe was not found"}, "modprobe was not found"),
        ({}, "modprobe was not tried"),
    ],
)
def test_a_kernel_without_the_filesystem_is_told_with_what_modprobe_said(tried, told):
    (problem,) = problems(plan(), kernel=kernel("ext4", **tried))
    assert isinstance(problem, ToolError)
    assert problem.message == f"this kernel has no btrfs ({told})"
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
def test_bcachefs_needs_a_mount_that_knows_subdirectories(version, enough):
    found = problems(plan("bcachefs_single"), kernel=kernel("bcachefs", version=version))
    assert [problem.exit_code for problem in found] == ([] if enough else [ExitCode.TOOL])
    assert all("2.39" in problem.message and "2.39" in problem.hint for problem in found)


def test_btrfs_takes_any_mount():
    assert problems(plan(), kernel=kernel("btrfs", version="mount from util-linux 2.20")) == []


def test_a_missing_mount_is_told_once():
    """As a missing tool; nobody could ask it for its version."""
    tools = seen().tools | {"mount": ObservedTool(None)}
    (problem,) = problems(plan("bcachefs_single"), tools=tools, kernel=kernel("bcachefs"))
    assert problem.message == "the tool mount was not found"


def test_an_old_mount_is_told_only_where_the_kernel_has_the_filesystem():
    old = "mount from util-linux 2.20"
    (problem,) = problems(plan("bcachefs_single"), kernel=kernel("btrfs", version=old))
    assert problem.message.startswith("this kernel has no bcachefs")


# Copies.


def test_a_copy_of_a_finished_filesystem_elsewhere_is_in_the_way():
    found = plan(make=False)
    kept = data_content(found.data[0].uuid)
    (problem,) = problems(found, contents={"/dev/sda2": kept, "/dev/sdy1": kept})
    assert isinstance(problem, NotEmptyError)
    assert problem.message.startswith(f"/dev/sdy1 carries a copy of the filesystem {kept.uuid}")
    assert "btrfstune" in problem.hint


def test_another_filesystem_elsewhere_is_no_copy():
    found = plan(make=False)
    other = data_content("12345678-0000-4000-8000-000000000000")
    assert problems(found, contents={"/dev/sda2": data_content(found.data[0].uuid), "/dev/sdy1": other}) == []


def test_a_new_filesystem_can_have_no_copy():
    found = plan()
    assert problems(found, contents={"/dev/sdy1": data_content(found.data[0].uuid)}) == []


# One file behind two loop devices.


def backed(*files):
    return tuple(observed(one, backing_file=file) for one, file in zip(DISKS, files, strict=True))


def test_two_loop_devices_over_one_file_are_in_the_way():
    (problem,) = problems(plan("btrfs_raid1"), disks=backed("/a.img", "/a.img"))
    assert isinstance(problem, NotEmptyError)
    assert problem.message == "/dev/sda and /dev/sdb have the same backing file /a.img"
    assert "exclude" in problem.hint


@pytest.mark.parametrize("files", [("/a.img", "/b.img"), ("", ""), ("/a.img", "")], ids=str)
def test_disks_over_files_of_their_own_are_not(files):
    assert problems(plan("btrfs_raid1"), disks=backed(*files)) == []


def test_a_loop_device_beside_the_plan_is_not():
    assert problems(plan(), disks=backed("/a.img", "/a.img")) == []


# Places. What is read of real folders is in test_places.


def at(path, **changes):
    """Observations in which one place is otherwise."""
    return {"places": seen().places | {path: place(path, **changes)}}


def told(found, **changes):
    settings = config()
    return [(type(one), one.message) for one in preflight.problems(found, seen(**changes), settings)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mounted": "tmpfs"}, "/var/cache/etc is in use: tmpfs is mounted there"),
        ({"mounted": "/dev/sda2:/dev/sdz1"}, "/var/cache/etc is in use: /dev/sda2:/dev/sdz1 is mounted there"),
        ({"above": "/var", "above_is_directory": False}, "/var/cache/etc cannot be a directory: /var is a file"),
        ({"refused": "/var: Read-only"}, "/var/cache/etc cannot be created: /var: Read-only"),
    ],
)
def test_a_target_that_cannot_be_mounted_on_is_in_the_way(changes, message):
    assert told(plan(), **at("/var/cache/etc", **changes)) == [(ConfigError, message)]


@pytest.mark.parametrize("changes", [{"mounted": "/dev/sda2"}, {"exists": True, "refused": "/var: Read-only"}])
def test_a_target_that_an_earlier_run_mounted_or_that_is_there_is_not(changes):
    assert told(plan(), **at("/var/cache/etc", **changes)) == []


def test_a_data_root_that_cannot_be_written_is_told_for_each_new_filesystem():
    found = plan("dual_independent")
    wrong = at("/var/mounts", exists=True, refused="/var/mounts: Read-only")
    assert told(found, **wrong) == [
        (ConfigError, f"/var/mounts/{one.uuid} cannot be created: /var/mounts: Read-only") for one in found.data
    ]


def test_the_folder_of_a_finished_filesystem_is_judged_by_itself():
    found = plan(make=False)
    top = found.data[0].top.target
    assert told(found, **at(top, above=top, above_is_directory=False)) == [
        (ConfigError, f"{top} cannot be a directory: {top} is a file")
    ]
    there = at("/var/mounts", exists=True, refused="x")["places"] | at(top, exists=True)["places"]
    there["/var/mounts"] = place("/var/mounts", exists=True, refused="/var/mounts: Read-only")
    assert told(found, places=there) == []


def test_a_place_that_leads_out_of_the_root_is_in_the_way():
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
def test_a_report_that_cannot_be_written_is_in_the_way(changes, reason):
    path = config().report.path
    (problem,) = problems(plan(), **at(path, **changes))
    assert problem.message == f"{path} cannot be written: {reason}"
    assert "--report" in problem.hint


def test_an_fstab_is_in_the_way_only_where_it_is_to_be_written():
    wrong = at("/etc/fstab", exists=True, real="/srv/fstab") | {"fstab": ("tmpfs /var/cache/etc tmpfs",)}
    assert problems(plan(), **wrong) == []
    messages = [problem.message for problem in problems(plan(fstab="/etc/fstab"), **wrong)]
    assert messages == [
        "/srv/fstab cannot be written: it is not a regular file",
        "/etc/fstab mounts something else at a mount target: 'tmpfs /var/cache/etc tmpfs'",
    ]


def test_problems_are_told_in_the_order_of_the_plan():
    places = {path: evolve(one, mounted="tmpfs") for path, one in seen().places.items()}
    messages = [problem.message for problem in problems(plan(), places=places)]
    assert [PurePath(message.split(" ")[0]).name for message in messages] == list(NAMES)
