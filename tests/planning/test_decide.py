import pytest
from attrs import evolve
from hypothesis import event, given, settings
from hypothesis import strategies as st
from support import (
    ALL_KINDS,
    ESP_SIZE,
    GIB,
    MIB,
    blank,
    config,
    data_content,
    discovery,
    disk,
    esp_content,
    finished,
    foreign,
    ours,
    unfinished,
    uuids,
)

from zosstorage.errors import ExitCode, NoDiskError, NotEmptyError
from zosstorage.model import Action, Evidence, Firmware, Kind, PartitionKind, Role
from zosstorage.planning.decide import decide, refusal, tell

A, B, C = disk("sda"), disk("sdb"), disk("sdc")
HDD_A, HDD_B, HDD_C = (evolve(one, rotational=True) for one in (A, B, C))
U1, U2, U3 = (f"{number}{number * 7:07d}-0000-4000-8000-000000000000" for number in (1, 2, 3))


def decided(disks, verdicts, *, firmware=Firmware.UEFI, **sections):
    return decide(discovery(*disks, firmware=firmware), verdicts, config(**sections), new_uuid=uuids())


def refused(disks, verdicts, **rest):
    with pytest.raises(NotEmptyError) as caught:
        decided(disks, verdicts, **rest)
    error = caught.value
    assert error.exit_code is ExitCode.NOT_EMPTY
    assert "nothing was written" in error.message
    assert error.hint
    return error.message


def summary(plan):
    return (plan.action, plan.topology, [one.disk.name for one in plan.disks], [one.name for one in plan.unused])


# Blank and foreign disks.


def test_blank_disks_are_provisioned():
    plan = decided([A, B], [blank(A), blank(B)])
    assert summary(plan) == (Action.CREATE, "dual_independent", ["sda", "sdb"], [])
    assert plan.verdicts == (blank(A), blank(B))


def test_one_foreign_disk_aborts_the_run_for_all():
    message = refused([A, B], [blank(A), foreign(B)])
    assert "1 of 2 target disks may not be written" in message
    assert "/dev/sdb: a signature of ext4 (at byte 1080, check: wipefs)" in message
    assert "/dev/sda" not in message


def test_every_foreign_disk_is_told_with_its_hint():
    with pytest.raises(NotEmptyError) as caught:
        decided([A, B, C], [foreign(A), blank(B), foreign(C)])
    assert "2 of 3" in caught.value.message
    assert caught.value.hint == "erase /dev/sda; erase /dev/sdc"


def test_a_foreign_disk_beside_an_unfinished_one():
    assert "/dev/sdb: " in refused([A, B], [unfinished(A), foreign(B)])


def test_a_foreign_disk_beside_finished_and_unfinished_ones():
    verdicts = [finished(A), unfinished(B, tag=2), foreign(C)]
    assert "/dev/sdc: " in refused([A, B, C], verdicts)


def test_a_foreign_disk_beside_a_complete_system_is_left_alone():
    plan = decided([A, B], [finished(A), foreign(B)])
    assert summary(plan) == (Action.ADOPT, "single", ["sda"], ["sdb"])


def test_a_blank_disk_beside_a_complete_system_is_left_alone():
    plan = decided([A, B, C], [blank(A), finished(B), foreign(C)])
    assert summary(plan) == (Action.ADOPT, "single", ["sdb"], ["sda", "sdc"])


def test_no_disk_for_the_topology():
    with pytest.raises(NoDiskError):
        decided([A], [blank(A)], topology={"mode": "btrfs_raid1"})


# Adopting.


def raid(of, tag, *, devices=2, uuid=U1, fstype="btrfs", marked=False, **rest):
    """A member of a filesystem of several devices; a marked one is made but its mark not cleared."""
    data = data_content(uuid, member=f"m{tag}", devices=devices, fstype=fstype, replicas=rest.pop("replicas", 0))
    make = unfinished if marked else finished
    return make(of, tag=tag, data=data, **rest)


def test_a_single():
    plan = decided([A], [finished(A)])
    assert summary(plan) == (Action.ADOPT, "single", ["sda"], [])
    assert not any(filesystem.make for filesystem in plan.filesystems)


def test_independent_disks():
    verdicts = [finished(A, data=data_content(U1)), finished(B, tag=2, data=data_content(U2))]
    assert summary(decided([A, B], verdicts))[:2] == (Action.ADOPT, "dual_independent")


def test_a_mirror():
    plan = decided([A, B], [raid(A, 1), raid(B, 2)])
    assert summary(plan)[:2] == (Action.ADOPT, "btrfs_raid1")
    assert [filesystem.uuid for filesystem in plan.filesystems if filesystem.is_data] == [U1]


