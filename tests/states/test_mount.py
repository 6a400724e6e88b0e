from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from attrs import evolve
from fakes import FakeTools
from support import decide, disk, facts, finished, unfinished

from states.mount import Mount
from zosstorage.block import claim, tables
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.facts import Facts
from zosstorage.filesystems import btrfs
from zosstorage.model import Disk
from zosstorage.system import ioctl
from zosstorage.system.ioctl import Ioctl
from zosstorage.work import formatting, mounting, partitioning, subvolumes
from zosstorage.work.mounting import Wanted

NAMES = ["system", "etc", "modules", "vm-meta"]


class Machine:
    """What is mounted, which subvolumes exist, which disks have in-progress flags; and what was done."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.errors: dict[str, list[BaseException]] = {}
        self.mounted: dict[str, Wanted] = {}
        self.wrong: dict[str, str] = {}
        self.subvolumes: dict[str, list[str]] = {}
        self.created: list[str] = []
        self.marked: set[str] = set()

    def step(self, name: str) -> None:
        self.steps.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)

    def did(self, *starts: str) -> list[str]:
        return [step for step in self.steps if step.startswith(starts)]


def short(wanted: Wanted) -> str:
    return wanted.planned.subvolume or f"top {wanted.nodes[0]}"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, fake_tools: FakeTools) -> Machine:
    """A machine with fake mounts, subvolumes and disks, on which no real tool can run."""
    found = Machine()
    fake_mounts(found, monkeypatch)
    fake_subvolumes(found, monkeypatch)
    fake_disks(found, monkeypatch)
    return found


def fake_mounts(found: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def mount(wanted: Sequence[Wanted], made: list[Wanted]) -> None:
        for one in wanted:
            found.step(f"mount {short(one)}")
            found.mounted[one.target] = one
            made.append(one)

    def unmount(made: Sequence[Wanted]) -> None:
        for wanted in reversed(made):
            found.step(f"umount {short(wanted)}")
            found.mounted.pop(wanted.target)

    def mismatch(wanted: Wanted) -> str:
        return found.wrong.get(wanted.target, "" if found.mounted.get(wanted.target) == wanted else "nothing")

    monkeypatch.setattr(mounting, "mount", mount)
    monkeypatch.setattr(mounting, "unmount", unmount)
    monkeypatch.setattr(mounting, "mounted_at", found.mounted.get)
    monkeypatch.setattr(mounting, "mismatch", mismatch)
    monkeypatch.setattr(mounting, "scan", lambda _: found.step("scan"))
    monkeypatch.setattr(mounting, "check_profile", lambda top: found.step(f"profile {top.nodes[0]}"))


def fake_subvolumes(found: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def have(top: Wanted, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in found.subvolumes.get(top.filesystem.uuid, ())]

    def call(folder: str, calls: Iterable[Ioctl]) -> None:
        for one in calls:
            if one == btrfs.SYNC:
                found.step(f"sync {Path(folder).name[:8]}")
            else:
                found.created.append(f"{folder}/{one.argument[8:].rstrip(bytes(1)).decode()}")

    monkeypatch.setattr(subvolumes, "present", have)
    monkeypatch.setattr(subvolumes, "_set_mode", lambda _: None)
    monkeypatch.setattr(ioctl, "call", call)


def fake_disks(found: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def locked(of: Disk, *, exclusive: bool) -> Iterator[None]:
        assert not exclusive
        found.step(f"lock {of.name}")
        yield
        found.step(f"unlock {of.name}")

    def clear(job: tuple[Disk, object]) -> None:
        found.step(f"clear {job[0].name}")
        found.marked.discard(job[0].name)

    monkeypatch.setattr(claim, "locked", locked)
    monkeypatch.setattr(formatting, "read_back", lambda _: found.step("read back"))
    monkeypatch.setattr(formatting, "check_unused", lambda wanted, _: found.step("check unused") if wanted else None)
    monkeypatch.setattr(subvolumes, "check_empty", lambda top, _: found.step(f"empty {top.nodes[0]}"))
    monkeypatch.setattr(claim, "check", lambda of: found.step(f"identity {of.name}"))
    monkeypatch.setattr(tables, "read", lambda disks: [SimpleNamespace(planned=one) for one in disks])
    monkeypatch.setattr(tables, "finished", lambda disks: [one for one in disks if one.disk.name not in found.marked])
    monkeypatch.setattr(partitioning, "_clearing_writes", lambda _: [])
    monkeypatch.setattr(partitioning, "_write_in_order", clear)


def start(
    found: Machine, *, mode: str = "dual_independent", disks: tuple[Disk, ...] | None = None, make: bool = True
) -> Facts:
    """Facts up to Format, of new or finished disks."""
    known = facts(mode=mode, disks=disks, make=make) if disks else facts(mode=mode, make=make)
    if make:
        found.marked = {planned.disk.name for planned in known.plan.disks}
    return Facts(known.discover, known.validate, known.partition, known.format)


@pytest.fixture
def creating(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which subvolumes exist once they were made."""
    real = subvolumes.present

    def have(top: Wanted, names: Sequence[str]) -> list[str]:
        made = {Path(path).name for path in machine.created if Path(path).parent == Path(top.target)}
        return [name for name in names if name in made or name in real(top, [name])]

    monkeypatch.setattr(subvolumes, "present", have)
    monkeypatch.setattr(subvolumes, "_set_mode", lambda _: None)
    return machine


