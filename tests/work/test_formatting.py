import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from fakes import FakeTools
from support import bcachefs_block, btrfs_block, disk, fat_sector, poke, sparse
from support import facts as some_facts

from zosstorage.block import sysfs
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.facts import Facts, Filesystem
from zosstorage.planned import PlannedFilesystem
from zosstorage.planning.commands import commands
from zosstorage.system import executables
from zosstorage.work import formatting

BLOCK = 1 << 20
# What `bcachefs list` shows of a new filesystem.
LISTED = "u64s 8 type dirent 4096:1:U32_MAX len 0 ver 0: lost+found -> 4097 type dir\n"


@pytest.fixture
def on_files(tmp_path: Path) -> Callable[[Facts], Facts]:
    """Replace the partitions of facts by files."""

    def move(known: Facts) -> Facts:
        parts = []
        for part in known.partitions:
            path = tmp_path / part.device.removeprefix("/dev/")
            sparse(path, part.size_bytes)
            parts.append(evolve(part, device=str(path)))
        known = evolve(known, partition=tuple(parts))
        return evolve(known, format=tuple(evolve(one, devices=known.devices(plan)) for one, plan in pairs(known)))

    return move


def pairs(known: Facts) -> Iterable[tuple[Filesystem, PlannedFilesystem]]:
    return zip(known.filesystems, known.plan.filesystems, strict=True)


MODES = {
    "single": (disk("sda"),),
    "btrfs_raid1": (disk("sda"), disk("sdb")),
    "bcachefs_2copy": (disk("sda"), disk("sdb", rotational=True), disk("sdc", rotational=True)),
}


@pytest.fixture(params=list(MODES))
def known(request: pytest.FixtureRequest, on_files: Callable[[Facts], Facts]) -> Facts:
    return on_files(some_facts(mode=request.param, disks=MODES[request.param]))


@pytest.fixture
def mkfs_tools(fake_tools: FakeTools) -> FakeTools:
    for name in ("wipefs", "mkfs.fat", "mkfs.btrfs", "bcachefs"):
        fake_tools(name)
    return fake_tools


def fill(known: Facts, *, label: bytes = b"ZOSDATA", skip: Sequence[str] = ()) -> None:
    """Write the superblocks of the plan."""
    for filesystem in known.plan.filesystems:
        for number, device in enumerate(known.devices(filesystem)):
            if device not in skip:
                fill_one(filesystem, device, number, label)


def fill_one(filesystem: PlannedFilesystem, device: str, number: int, label: bytes) -> None:
    count = len(filesystem.members)
    if filesystem.type == "vfat":
        poke(device, 0, fat_sector(int(filesystem.uuid.replace("-", ""), 16)))
    elif filesystem.type == "btrfs":
        member = f"{number:08d}-0000-4000-8000-000000000000"
        poke(device, 65536, btrfs_block(filesystem.uuid, devices=count, member=member, label=label))
    else:
        poke(device, 4096, bcachefs_block(filesystem.uuid, devices=count, index=number, label=label))


# Making.


def make(
    known: Facts, wanted: Sequence[PlannedFilesystem] | None = None, require_marks: Callable[[], None] = lambda: None
) -> None:
    formatting.make(known.plan.filesystems if wanted is None else wanted, known, require_marks)


def test_nothing_is_made_without_the_in_progress_flags(mkfs_tools: FakeTools, known: Facts) -> None:
    def fails() -> None:
        raise NotEmptyError("no in-progress flag on partition 2")

    with pytest.raises(NotEmptyError, match="no in-progress flag on partition 2"):
        make(known, require_marks=fails)
    assert {call[0] for call in mkfs_tools.calls} <= {"wipefs"}
    with pytest.raises(NotEmptyError):
        make(known, [], fails)