def test_bcachefs_on_one_disk():
    assert decided([A], [raid(A, 1, devices=1, fstype="bcachefs")]).topology == "bcachefs_single"


def tiers(*, devices=2, replicas=0, second=Role.BACKING):
    return [
        raid(A, 1, devices=devices, fstype="bcachefs", role=Role.CACHE, replicas=replicas),
        raid(B, 2, devices=devices, fstype="bcachefs", role=second, replicas=replicas),
    ]


def test_tiers():
    plan = decided([A, B], tiers(replicas=1))
    assert plan.topology == "ssd_hdd_bcachefs"
    assert [one.role for one in plan.disks] == [Role.CACHE, Role.BACKING]


@pytest.mark.parametrize(
    ("mode", "replicas", "carried", "topology"),
    [
        ("auto", None, 2, "bcachefs_2copy"),
        ("bcachefs_2copy", None, 2, "bcachefs_2copy"),
        ("auto", 2, 2, "ssd_hdd_bcachefs"),
        ("ssd_hdd_bcachefs", 2, 2, "ssd_hdd_bcachefs"),
        ("ssd_hdd_bcachefs", 3, 3, "ssd_hdd_bcachefs"),
        ("bcachefs_2copy", 2, 2, "bcachefs_2copy"),
    ],
)
def test_two_copies_by_themselves_or_because_they_were_asked_for(mode, replicas, carried, topology):
    sections = {"topology": {"mode": mode}, "filesystems": {"bcachefs": {"replicas": replicas}}}
    assert decided([A, B], tiers(replicas=carried), **sections).topology == topology


def test_the_roles_of_finished_disks_are_those_they_carry():
    """Whatever their rotational flags or globs say now."""
    plan = decided([HDD_A, HDD_B], tiers(), topology={"cache": ["/dev/sdb"]})
    assert [one.role for one in plan.disks] == [Role.CACHE, Role.BACKING]


@pytest.mark.parametrize(
    ("mode", "verdicts"),
    [
        ("bcachefs_single", [finished(A)]),
        ("dual_independent", [finished(A)]),
        ("btrfs_raid1", [finished(A)]),
        ("single", [raid(A, 1, devices=1, fstype="bcachefs")]),
    ],
    ids=str,
)
def test_another_mode_than_the_disks_carry(mode, verdicts):
    message = refused([A], verdicts, topology={"mode": mode})
    assert f"topology.mode is {mode}" in message


def test_a_mirror_is_not_two_copies_of_bcachefs():
    assert "carry the topology btrfs_raid1" in refused(
        [A, B], [raid(A, 1), raid(B, 2)], topology={"mode": "dual_independent"}
    )


def test_finished_disks_win_over_auto():
    """`auto` would make tiers of these two classes; what is there counts."""
    verdicts = [finished(A, data=data_content(U1)), finished(HDD_B, tag=2, data=data_content(U2))]
    assert decided([A, HDD_B], verdicts).topology == "dual_independent"


# Members.


@pytest.mark.parametrize("others", [[], [blank(B)], [foreign(B)]], ids=["alone", "blank", "foreign"])
def test_a_missing_member(others):
    message = refused([A, B][: 1 + len(others)], [raid(A, 1), *others])
    assert f"{U1} says it has 2 devices, and 1 were found" in message


def test_a_member_too_many():
    assert "says it has 2 devices, and 3 were found" in refused([A, B, C], [raid(A, 1), raid(B, 2), raid(C, 3)])


def test_a_member_twice():
    """The data of one partition was copied onto another disk of ours."""
    twin = evolve(
        raid(B, 2),
        partitions=(raid(B, 2).partitions[0], evolve(raid(B, 2).partitions[1], content=raid(A, 1).data.content)),
    )
    assert "with 1 identities among them" in refused([A, B], [raid(A, 1), twin])


def test_members_that_disagree_on_their_number():
    with pytest.raises(NotEmptyError, match="says it has"):
        decided([A, B], [raid(A, 1, devices=2), raid(B, 2, devices=3)])


def test_members_of_different_filesystem_types():
    with pytest.raises(NotEmptyError, match="says it has"):
        decided([A, B], [raid(A, 1), raid(B, 2, fstype="bcachefs")])


def test_a_clone_of_a_whole_disk():
    message = refused([A, B], [finished(A), finished(B)])
    assert "the disk GUID" in message
    assert "/dev/sda, /dev/sdb" in message


