from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import evolve
from support import config, disk, facts

from states.mount import Mount
from zosstorage.block import claim, tables
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.filesystems import btrfs
from zosstorage.model import Facts
from zosstorage.work import formatting, mounting

NAMES = ["system", "etc", "modules", "vm-meta"]


class Machine:
    """What is mounted, which subvolumes each filesystem has, which tables still carry marks; and what was done."""

    def __init__(self):
        self.steps, self.errors = [], {}
        self.mounted, self.wrong = {}, {}
        self.subvolumes, self.created, self.marked = {}, [], set()

    def step(self, name):
        self.steps.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)

    def did(self, *starts):
        return [step for step in self.steps if step.startswith(starts)]


def short(wanted):
    return wanted.subvolume or f"top {wanted.nodes[0]}"


@pytest.fixture
def machine(monkeypatch, fake_tools):
    found = Machine()

    def mount(wanted, made):
        for one in wanted:
            found.step(f"mount {short(one)}")
            found.mounted[one.target] = one
            made.append(one)

    def unmount(made):
        for wanted in reversed(made):
            found.step(f"umount {short(wanted)}")
            found.mounted.pop(wanted.target)

    def have(top, _fstype, names):
        return [name for name in names if name in found.subvolumes.get(Path(top).name, ())]

    def clear_marks(disks, _):
        if disks:
            found.step(f"clear {' '.join(planned.disk.name for planned in disks)}")
        found.marked -= {planned.disk.name for planned in disks}

    def create(top, names):
        found.created += [f"{top}/{name}" for name in names]

    monkeypatch.setattr(mounting, "mount", mount)
    monkeypatch.setattr(mounting, "unmount", unmount)
    monkeypatch.setattr(mounting, "occupied", found.mounted.get)
    monkeypatch.setattr(
        mounting, "mismatch", lambda one: found.wrong.get(one.target, "" if one.target in found.mounted else "nothing")
    )
    monkeypatch.setattr(mounting, "scan", lambda _: found.step("scan"))
    monkeypatch.setattr(mounting, "check_profile", lambda top, _: found.step(f"profile {top.nodes[0]}"))
    monkeypatch.setattr(mounting, "subvolumes", have)
    monkeypatch.setattr(btrfs, "sync", lambda target: found.step(f"sync {Path(target).name[:8]}"))

    @contextmanager
    def locked(of, *, exclusive):
        assert not exclusive
        found.step(f"lock {of.name}")
        yield
        found.step(f"unlock {of.name}")

    monkeypatch.setattr(claim, "locked", locked)
    monkeypatch.setattr(formatting, "read_back", lambda _: found.step("read back"))
    monkeypatch.setattr(claim, "check", lambda of: found.step(f"identity {of.name}"))
    monkeypatch.setattr(tables, "clear_marks", clear_marks)
    monkeypatch.setattr(
        tables, "finished", lambda disks, _: [one for one in disks if one.disk.name not in found.marked]
    )
    monkeypatch.setattr(btrfs, "create_subvolumes", create)
    found.fake_tools = fake_tools
    return found


def start(found, *, mode="dual_independent", disks=None, make=True):
    """Facts up to Format over new (or finished) disks."""
    known = facts(mode=mode, disks=disks, make=make) if disks else facts(mode=mode, make=make)
    if make:
        found.marked = {planned.disk.name for planned in known.plan.disks}
    return Facts(known.discover, known.validate, known.partition, known.format)


def data(known):
    return [one for one in known.plan.filesystems if one.is_data]


@pytest.fixture
def creating(machine, monkeypatch):
    """Subvolumes are there once they were made."""
    real = mounting.subvolumes

    def have(top, fstype, names):
        made = {Path(path).name for path in machine.created if Path(path).parent == Path(top)}
        return [name for name in names if name in made or name in real(top, fstype, [name])]

    monkeypatch.setattr(mounting, "subvolumes", have)
    return machine