def test_makes_everything_once_after_the_probers(mkfs_tools: FakeTools, known: Facts) -> None:
    make(known)
    probes = mkfs_tools.of("wipefs")
    nodes = [part.device for part in known.partitions]
    assert {tuple(call[1:4]) for call in probes} == {("--json", "--output", "DEVICE,OFFSET,TYPE,LABEL,UUID")}
    assert sorted(node for call in probes for node in call[4:]) == sorted(nodes)
    rest = mkfs_tools.calls[len(probes) :]
    assert not any(call[0] == "wipefs" for call in rest)
    assert len(rest) == len(known.plan.filesystems)
    words = [word for call in rest for word in call]
    assert all(words.count(node) == 1 for node in nodes)


def test_nothing_to_make_starts_no_command(mkfs_tools: FakeTools, known: Facts) -> None:
    make(known, [])
    assert mkfs_tools.calls == []


def signature(device: str, kind: str, label: str | None) -> str:
    row = {"device": Path(device).name, "offset": "0x10040", "type": kind, "label": label, "uuid": None}
    return json.dumps({"signatures": [row]})


def data(known: Facts) -> PlannedFilesystem:
    return known.plan.data[0]


@pytest.mark.parametrize(
    ("kind", "label"), [("ext4", None), ("ext4", "ZOSDATA"), (None, "home"), (None, None), ("gpt", None)], ids=str
)
def test_a_foreign_signature_is_not_overwritten(
    mkfs_tools: FakeTools, known: Facts, kind: str | None, label: str | None
) -> None:
    device = known.devices(data(known))[0]
    mkfs_tools("wipefs", stdout=signature(device, kind or data(known).type, label))
    with pytest.raises(NotEmptyError, match="nothing was made") as caught:
        make(known)
    assert device in caught.value.message
    assert {call[0] for call in mkfs_tools.calls} == {"wipefs"}


@pytest.mark.parametrize("listing", ["", LISTED.replace("lost+found", "photos")], ids=["nothing", "folder"])
def test_an_unfinished_bcachefs_that_may_be_used_is_not_overwritten(
    mkfs_tools: FakeTools, on_files: Callable[[Facts], Facts], listing: str
) -> None:
    known = on_files(some_facts(mode="bcachefs_2copy", disks=MODES["bcachefs_2copy"]))
    mkfs_tools("wipefs", stdout=signature(known.devices(data(known))[0], "bcachefs", "ZOSDATA"))
    mkfs_tools("bcachefs", stdout=listing)
    fill(known)
    with pytest.raises(NotEmptyError, match="nothing was written to it"):
        make(known)
    assert [call[1] for call in mkfs_tools.of("bcachefs")] == ["list"]


@pytest.mark.parametrize("label", [None, "ZOSDATA"])
def test_an_unfinished_filesystem_of_ours_is_made_again(mkfs_tools: FakeTools, known: Facts, label: str | None) -> None:
    device = known.devices(data(known))[0]
    mkfs_tools("wipefs", stdout=signature(device, data(known).type, label))
    mkfs_tools("bcachefs", stdout=LISTED)
    fill(known)  # our own reader finds the label, also if wipefs shows none
    make(known)
    erased = [call for call in mkfs_tools.of("wipefs") if "--all" in call]
    if data(known).type == "btrfs":
        assert erased == [["wipefs", "--all", "--quiet", *known.devices(data(known))]]
    else:
        assert erased == []
        assert "--force" in mkfs_tools.of("bcachefs")[-1]
    assert not any("-f" in call for call in mkfs_tools.of("mkfs.btrfs"))


def test_nothing_is_forced_without_leftovers(mkfs_tools: FakeTools, known: Facts) -> None:
    make(known)
    assert not any({"-f", "--force", "--all"} & set(call) for call in mkfs_tools.calls)


@pytest.mark.parametrize("fails", ["ESP", "data"])
def test_reports_a_failed_mkfs_after_all_have_ended(mkfs_tools: FakeTools, known: Facts, fails: str) -> None:
    makers = {"vfat": "mkfs.fat", "btrfs": "mkfs.btrfs", "bcachefs": "bcachefs"}
    mkfs_tools(makers["vfat" if fails == "ESP" else data(known).type], status=1, stderr="no space")
    with pytest.raises(ToolError, match="no space"):
        make(known)
    assert len(mkfs_tools.calls) == len(mkfs_tools.of("wipefs")) + len(known.plan.filesystems)