def test_a_clone_with_a_guid_of_its_own():
    message = refused([A, B], [finished(A), finished(B, guid="another")])
    assert "the partition UUID" in message


def test_a_clone_of_an_unfinished_disk():
    assert "the disk GUID" in refused([A, B], [unfinished(A), unfinished(B)])


def test_two_disks_cut_before_their_first_header_have_no_guid_to_compare():
    verdicts = [unfinished(A, tag=1, guid="", torn=True), unfinished(B, tag=2, guid="", torn=True)]
    plan = decided([A, B], verdicts)
    assert plan.action is Action.RESUME
    assert len({one.guid for one in plan.disks}) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"wwn": A.wwn}, "the same WWN"),
        ({"serial": A.serial}, "the same serial"),
    ],
    ids=str,
)
def test_one_disk_by_two_paths(changes, told):
    other = evolve(B, **changes)
    assert told in refused([A, other], [blank(A), blank(other)])


@pytest.mark.parametrize(
    "changes",
    [{"wwn": "", "serial": ""}, {"serial": A.serial, "model": "Other"}, {"serial": A.serial, "size_bytes": 11 * GIB}],
    ids=str,
)
def test_disks_that_only_look_alike(changes):
    """Cheap disks have no serial, or the same one for each model."""
    one, other = evolve(A, wwn=""), evolve(B, **{"wwn": ""} | changes)
    assert decided([one, other], [blank(one), blank(other)]).action is Action.CREATE


# What makes up no topology.


@pytest.mark.parametrize(
    "verdicts",
    [
        [raid(A, 1), raid(B, 2), finished(C, tag=3, data=data_content(U2))],
        [raid(A, 1, fstype="bcachefs"), raid(B, 2, fstype="bcachefs"), finished(C, tag=3, data=data_content(U2))],
        [raid(A, 1, devices=1, fstype="bcachefs"), raid(B, 2, devices=1, fstype="bcachefs", uuid=U2), blank(C)],
        [raid(A, 1, fstype="bcachefs"), raid(B, 2, fstype="bcachefs"), blank(C)],
        [raid(A, 1, role=Role.CACHE), raid(B, 2), blank(C)],
        [finished(A, role=Role.CACHE), blank(B), blank(C)],
        [*tiers(second=Role.CACHE), blank(C)],
    ],
    ids=[
        "mirror and single",
        "bcachefs and btrfs",
        "two bcachefs",
        "bcachefs without a cache",
        "btrfs on a cache",
        "a cache alone",
        "bcachefs of caches only",
    ],
)
def test_filesystems_that_make_up_no_topology(verdicts):
    assert "make up no topology" in refused([A, B, C], verdicts)


# Resuming.


def test_unfinished_disks_are_finished():
    plan = decided([A], [unfinished(A)])
    assert summary(plan) == (Action.RESUME, "single", ["sda"], [])


def test_an_unfinished_disk_beside_a_blank_one():
    """The power went while the tables were written: one has its table, the other none yet."""
    plan = decided([A, B], [unfinished(A), blank(B)])
    assert summary(plan) == (Action.RESUME, "dual_independent", ["sda", "sdb"], [])
    assert [one.write_table for one in plan.disks] == [False, True]


def test_disks_stay_in_the_order_they_were_found_in():
    plan = decided([A, B, C], [unfinished(A), blank(B), unfinished(C, tag=3)])
    assert [one.disk.name for one in plan.disks] == ["sda", "sdb", "sdc"]


def test_marks_half_cleared():
    plan = decided([A, B], [raid(A, 1), raid(B, 2, marked=True)])
    assert summary(plan)[:2] == (Action.RESUME, "btrfs_raid1")
    assert not plan.filesystems[-1].make
    assert [one.clear_marks for one in plan.disks] == [False, True]


def test_independent_disks_half_cleared():
    verdicts = [finished(A, data=data_content(U1)), unfinished(B, tag=2, data=data_content(U2))]
    plan = decided([A, B], verdicts)
    assert summary(plan)[:2] == (Action.RESUME, "dual_independent")
    data = [filesystem for filesystem in plan.filesystems if filesystem.is_data]
    assert [(one.make, one.primary) for one in data] == [(False, True), (True, False)]


def test_an_unfinished_disk_that_is_no_part_of_what_is_finished():
    message = refused([A, B, C], [raid(A, 1), raid(B, 2), unfinished(C, tag=3)])
    assert "/dev/sda, /dev/sdb carry a finished btrfs_raid1, and /dev/sdc an unfinished job" in message


