"""From observations to the plan or the refusal; and no I/O while deciding."""

import builtins
import io
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from attrs import evolve
from machines import TYPICAL, A, B, C, created, decided, disks, refused, summary
from support import (
    blank,
    config,
    data_content,
    discovery,
    finished,
    foreign,
    observations,
    observed,
    place,
    unfinished,
    uuids,
)

from zosstorage.config.schema import Config
from zosstorage.errors import ConfigError, NoDiskError, NotEmptyError, ToolError, ZosstorageError
from zosstorage.model import Verdict
from zosstorage.observed import Observations, ObservedKernel, ObservedPlace, ObservedTool
from zosstorage.planned import Action
from zosstorage.planning.commands import commands
from zosstorage.planning.decide import decide
from zosstorage.system import run

# Blank and foreign disks.


def test_blank_disks_are_provisioned() -> None:
    plan = decided([A, B], [blank(A), blank(B)])
    assert summary(plan) == (Action.CREATE, "dual_independent", ["sda", "sdb"], [])


def test_one_foreign_disk_aborts_the_run_for_all() -> None:
    message = refused([A, B], [blank(A), foreign(B)])
    assert "1 of 2 target disks may not be written" in message
    assert "/dev/sdb: a signature of ext4 (at byte 1080, check: wipefs)" in message
    assert "/dev/sda" not in message


def test_the_refusal_has_the_hint_of_each_foreign_disk() -> None:
    with pytest.raises(NotEmptyError) as caught:
        decided([A, B, C], [foreign(A), blank(B), foreign(C)])
    assert "2 of 3" in caught.value.message
    assert caught.value.hint == "erase /dev/sda; erase /dev/sdc"


def test_a_foreign_disk_beside_an_unfinished_one_is_refused() -> None:
    assert "/dev/sdb: " in refused([A, B], [unfinished(A), foreign(B)])


def test_a_foreign_disk_beside_finished_and_unfinished_ones_is_refused() -> None:
    verdicts = [finished(A), unfinished(B, tag=2), foreign(C)]
    assert "/dev/sdc: " in refused([A, B, C], verdicts)


def test_a_foreign_disk_beside_a_complete_system_is_left_alone() -> None:
    plan = decided([A, B], [finished(A), foreign(B)])
    assert summary(plan) == (Action.ADOPT, "single", ["sda"], ["sdb"])


def test_a_blank_disk_beside_a_complete_system_is_left_alone() -> None:
    plan = decided([A, B, C], [blank(A), finished(B), foreign(C)])
    assert summary(plan) == (Action.ADOPT, "single", ["sdb"], ["sda", "sdc"])


def test_a_topology_without_enough_disks_is_refused() -> None:
    with pytest.raises(NoDiskError):
        decided([A], [blank(A)], topology={"mode": "btrfs_raid1"})


def test_no_disk_at_all_is_refused() -> None:
    with pytest.raises(NoDiskError):
        decided([], [])


# Several problems at once.


def refusal_of(*verdicts: Verdict, **changes: Any) -> ZosstorageError:
    """The refusal of a machine with two disks of these verdicts and some observations changed."""
    seen = observations(discovery(A, B), [*verdicts], **changes)
    with pytest.raises(ZosstorageError) as caught:
        decide(seen, config(), new_uuid=uuids())
    return caught.value


def tools_without(*names: str) -> dict[str, ObservedTool]:
    """The observed tools, with some of them missing."""
    tools = observations(discovery(), []).tools
    return {name: ObservedTool(None) if name in names else tool for name, tool in tools.items()}


def places_with_used_target() -> dict[str, ObservedPlace]:
    """The observed places, with a mount at a target."""
    places = observations(discovery(), []).places
    return places | {"/var/cache/etc": place("/var/cache/etc", mounted="tmpfs")}


NO_BTRFS = ObservedKernel(frozenset(["ext4"]), {"btrfs": "modprobe was not found"})
COPY = {"/dev/sdz1": data_content()}


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"tools": tools_without("mkfs.btrfs")}, ToolError, "the tool mkfs.btrfs was not found"),
        ({"kernel": NO_BTRFS}, ToolError, "this kernel has no btrfs"),
        ({"places": places_with_used_target()}, ConfigError, "/var/cache/etc is in use: tmpfs is mounted there"),
        ({"contents": COPY}, NotEmptyError, "/dev/sdz1 carries a copy of the filesystem"),
    ],
    ids=["tools", "kernel", "places", "contents"],
)
def test_one_problem_refuses_the_whole_plan(changes: Any, kind: type[ZosstorageError], message: str) -> None:
    error = refusal_of(finished(A), foreign(B), **changes)
    assert type(error) is kind
    assert error.message.startswith(message)
    assert error.hint