def test_the_order_of_things_on_new_disks(creating):
    """No mark is cleared before all was mounted, the subvolumes made, and everything synced."""
    known = start(creating)
    first, second = (one.uuid[:8] for one in data(known))
    done = Mount(config()).work(known)
    syncs = creating.steps.index("profile /dev/sdb2") + 1
    creating.steps[syncs : syncs + 2] = sorted(creating.steps[syncs : syncs + 2])  # they run side by side
    assert creating.steps == [
        "lock sda",
        "lock sdb",
        "read back",
        "scan",
        "mount top /dev/sda2",
        "mount top /dev/sdb2",
        "profile /dev/sda2",
        "profile /dev/sdb2",
        *sorted((f"sync {first}", f"sync {second}")),
        "identity sda",
        "clear sda",
        "identity sdb",
        "clear sdb",
        "unlock sdb",
        "unlock sda",
        *(f"mount {name}" for name in NAMES),
    ]
    assert [Path(path).name for path in sorted(creating.created)] == sorted(NAMES)
    assert {Path(path).parent.name for path in creating.created} == {data(known)[0].uuid}
    assert creating.marked == set()
    assert [one.target for one in done.mounts][2:] == [f"/var/cache/{name}" for name in NAMES]
    assert Mount(config()).holds(done)


def test_all_members_of_the_primary_are_cleared_at_once(creating):
    known = start(creating, mode="btrfs_raid1", disks=(disk("sda"), disk("sdb")))
    Mount(config()).work(known)
    assert creating.did("clear") == ["clear sda sdb"]


def test_subvolumes_that_an_earlier_run_made_are_not_made_again(creating):
    known = start(creating)
    creating.subvolumes[data(known)[0].uuid] = ["system", "modules"]
    Mount(config()).work(known)
    assert sorted(Path(path).name for path in creating.created) == ["etc", "vm-meta"]


def test_subvolumes_that_are_not_there_after_they_were_made(machine):
    known = start(machine)
    with pytest.raises(ToolError, match="are not there after they were made"):
        Mount(config()).work(known)
    assert machine.did("clear", "sync") == []
    assert machine.mounted == {}


def test_what_is_mounted_already_is_left(creating):
    known = start(creating)
    for top in mounting.tops(known, config()):
        creating.mounted[top.target] = top
    Mount(config()).work(known)
    assert creating.did("mount top") == []


def test_a_taken_place(creating):
    known = start(creating)
    top = mounting.tops(known, config())[1]
    creating.mounted[top.target] = top
    creating.wrong[top.target] = "tmpfs is mounted there"
    with pytest.raises(ToolError, match="is taken: tmpfs is mounted there"):
        Mount(config()).work(known)
    assert creating.did("clear") == []
    assert set(creating.mounted) == {top.target}


@pytest.mark.parametrize(
    "name",
    ["lock sdb", "read back", "mount top /dev/sdb2", "profile /dev/sda2", "identity sdb", "clear sda", "mount modules"],
)
def test_what_was_mounted_is_undone_when_it_fails(creating, name):
    known = start(creating)
    creating.errors[name] = [NotEmptyError("no")] * 2
    with pytest.raises(NotEmptyError):
        Mount(config()).work(known)
    assert creating.mounted == {}
    mounts = [step.removeprefix("mount ") for step in creating.did("mount ") if step != name]
    assert [step.removeprefix("umount ") for step in creating.did("umount")] == mounts[::-1]