def test_blank_beside_finished_and_unfinished_is_none_of_ours():
    """No filesystem is finished before every table is written: a blank disk was never meant."""
    plan = decided([A, B, C], [finished(A), unfinished(B, tag=2), blank(C)])
    assert summary(plan) == (Action.RESUME, "dual_independent", ["sda", "sdb"], ["sdc"])


@pytest.mark.parametrize("verdicts", [[unfinished(A)], [unfinished(A, torn=True, guid="")]], ids=["marked", "torn"])
def test_abort_on_partial(verdicts):
    message = refused([A], verdicts, validate={"on_partial": "abort"})
    assert "/dev/sda carry an unfinished job of ours, and validate.on_partial is abort" in message


def test_abort_on_partial_says_nothing_of_blank_and_finished_disks():
    settings = {"validate": {"on_partial": "abort"}}
    assert decided([A], [blank(A)], **settings).action is Action.CREATE
    assert decided([A], [finished(A)], **settings).action is Action.ADOPT


def test_a_mode_that_needs_more_disks_than_are_unfinished():
    with pytest.raises(NoDiskError):
        decided([A], [unfinished(A)], topology={"mode": "btrfs_raid1"})


# Contradictions between a table and the plan.


@pytest.mark.parametrize("made", [finished, unfinished])
@pytest.mark.parametrize(
    ("then", "now", "word"), [(Firmware.BIOS, Firmware.UEFI, "has"), (Firmware.UEFI, Firmware.BIOS, "lacks")]
)
def test_made_for_another_firmware(made, then, now, word):
    message = refused([A], [made(A, firmware=then)], firmware=now)
    assert f"/dev/sda {word} a bios_boot partition, and this machine's firmware is {now}" in message


def test_an_unused_disk_may_be_of_any_firmware():
    assert decided([A, B], [finished(A), foreign(B)], firmware=Firmware.UEFI)


def test_an_unfinished_cache_that_would_become_data():
    message = refused([A], [unfinished(A, role=Role.CACHE)])
    assert "/dev/sda carries a zoscache partition" in message
    assert "makes zosdata" in message


def test_an_unfinished_disk_that_would_become_a_cache():
    message = refused([A, HDD_B], [unfinished(A), unfinished(HDD_B, tag=2)])
    assert "/dev/sda carries a zosdata partition" in message


def test_unfinished_tiers_resume_as_what_they_were():
    verdicts = [unfinished(A, role=Role.CACHE), unfinished(HDD_B, tag=2, role=Role.BACKING)]
    assert decided([A, HDD_B], verdicts).topology == "ssd_hdd_bcachefs"


def test_an_unfinished_filesystem_of_another_type():
    message = refused([A], [unfinished(A, data=data_content(fstype="bcachefs"))])
    assert "with bcachefs, and the topology single makes zosdata with btrfs" in message


# Words.


def test_a_refusal_of_one_disk():
    assert refusal([foreign(A)], 1).message.startswith(
        "1 of 1 target disk may not be written, nothing was written: /dev/sda: "
    )


def test_tell():
    found = [Evidence("wipefs", 0, "a signature"), Evidence("in use", None, "it is mounted")]
    assert tell(found) == "a signature (at byte 0, check: wipefs), it is mounted (check: in use)"


# Whatever the verdicts.


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


modes = st.sampled_from(
    [
        "auto",
        "auto",
        "single",
        "dual_independent",
        "btrfs_raid1",
        "bcachefs_single",
        "ssd_hdd_bcachefs",
        "bcachefs_2copy",
    ]
)


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
    assert plan == decided(disks, verdicts, firmware=firmware, topology={"mode": mode})


def keeps_what_is_there(planned, verdict):
    assert verdict.kind is not Kind.FOREIGN
    if planned.write_table:
        assert verdict.kind is Kind.BLANK or verdict.torn
    seen = {part.kind: part for part in verdict.partitions}
    for part in planned.partitions:
        was = seen.get(part.kind)
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
    for filesystem in plan.filesystems:
        members = [plan.partitions[member][1] for member in filesystem.members]
        assert {part.make for part in members} == {filesystem.make}
        assert not (filesystem.make and kept & set(filesystem.members))
        assert not (filesystem.make and filesystem.uuid in done)
    assert sum(filesystem.primary for filesystem in plan.filesystems) == 1


def names_are_distinct(plan):
    names = [one.guid for one in plan.disks] + list(plan.partitions) + [one.uuid for one in plan.filesystems]
    assert len(plan.partitions) == sum(len(one.partitions) for one in plan.disks)
    esps = [one.uuid for one in plan.filesystems if not one.is_data and not one.make]
    assert len(set(names)) == len(names) - (len(esps) - len(set(esps)))