def test_accepts_a_bcachefs_that_crashes_at_exit(mkfs_tools: FakeTools, on_files: Callable[[Facts], Facts]) -> None:
    known = on_files(some_facts(mode="bcachefs_2copy", disks=MODES["bcachefs_2copy"]))
    mkfs_tools("bcachefs", status=139)
    make(known)
    mkfs_tools("bcachefs", body="kill -SEGV $$")
    make(known)


def test_only_bcachefs_may_crash(mkfs_tools: FakeTools, on_files: Callable[[Facts], Facts]) -> None:
    known = on_files(some_facts(mode="single", disks=MODES["single"]))
    mkfs_tools("mkfs.btrfs", status=139)
    with pytest.raises(ToolError):
        make(known)


def test_reports_a_missing_mkfs(mkfs_tools: FakeTools, known: Facts) -> None:
    (mkfs_tools.bin / "mkfs.fat").unlink()
    with pytest.raises(ToolError, match=r"mkfs\.fat was not found"):
        make(known)


def test_the_command_has_the_tiers(mkfs_tools: FakeTools, on_files: Callable[[Facts], Facts]) -> None:
    known = on_files(some_facts(mode="bcachefs_2copy", disks=MODES["bcachefs_2copy"]))
    make(known)
    (call,) = mkfs_tools.of("bcachefs")
    labels = [word for word in call if word.startswith("--label=")]
    assert labels == ["--label=ssd.0", "--label=hdd.0", "--label=hdd.1"]
    assert "--replicas=2" in call


def test_the_commands_are_those_of_the_plan(mkfs_tools: FakeTools, known: Facts) -> None:
    """The device nodes are files here."""
    make(known)
    nodes = {
        sysfs.partition_device(of.disk, part.number): part.uuid for of in known.plan.disks for part in of.partitions
    }
    planned = [one.argv for one in commands(known.plan) if one.state == "format"]
    expected = [[known.device(nodes[word]) if word in nodes else word for word in argv] for argv in planned]
    assert sorted(call for call in mkfs_tools.calls if call[0] != "wipefs") == sorted(expected)


def test_an_exit_status_is_judged_by_its_filesystem(mkfs_tools: FakeTools, on_files: Callable[[Facts], Facts]) -> None:
    """Status 139 is accepted from bcachefs, but not from mkfs.fat."""
    known = on_files(some_facts(mode="bcachefs_2copy", disks=MODES["bcachefs_2copy"]))
    mkfs_tools("mkfs.fat", status=139)
    with pytest.raises(ToolError, match=r"mkfs\.fat"):
        make(known)


# Reading back.


def with_data(known: Facts, **changes: Any) -> Facts:
    """Return facts whose plan has another data filesystem."""
    filesystems = tuple(evolve(one, **changes) if one.top else one for one in known.plan.filesystems)
    return evolve(known, validate=evolve(known.validated, plan=evolve(known.plan, filesystems=filesystems)))


def test_reads_back_all_filesystems(known: Facts) -> None:
    fill(known)
    assert formatting.read_back(known) == known.filesystems


def test_reports_a_missing_filesystem(known: Facts) -> None:
    fill(known)
    device = known.devices(data(known))[-1]
    poke(device, 0, bytes(BLOCK))
    with pytest.raises(ToolError, match=f"{device} was read back as no filesystem of ours"):
        formatting.read_back(known)


def test_reports_another_label(known: Facts) -> None:
    fill(known, label=b"OTHER")
    with pytest.raises(ToolError, match="OTHER"):
        formatting.read_back(known)


def test_reports_another_uuid(known: Facts) -> None:
    other = "12345678-0000-4000-8000-000000000000"
    fill(known)
    with pytest.raises(ToolError, match=f"expected .*{other}"):
        formatting.read_back(with_data(known, uuid=other))