def test_all_problems_are_reported_and_the_gravest_gives_the_exit_code() -> None:
    problems: dict[str, Any] = {
        "tools": tools_without("mkfs.btrfs", "umount"),
        "kernel": NO_BTRFS,
        "places": places_with_used_target(),
    }
    error = refusal_of(finished(A), foreign(B), contents=COPY, **problems)
    assert type(error) is NotEmptyError
    starts = ("/dev/sdz1 carries a copy", "the tool umount", "the tool mkfs.btrfs", "this kernel", "/var/cache/etc is")
    messages = error.message.split("; ")
    assert [message.startswith(start) for message, start in zip(messages, starts, strict=True)] == [True] * 5
    assert type(refusal_of(finished(A), foreign(B), **problems)) is ToolError
    assert type(refusal_of(finished(A), foreign(B), places=places_with_used_target())) is ConfigError


def test_a_refusal_of_disks_names_missing_tools_too() -> None:
    error = refusal_of(blank(A), foreign(B), tools=tools_without("sfdisk"), places=places_with_used_target())
    assert type(error) is NotEmptyError
    assert error.message.endswith("; the tool sfdisk was not found")
    assert error.hint.startswith("erase /dev/sdb; install ")
    assert "/var/cache/etc" not in error.message


# What the plan depends on.


@pytest.mark.parametrize(
    "sections",
    [
        {"report": {"path": "/elsewhere/state.json"}},
        {"run_dir": "/elsewhere"},
        {"tools": {"timeout": 1}},
        {"logging": {"level": "debug", "format": "text", "file": "/elsewhere/log"}},
    ],
    ids=str,
)
def test_run_options_do_not_change_the_plan(sections: dict[str, Any]) -> None:
    assert created("dual_independent", **sections) == created("dual_independent")


def test_the_same_observations_and_uuids_give_the_same_plan() -> None:
    assert created("bcachefs_2copy") == created("bcachefs_2copy")
    assert decided([A, B], [finished(A), foreign(B)]) == decided([A, B], [finished(A), foreign(B)])


def test_the_uuids_of_a_plan_are_random_by_default() -> None:
    seen = observations(discovery(A), [blank(A)])
    assert decide(seen, config()).data[0].uuid != decide(seen, config()).data[0].uuid


# No input and output.


@contextmanager
def io_forbidden() -> Iterator[None]:
    """In the block, every attempt to access a file, start a command or open a socket fails the test."""
    forbidden: dict[Any, tuple[str, ...]] = {
        builtins: ("open",),
        io: ("open",),
        os: ("open", "stat", "lstat", "listdir", "scandir", "readlink", "access", "mkdir", "fork", "posix_spawn"),
        subprocess: ("Popen",),
        socket: ("socket",),
        run: ("start", "commands", "command"),
    }

    def failing(name: str) -> Callable[..., NoReturn]:
        def fail(*args: object, **_: object) -> NoReturn:
            raise AssertionError(f"{name} was called: {args}")

        return fail

    with pytest.MonkeyPatch.context() as patch:
        for module, names in forbidden.items():
            for name in names:
                patch.setattr(module, name, failing(f"{module.__name__}.{name}"))
        yield


@pytest.mark.parametrize(
    "touch", [Path("/").exists, Path("/etc/hostname").read_text, lambda: subprocess.run(["true"], check=False)]
)
def test_forbidden_access_fails(touch: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match="was called"), io_forbidden():
        touch()


def plans() -> Iterator[tuple[Observations, Config]]:
    """Observations and a configuration for each topology, for a finished and for an unfinished system."""
    for mode, kinds in TYPICAL.items():
        found = disks(*kinds)
        settings = config(topology={"mode": mode}, fstab={"enabled": True})
        yield observations(discovery(*found), [blank(one) for one in found], settings), settings
    for verdicts in ([finished(A), foreign(B)], [unfinished(A), blank(B)]):
        yield observations(discovery(A, B), verdicts), config()


def test_deciding_on_a_plan_does_no_io() -> None:
    pairs = list(plans())
    with io_forbidden():
        made = [commands(decide(seen, settings, new_uuid=uuids())) for seen, settings in pairs]
    assert all(made)


def test_refusing_does_no_io() -> None:
    problems: dict[str, Any] = {
        "tools": tools_without("mount"),
        "kernel": NO_BTRFS,
        "places": places_with_used_target(),
        "contents": COPY,
    }
    one_file = tuple(observed(one, backing_file="/a.img") for one in (A, B))
    pairs = [
        (observations(discovery(A, B), [blank(A), foreign(B)]), config()),
        (observations(discovery(A), [blank(A)]), config(topology={"mode": "btrfs_raid1"})),
        (observations(discovery(A, B), [finished(A), blank(B)], **problems), config()),
        (evolve(observations(discovery(A, B), [blank(A), blank(B)]), disks=one_file), config()),
    ]
    for seen, settings in pairs:
        with pytest.raises(ZosstorageError), io_forbidden():
            decide(seen, settings, new_uuid=uuids())