def test_flags_are_cleared_after_mounts_subvolumes_and_syncs(creating: Machine) -> None:
    """No flag is cleared before everything is mounted, made and synced."""
    known = start(creating)
    first, second = (one.uuid[:8] for one in known.plan.data)
    done = Mount().work(known)
    syncs = creating.steps.index("empty /dev/sdb2") + 1
    creating.steps[syncs : syncs + 2] = sorted(creating.steps[syncs : syncs + 2])  # they run in parallel
    assert creating.steps == [
        *("lock sda", "lock sdb", "read back", "check unused", "scan"),
        *("mount top /dev/sda2", "mount top /dev/sdb2"),
        *("profile /dev/sda2", "empty /dev/sda2", "profile /dev/sdb2", "empty /dev/sdb2"),
        *sorted((f"sync {first}", f"sync {second}")),
        *("identity sda", "clear sda", "identity sdb", "clear sdb"),
        *("unlock sdb", "unlock sda"),
        *(f"mount {name}" for name in NAMES),
    ]
    assert [Path(path).name for path in sorted(creating.created)] == sorted(NAMES)
    assert {Path(path).parent.name for path in creating.created} == {known.plan.data[0].uuid}
    assert creating.marked == set()
    assert [one.target for one in done.mounted.mounts][2:] == [f"/var/cache/{name}" for name in NAMES]
    assert done.mounted.primary == known.plan.primary == known.plan.data[0].uuid
    assert Mount().holds(done)


def test_the_flags_of_all_members_of_the_primary_are_cleared_in_parallel(creating: Machine) -> None:
    known = start(creating, mode="btrfs_raid1", disks=(disk("sda"), disk("sdb")))
    Mount().work(known)
    *checks, first, second = creating.did("identity", "clear")
    assert checks == ["identity sda", "identity sdb"]
    assert {first, second} == {"clear sda", "clear sdb"}  # in parallel


def test_subvolumes_of_an_earlier_run_are_not_made_again(creating: Machine) -> None:
    known = start(creating)
    creating.subvolumes[known.plan.data[0].uuid] = ["system", "modules"]
    Mount().work(known)
    assert sorted(Path(path).name for path in creating.created) == ["etc", "vm-meta"]


def test_reports_subvolumes_that_are_still_missing(machine: Machine) -> None:
    known = start(machine)
    with pytest.raises(ToolError, match="are missing after they were made"):
        Mount().work(known)
    assert machine.did("clear", "sync") == []
    assert machine.mounted == {}


def test_existing_mounts_are_not_made_again(creating: Machine) -> None:
    known = start(creating)
    for top in mounting.tops(known):
        creating.mounted[top.target] = top
    Mount().work(known)
    assert creating.did("mount top") == []


