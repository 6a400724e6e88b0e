"""Properties of every plan, for machines that hypothesis makes."""

from collections.abc import Sequence

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
from zosstorage.model import Disk, Firmware, Kind, PartitionKind, Role, Verdict
from zosstorage.planned import Plan, PlannedDisk
from zosstorage.planning.commands import commands

pytestmark = pytest.mark.slow
# The disks, the verdict on each, and how the machine boots.
Machine = tuple[list[Disk], list[Verdict], Firmware]


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Up to four disks with any verdicts; some are members of one filesystem, some are copies."""
    firmware = draw(st.sampled_from(Firmware))
    disks: list[Disk] = []
    verdicts: list[Verdict] = []
    for number in range(draw(st.integers(1, 4))):
        of = disk(
            f"sd{chr(97 + number)}", rotational=draw(st.booleans()), sector_size=draw(st.sampled_from([512, 4096]))
        )
        of = evolve(of, size_bytes=draw(st.integers(2048, 9000)) * MIB + draw(st.integers(0, 255)) * 4096)
        disks.append(of)
        verdicts.append(draw(verdicts_on(of, number + 1, firmware)))
    return disks, verdicts, firmware


def verdicts_on(of: Disk, tag: int, firmware: Firmware) -> st.SearchStrategy[Verdict]:
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
def test_every_plan_has_the_properties(machine: Machine, mode: str) -> None:
    disks, verdicts, firmware = machine
    try:
        plan = decided(disks, verdicts, firmware=firmware, topology={"mode": mode})
    except (NotEmptyError, NoDiskError):
        return
    event(f"{plan.action} {plan.topology}")
    by_path = {verdict.path: verdict for verdict in verdicts}
    assert sorted([one.disk.path for one in plan.disks] + [one.path for one in plan.unused]) == sorted(by_path)
    for planned in plan.disks:
        check_partitions_are_kept(planned, by_path[planned.disk.path])
        check_partitions_fit(planned)
    check_finished_filesystems_are_kept(plan, verdicts)
    check_names_are_distinct(plan)
    check_commands_follow_the_plan(plan)
    assert plan == decided(disks, verdicts, firmware=firmware, topology={"mode": mode})


def check_partitions_are_kept(planned: PlannedDisk, verdict: Verdict) -> None:
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


def check_partitions_fit(planned: PlannedDisk) -> None:
    for part in planned.partitions:
        assert part.start_bytes % MIB == part.size_bytes % MIB == 0 < part.size_bytes
        assert part.start_bytes >= MIB
        assert part.start_bytes + part.size_bytes + planned.disk.sector_size < planned.disk.size_bytes
        assert part.kind is not PartitionKind.ESP or part.size_bytes == ESP_SIZE


def check_finished_filesystems_are_kept(plan: Plan, verdicts: Sequence[Verdict]) -> None:
    """No partition of a filesystem with a finished member is made again."""
    parts = [part for verdict in verdicts for part in verdict.partitions if part.kind is PartitionKind.DATA]
    done = {part.content.uuid for part in parts if part.content and not part.marked}
    kept = {part.uuid for part in parts if part.content and part.content.uuid in done}
    made = {part.uuid: part.make for one in plan.disks for part in one.partitions}
    for filesystem in plan.filesystems:
        assert {made[member] for member in filesystem.members} == {filesystem.make}
        assert not (filesystem.make and kept & set(filesystem.members))
        assert not (filesystem.make and filesystem.uuid in done)
    finished_uuids = [one.uuid for one in plan.data if not one.make]
    expected = finished_uuids or [plan.data[0].uuid]
    assert plan.primary == (expected[0] if len(expected) == 1 else None)


def check_names_are_distinct(plan: Plan) -> None:
    parts = [part.uuid for one in plan.disks for part in one.partitions]
    names = [one.guid for one in plan.disks] + parts + [one.uuid for one in plan.filesystems]
    esps = [one.uuid for one in plan.filesystems if one.top is None and not one.make]
    assert len(set(names)) == len(names) - (len(esps) - len(set(esps)))


def check_commands_follow_the_plan(plan: Plan) -> None:
    found = commands(plan)
    tables = [one.argv[-1] for one in found if one.stdin]
    assert tables == [one.disk.path for one in plan.disks if one.write_table]
    made = [one for one in found if one.state == "format"]
    assert len(made) == sum(filesystem.make for filesystem in plan.filesystems)
    nodes = {partition_device(one.disk, part.number): part.make for one in plan.disks for part in one.partitions}
    assert all(nodes[word] for one in made for word in one.argv if word in nodes)