def test_reports_another_number_of_devices(known: Facts) -> None:
    """The plan has one member less (or more) than the superblocks."""
    wanted = data(known)
    members = wanted.members[:-1] or wanted.members * 2
    fill(known)
    with pytest.raises(ToolError, match=f"expected .*, {len(members)}\\)"):
        formatting.read_back(with_data(known, members=members))


def test_reports_a_member_that_is_there_twice(on_files: Callable[[Facts], Facts]) -> None:
    known = on_files(some_facts(mode="btrfs_raid1", disks=MODES["btrfs_raid1"]))
    fill(known)
    one, other = known.devices(data(known))
    with Path(one).open("rb") as image:
        poke(other, 0, image.read(1 << 20))
    with pytest.raises(ToolError, match="are not distinct devices"):
        formatting.read_back(known)


def test_reports_a_missing_device(known: Facts) -> None:
    fill(known)
    Path(known.partitions[0].device).unlink()
    with pytest.raises(ToolError, match="cannot be opened: No such file"):
        formatting.read_back(known)


def test_reports_a_device_that_cannot_be_read(known: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(ToolError, match="cannot be read: Input/output error"):
        formatting.read_back(known)


# Comparison with blkid.


def blkid_text(known: Facts, **changes: str) -> str:
    blocks = []
    for filesystem in known.plan.filesystems:
        for device in known.devices(filesystem):
            seen = {"TYPE": filesystem.type, "LABEL": filesystem.label, "UUID": filesystem.uuid} | changes
            blocks.append("\n".join([f"DEVNAME={device}", *(f"{key}={value}" for key, value in seen.items())]))
    return "\n\n".join(blocks) + "\n"


def test_blkid_must_agree(fake_tools: FakeTools, known: Facts) -> None:
    fill(known)
    fake_tools("blkid", stdout=blkid_text(known))
    assert formatting.read_back_twice(known) == formatting.read_back(known)
    asked = [node for call in fake_tools.calls for node in call[4:]]
    assert sorted(asked) == sorted(part.device for part in known.partitions if part.device in blkid_text(known))


@pytest.mark.parametrize("change", [{"TYPE": "ext4"}, {"LABEL": "other"}, {"UUID": "other"}], ids=str)
def test_reports_that_blkid_differs(fake_tools: FakeTools, known: Facts, change: dict[str, str]) -> None:
    fill(known)
    fake_tools("blkid", stdout=blkid_text(known, **change))
    with pytest.raises(ToolError, match=f"blkid reports .*{next(iter(change.values()))}"):
        formatting.read_back_twice(known)


def test_reports_that_blkid_finds_nothing(fake_tools: FakeTools, known: Facts) -> None:
    fill(known)
    fake_tools("blkid", status=2)
    with pytest.raises(ToolError, match=r"blkid .* failed with status 2"):
        formatting.read_back_twice(known)


def test_our_own_reader_must_agree_with_blkid(fake_tools: FakeTools, known: Facts) -> None:
    fake_tools("blkid", stdout=blkid_text(known))
    with pytest.raises(ToolError, match="was read back as no filesystem of ours"):
        formatting.read_back_twice(known)
    assert executables.which("blkid")


@pytest.mark.parametrize("kind", ["vfat", "btrfs"])
def test_nothing_is_made_in_a_partition_that_the_plan_keeps(fake_tools: FakeTools, kind: str | None) -> None:
    """The plan contradicts itself: the in-progress flag is not required for a partition that the plan keeps."""
    known = some_facts(make=False)
    edited = tuple(evolve(one, make=one.type == kind) for one in known.plan.filesystems)
    plan = evolve(known.plan, filesystems=edited)
    known = evolve(known, validate=evolve(known.validated, plan=plan))
    wanted = [one for one in plan.filesystems if one.make]
    with pytest.raises(NotEmptyError, match="in a partition that it keeps"):
        formatting.make(wanted, known, lambda: None)
    assert fake_tools.calls == []