def test_refuses_a_mount_point_that_is_taken(creating: Machine) -> None:
    known = start(creating)
    top = mounting.tops(known)[1]
    creating.mounted[top.target] = top
    creating.wrong[top.target] = "tmpfs is mounted there"
    with pytest.raises(ToolError, match="is taken: tmpfs is mounted there"):
        Mount().work(known)
    assert creating.did("clear") == []
    assert set(creating.mounted) == {top.target}


@pytest.mark.parametrize(
    "name",
    ["lock sdb", "read back", "mount top /dev/sdb2", "profile /dev/sda2", "identity sdb", "clear sda", "mount modules"],
)
def test_mounts_of_this_run_are_undone_when_it_fails(creating: Machine, name: str) -> None:
    known = start(creating)
    creating.errors[name] = [NotEmptyError("no")] * 2
    with pytest.raises(NotEmptyError):
        Mount().work(known)
    assert creating.mounted == {}
    mounts = [step.removeprefix("mount ") for step in creating.did("mount ") if step != name]
    assert [step.removeprefix("umount ") for step in creating.did("umount")] == mounts[::-1]


def test_an_interruption_undoes_the_mounts_too(creating: Machine) -> None:
    known = start(creating)
    creating.errors["mount etc"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        Mount().work(known)
    assert creating.mounted == {}


def test_a_failed_sync_clears_no_flag(creating: Machine) -> None:
    known = start(creating)
    creating.errors[f"sync {known.plan.data[1].uuid[:8]}"] = [OSError(5, "Input/output error")]
    with pytest.raises(OSError, match="Input/output error"):
        Mount().work(known)
    assert creating.did("clear") == []
    assert creating.marked == {"sda", "sdb"}


# Retries.


def test_retries_the_mount_of_a_new_filesystem(creating: Machine) -> None:
    known = start(creating)
    creating.errors["mount top /dev/sda2"] = [ToolError("no luck", argv=("mount",))]
    Mount().work(known)
    assert creating.did("mount top") == ["mount top /dev/sda2", "mount top /dev/sda2", "mount top /dev/sdb2"]


def test_does_not_retry_to_clear_flags(creating: Machine) -> None:
    """A retry would not help: the sector cannot be written."""
    known = start(creating)
    creating.errors["clear sda"] = [ToolError("no luck")]
    with pytest.raises(ToolError, match="no luck"):
        Mount().work(known)
    assert creating.did("clear") == ["clear sda"]
    assert creating.mounted == {}


def test_reports_flags_that_are_still_set(creating: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    known = start(creating)
    monkeypatch.setattr(partitioning, "_write_in_order", lambda _: None)
    with pytest.raises(ToolError, match="the in-progress flags of /dev/sda are still set"):
        Mount().work(known)


# Finished disks.


def test_a_finished_system_is_only_mounted(machine: Machine, fake_tools: FakeTools) -> None:
    known = start(machine, mode="single", disks=(disk("sda"),), make=False)
    machine.subvolumes[known.plan.data[0].uuid] = NAMES
    done = Mount().work(known)
    assert machine.did("clear", "sync", "identity", "lock") == []
    assert fake_tools.calls == []
    assert len(done.mounted.mounts) == 5


def test_the_mount_of_a_finished_filesystem_is_not_retried(machine: Machine) -> None:
    known = start(machine, mode="single", disks=(disk("sda"),), make=False)
    machine.errors["mount top /dev/sda2"] = [ToolError("no luck", argv=("mount",))]
    with pytest.raises(ToolError):
        Mount().work(known)
    assert len(machine.did("mount top")) == 1


def two_finished(machine: Machine) -> Facts:
    """Facts of two finished filesystems, of which the plan names no primary."""
    known = start(machine, make=False)
    assert known.plan.primary is None
    return known


@pytest.mark.parametrize("number", [0, 1])
def test_the_primary_is_the_finished_filesystem_with_the_subvolumes(machine: Machine, number: int) -> None:
    known = two_finished(machine)
    primary = known.plan.data[number]
    machine.subvolumes[primary.uuid] = NAMES
    done = Mount().work(known)
    assert done.mounted.primary == primary.uuid
    assert {mount.source for mount in done.mounted.mounts[2:]} == {f"UUID={primary.uuid}"}
    assert machine.created == []
    assert machine.did("clear", "sync", "identity", "lock") == []
    assert Mount().holds(done)
    other = evolve(done.mounted, primary=known.plan.data[1 - number].uuid)
    assert not Mount().holds(evolve(done, mount=other))


def resumed(machine: Machine, *, primary: int) -> Facts:
    """Facts of a finished filesystem and one that must still be made."""
    one, other = disk("sda"), disk("sdb")
    verdicts = [finished(one), unfinished(other, tag=2)] if primary == 0 else [unfinished(one), finished(other, tag=2)]
    known = start(machine)
    plan = decide(known.discovery, verdicts)
    uuids = iter(part.uuid for planned in plan.disks for part in planned.partitions)
    known = evolve(
        known,
        validate=evolve(known.validated, plan=plan),
        partition=tuple(evolve(part, uuid=next(uuids)) for part in known.partitions),
    )
    machine.marked = {plan.disks[1 - primary].disk.name}
    assert plan.primary == plan.data[primary].uuid
    return known


@pytest.mark.parametrize("number", [0, 1])
def test_a_new_filesystem_beside_a_finished_primary_gets_no_subvolumes(creating: Machine, number: int) -> None:
    known = resumed(creating, primary=number)
    assert known.plan.primary
    creating.subvolumes[known.plan.primary] = NAMES
    done = Mount().work(known)
    new = known.plan.data[1 - number]
    assert done.mounted.primary == known.plan.primary
    assert creating.created == []
    assert creating.did("sync") == [f"sync {new.uuid[:8]}"]
    assert creating.did("clear") == [f"clear {'sdb' if number == 0 else 'sda'}"]


def test_a_finished_primary_without_its_subvolumes_is_not_repaired(creating: Machine) -> None:
    known = resumed(creating, primary=0)
    assert known.plan.primary
    creating.subvolumes[known.plan.primary] = NAMES[:3]
    with pytest.raises(NotEmptyError, match="exactly one filesystem must have the subvolumes"):
        Mount().work(known)
    assert creating.created == creating.did("clear") == []


def test_a_primary_that_was_finished_in_this_boot_is_kept(creating: Machine) -> None:
    """The run was stopped after it cleared the flags of the primary."""
    known = start(creating)
    creating.marked = {"sdb"}
    creating.subvolumes[known.plan.data[0].uuid] = NAMES
    done = Mount().work(known)
    assert done.mounted.primary == known.plan.data[0].uuid
    assert creating.created == []
    assert creating.did("clear") == ["clear sdb"]


@pytest.mark.parametrize("have", [([], []), (NAMES, NAMES), (NAMES[:3], []), (NAMES[:3], NAMES[1:])], ids=str)
def test_refuses_none_or_several_filesystems_with_the_subvolumes(
    machine: Machine, have: tuple[list[str], list[str]]
) -> None:
    known = two_finished(machine)
    machine.subvolumes = {one.uuid: names for one, names in zip(known.plan.data, have, strict=True)}
    with pytest.raises(NotEmptyError, match="exactly one filesystem must have the subvolumes"):
        Mount().work(known)
    assert machine.mounted == {}
    assert machine.did("clear") == []


# Whether it holds.


def test_holds_while_all_is_mounted_and_no_flag_is_set(creating: Machine) -> None:
    done = Mount().work(start(creating))
    state = Mount()
    assert state.holds(done)
    creating.marked = {"sdb"}
    assert not state.holds(done)
    creating.marked = set()
    creating.wrong[done.mounted.mounts[-1].target] = "nothing is mounted there"
    assert not state.holds(done)


def test_does_not_hold_if_a_disk_carries_another_table(creating: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    done = Mount().work(start(creating))

    def other(*_: object) -> None:
        raise NotEmptyError("another table")

    monkeypatch.setattr(tables, "finished", other)
    assert not Mount().holds(done)
