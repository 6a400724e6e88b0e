"""Whatever the disks carry, a plan keeps what it must; hypothesis makes the machines."""

import pytest
from attrs import evolve
from hypothesis import event, given, settings
from hypothesis import strategies as st
from machines import U1, U2, U3, decided
from support import (
    ALL_KINDS,
    ESP_SIZE,
    MIB,
    blank,
    data_content,
    disk,
    esp_content,
    finished,
    foreign,
    ours,
    unfinished,
)

from zosstorage import topologies
from zosstorage.block.sysfs import partition_device
from zosstorage.errors import NoDiskError, NotEmptyError
from zosstorage.model import Firmware, Kind, PartitionKind, Role
from zosstorage.planning.commands import commands

pytestmark = pytest.mark.slow


@st.composite
def machines(draw):
    """Up to four disks with any verdicts, some of them members of shared filesystems, copies included."""
    firmware = draw(st.sampled_from(Firmware))
    disks, verdicts = [], []
    for number in range(draw(st.integers(1, 4))):
        of = disk(
            f"sd{chr(97 + number)}", rotational=draw(st.booleans()), sector_size=draw(st.sampled_from([512, 4096]))
        )
        of = evolve(of, size_bytes=draw(st.integers(2048, 9000)) * MIB + draw(st.integers(0, 255)) * 4096)
        disks.append(of)
        verdicts.append(draw(verdicts_on(of, number + 1, firmware)))
    return disks, verdicts, firmware


def verdicts_on(of, tag, firmware):
    content = st.builds(
        data_content,
        st.sampled_from([U1, U2, U3]),
        fstype=st.sampled_from(["btrfs", "btrfs", "bcachefs"]),
        member=st.sampled_from([f"m{tag}", f"m{tag}", "m"]),
        devices=st.integers(1, 3),
        replicas=st.integers(0, 3),
    )
    rest = {
        "tag": st.sampled_from([tag, tag, tag, 1]),
        "firmware": st.sampled_from([firmware, firmware, firmware, Firmware.BIOS]),
        "role": st.sampled_from([Role.DATA, Role.DATA, Role.CACHE]),
        "torn": st.sampled_from([False, False, True]),
    }
    return st.one_of(
        st.just(blank(of)),
        st.just(blank(of)),
        st.just(foreign(of)),
        st.builds(lambda data, **rest: finished(of, data=data, **rest), content, **rest),
        st.builds(lambda data, **rest: unfinished(of, data=data, **rest), st.none() | content, **rest),
        st.builds(
            lambda data, marked, **rest: ours(
                of, content={PartitionKind.DATA: data, PartitionKind.ESP: esp_content(tag)}, marked=marked, **rest
            ),
            content,
            st.frozensets(st.sampled_from(sorted(ALL_KINDS))),
            **rest,
        ),
    )


modes = st.sampled_from([topologies.AUTO, *topologies.modes()])


@settings(max_examples=250, deadline=None)
@given(machine=machines(), mode=modes)
def test_whatever_the_verdicts_a_plan_keeps_its_promises(machine, mode):
    disks, verdicts, firmware = machine
    try:
        plan = decided(disks, verdicts, firmware=firmware, topology={"mode": mode})
    except (NotEmptyError, NoDiskError):
        return
    event(f"{plan.action} {plan.topology}")
    by_path = {verdict.path: verdict for verdict in verdicts}
    assert sorted([one.disk.path for one in plan.disks] + [one.path for one in plan.unused]) == sorted(by_path)
    for planned in plan.disks:
        keeps_what_is_there(planned, by_path[planned.disk.path])
        fits(planned)
    keeps_finished_filesystems(plan, verdicts)
    names_are_distinct(plan)
    commands_make_only_what_is_to_be_made(plan)
    assert plan == decided(disks, verdicts, firmware=firmware, topology={"mode": mode})


def keeps_what_is_there(planned, verdict):
    assert verdict.kind is not Kind.FOREIGN
    if planned.write_table:
        assert verdict.kind is Kind.BLANK or verdict.torn
    assert planned.blank is (verdict.kind is Kind.BLANK)
    for part in planned.partitions:
        was = verdict.seen(part.kind)
        if was is None:
            assert verdict.kind is Kind.BLANK
            continue
        assert (part.uuid, part.start_bytes, part.size_bytes) == (was.uuid, was.start_bytes, was.size_bytes)
        assert (part.name, part.type, part.number) == (was.name, was.type, was.number)
        assert was.marked or not part.make
    assert planned.clear_marks == (verdict.kind is Kind.BLANK or any(part.marked for part in verdict.partitions))


def fits(planned):
    for part in planned.partitions:
        assert part.start_bytes % MIB == part.size_bytes % MIB == 0 < part.size_bytes
        assert part.start_bytes >= MIB
        assert part.start_bytes + part.size_bytes + planned.disk.sector_size < planned.disk.size_bytes
        assert part.kind is not PartitionKind.ESP or part.size_bytes == ESP_SIZE


def keeps_finished_filesystems(plan, verdicts):
    """No partition of a filesystem that one of its members shows to be finished is ever made anew."""
    parts = [part for verdict in verdicts for part in verdict.partitions if part.kind is PartitionKind.DATA]
    done = {part.content.uuid for part in parts if part.content and not part.marked}
    kept = {part.uuid for part in parts if part.content and part.content.uuid in done}
    made = {part.uuid: part.make for one in plan.disks for part in one.partitions}
    for filesystem in plan.filesystems:
        assert {made[member] for member in filesystem.members} == {filesystem.make}
        assert not (filesystem.make and kept & set(filesystem.members))
        assert not (filesystem.make and filesystem.uuid in done)
    finished_ones = [one.uuid for one in plan.data if not one.make]
    expected = finished_ones or [plan.data[0].uuid]
    assert plan.primary == (expected[0] if len(expected) == 1 else None)


def names_are_distinct(plan):
    parts = [part.uuid for one in plan.disks for part in one.partitions]
    names = [one.guid for one in plan.disks] + parts + [one.uuid for one in plan.filesystems]
    esps = [one.uuid for one in plan.filesystems if one.top is None and not one.make]
    assert len(set(names)) == len(names) - (len(esps) - len(set(esps)))


def commands_make_only_what_is_to_be_made(plan):
    found = commands(plan)
    tables = [one.argv[-1] for one in found if one.stdin]
    assert tables == [one.disk.path for one in plan.disks if one.write_table]
    made = [one for one in found if one.state == "format"]
    assert len(made) == sum(filesystem.make for filesystem in plan.filesystems)
    nodes = {partition_device(one.disk, part.number): part.make for one in plan.disks for part in one.partitions}
    assert all(nodes[word] for one in made for word in one.argv if word in nodes)