def test_an_interruption_undoes_the_mounts_too(creating):
    known = start(creating)
    creating.errors["mount etc"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        Mount(config()).work(known)
    assert creating.mounted == {}


def test_a_sync_that_fails_clears_no_mark(creating):
    known = start(creating)
    creating.errors[f"sync {data(known)[1].uuid[:8]}"] = [OSError(5, "Input/output error")]
    with pytest.raises(OSError, match="Input/output error"):
        Mount(config()).work(known)
    assert creating.did("clear") == []
    assert creating.marked == {"sda", "sdb"}


# Second attempts.


def trouble(argv=("mount",)):
    return ToolError("no luck", argv=argv)


def test_a_new_filesystem_gets_a_second_attempt(creating):
    known = start(creating)
    creating.errors["mount top /dev/sda2"] = [trouble()]
    Mount(config()).work(known)
    assert creating.did("mount top") == ["mount top /dev/sda2", "mount top /dev/sda2", "mount top /dev/sdb2"]


def test_marks_that_cannot_be_cleared(creating):
    """A sector that cannot be written is no tool that may be luckier the second time."""
    known = start(creating)
    creating.errors["clear sda"] = [trouble(())]
    with pytest.raises(ToolError, match="no luck"):
        Mount(config()).work(known)
    assert creating.did("clear") == ["clear sda"]
    assert creating.mounted == {}


def test_marks_that_are_still_there(creating, monkeypatch):
    known = start(creating)
    monkeypatch.setattr(tables, "clear_marks", lambda *_: None)
    with pytest.raises(ToolError, match="the marks of /dev/sda are still there"):
        Mount(config()).work(known)


# Finished disks.


def test_a_finished_system_is_mounted_and_nothing_else(machine):
    known = start(machine, mode="single", disks=(disk("sda"),), make=False)
    machine.subvolumes[data(known)[0].uuid] = NAMES
    done = Mount(config()).work(known)
    assert machine.did("clear", "sync", "identity", "lock") == []
    assert machine.fake_tools.calls == []
    assert len(done.mounts) == 5


def test_a_finished_one_gets_no_second_attempt(machine):
    known = start(machine, mode="single", disks=(disk("sda"),), make=False)
    machine.errors["mount top /dev/sda2"] = [trouble()]
    with pytest.raises(ToolError):
        Mount(config()).work(known)
    assert len(machine.did("mount top")) == 1


def two_finished(machine):
    """Two finished filesystems, of which the plan calls the first the primary."""
    known = start(machine)
    machine.marked = set()
    kept = tuple(evolve(one, make=False) for one in known.plan.filesystems)
    disks = tuple(evolve(one, write_table=False, clear_marks=False) for one in known.plan.disks)
    return evolve(known, validate=evolve(known.plan, filesystems=kept, disks=disks))


@pytest.mark.parametrize("number", [0, 1])
def test_the_one_with_the_subvolumes_is_the_primary(machine, number):
    known = two_finished(machine)
    primary = data(known)[number]
    machine.subvolumes[primary.uuid] = NAMES
    done = Mount(config()).work(known)
    assert {mount.source for mount in done.mounts[2:]} == {f"UUID={primary.uuid}"}
    assert Mount(config()).holds(done)


@pytest.mark.parametrize("have", [([], []), (NAMES, NAMES), (NAMES[:3], []), (NAMES[:3], NAMES[1:])], ids=str)
def test_none_or_several_with_the_subvolumes(machine, have):
    known = two_finished(machine)
    machine.subvolumes = {one.uuid: names for one, names in zip(data(known), have, strict=True)}
    with pytest.raises(NotEmptyError, match="exactly one filesystem must have the subvolumes"):
        Mount(config()).work(known)
    assert machine.mounted == {}
    assert machine.did("clear") == []


# Does it still hold?


def test_holds(creating):
    done = Mount(config()).work(start(creating))
    state = Mount(config())
    assert state.holds(done)
    creating.marked = {"sdb"}
    assert not state.holds(done)
    creating.marked = set()
    creating.wrong[done.mounts[-1].target] = "nothing is mounted there"
    assert not state.holds(done)


def test_does_not_hold_where_a_disk_carries_another_table(creating, monkeypatch):
    done = Mount(config()).work(start(creating))

    def other(*_):
        raise NotEmptyError("another table")

    monkeypatch.setattr(tables, "finished", other)
    assert not Mount(config()).holds(done)
