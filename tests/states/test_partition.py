import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from fakes import FakeTools
from support import GIB, blank, decide, discovery, ends, image_disk, poke, sparse, unfinished

from states.partition import Partition
from zosstorage import facts
from zosstorage.block import claim, sysfs, tables
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.facts import Facts, Validated
from zosstorage.model import Disk, Firmware, Verdict
from zosstorage.planned import PlannedPartition
from zosstorage.planning.commands import commands
from zosstorage.work import partitioning

SIZE = 1 * GIB


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Disk]:
    """Two image files as disks in sysfs."""
    found = {
        name: image_disk(sparse(tmp_path / name, SIZE), name=name, number=f"7:{number}", serial=name, wwn=name)
        for number, name in enumerate(("one", "two"))
    }
    monkeypatch.setattr(sysfs, "read_disk", lambda name, **_: found[name])
    monkeypatch.setattr(sysfs, "device_number", lambda node: node)
    monkeypatch.setattr(claim, "check_node", lambda *_: None)
    return found


def in_kernel(of: Disk, part: PlannedPartition) -> facts.Partition:
    """Return a partition as sysfs shows it: without name, type and UUID."""
    node = f"{of.path}p{part.number}"
    return facts.Partition(part.number, node, "", "", "", part.start_bytes, part.size_bytes)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, fake_tools: FakeTools, disks: dict[str, Disk]) -> dict[str, Any]:
    """The partitions of disks in sysfs; those of the plan appear once partx was called."""
    known: dict[str, Any] = {}
    fake_tools.real("sfdisk")
    fake_tools("partx")

    def partitions(of: Disk, **_: object) -> dict[int, facts.Partition]:
        if of.path in known:
            found: dict[int, facts.Partition] = known[of.path]
            return found
        if not any(call[-1] == of.path for call in fake_tools.of("partx")):
            return {}
        return {part.number: in_kernel(of, part) for part in known["plan"][of.path].partitions}

    monkeypatch.setattr(sysfs, "partitions", partitions)
    return known


@pytest.fixture
def planned(disks: dict[str, Disk], kernel: dict[str, Any]) -> Callable[..., Facts]:
    """Make facts up to the plan, from given verdicts or for blank disks."""

    def plan(verdicts: Sequence[Verdict] | None = None) -> Facts:
        found = discovery(*disks.values(), firmware=Firmware.BIOS)
        verdicts = verdicts or [blank(one) for one in disks.values()]
        known = Facts(discover=found, validate=Validated(decide(found, verdicts), tuple(verdicts), {}))
        kernel["plan"] = {one.disk.path: one for one in known.plan.disks}
        return known

    return plan


def work(known: Facts) -> Facts:
    return Partition().work(known)


def content(disks: dict[str, Disk]) -> list[tuple[bytes, bytes]]:
    return [ends(one) for one in disks.values()]


def untouched(*disks: Disk) -> bool:
    return not any(any(end) for one in disks for end in ends(one))


def test_every_table_is_written_and_read_back(
    planned: Callable[..., Facts], disks: dict[str, Disk], fake_tools: FakeTools
) -> None:
    known = work(planned())
    assert [part.device for part in known.partitions] == [
        f"{one.path}p{number}" for one in disks.values() for number in (1, 2, 3)
    ]
    assert all(found.table.partitions[0].marked for found in tables.read(known.plan.disks))
    assert [call[0] for call in fake_tools.calls] == ["partx", "partx"]
    assert Partition().holds(known)


def test_the_commands_are_those_of_the_plan(
    planned: Callable[..., Facts], fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitioning, "_read_back", lambda _: None)
    (fake_tools.bin / "sfdisk").unlink()
    fake_tools("sfdisk")
    known = planned()
    with pytest.raises(NotEmptyError):  # nothing was written
        work(known)
    expected = [one for one in commands(known.plan) if one.state == "partition"]
    assert [call[0] for call in fake_tools.calls] == ["sfdisk", "sfdisk", "partx", "partx"]
    assert sorted(fake_tools.calls) == sorted([*one.argv] for one in expected)
    assert fake_tools.stdin("sfdisk") == sorted(one.stdin for one in expected if one.stdin)


@pytest.mark.parametrize("name", ["one", "two"])
def test_writes_to_no_disk_if_one_is_no_longer_blank(
    planned: Callable[..., Facts], disks: dict[str, Disk], name: str, fake_tools: FakeTools
) -> None:
    known = planned()
    poke(disks[name].path, 65536 + 0x40, b"_BHRfS_M")
    before = content(disks)
    with pytest.raises(NotEmptyError, match="1 of 2 target disks may not be written") as caught:
        work(known)
    assert disks[name].path in caught.value.message
    assert "btrfs superblock" in caught.value.message
    assert content(disks) == before


@pytest.mark.parametrize("name", ["one", "two"])
def test_writes_to_no_disk_if_one_was_replaced(
    planned: Callable[..., Facts], disks: dict[str, Disk], name: str
) -> None:
    known = planned()
    disks[name] = evolve(disks[name], serial="another")
    with pytest.raises(NotEmptyError, match="its serial was"):
        work(known)
    assert untouched(*disks.values())


def test_writes_to_no_disk_if_one_is_in_use(
    planned: Callable[..., Facts], disks: dict[str, Disk], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = planned()
    real = os.open

    def busy(path: str, flags: int, *rest: Any) -> int:
        if path == disks["two"].path and flags & os.O_EXCL:
            raise OSError(16, "Device or resource busy")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", busy)
    with pytest.raises(NotEmptyError, match="cannot be claimed"):
        work(known)
    assert untouched(*disks.values())


def test_refuses_new_kernel_partitions(
    planned: Callable[..., Facts], disks: dict[str, Disk], kernel: dict[str, Any]
) -> None:
    known = planned()
    kernel[disks["two"].path] = {1: facts.Partition(1, "/dev/twop1", "", "", "", 1048576, 512)}
    with pytest.raises(NotEmptyError, match="kernel partitions"):
        work(known)
    assert untouched(*disks.values())


def test_does_not_write_a_complete_table_again(
    planned: Callable[..., Facts], disks: dict[str, Disk], fake_tools: FakeTools
) -> None:
    """The power failed after the first of two disks."""
    first = planned([blank(one) for one in disks.values()])
    partitioning.write([first.plan.disks[0]])
    before = Path(disks["one"].path).stat().st_mtime_ns
    verdict = unfinished(disks["one"], firmware=Firmware.BIOS)
    parts = tuple(
        evolve(part, uuid=plan.uuid)
        for part, plan in zip(verdict.partitions, first.plan.disks[0].partitions, strict=True)
    )
    known = planned([evolve(verdict, guid=first.plan.disks[0].guid, partitions=parts), blank(disks["two"])])
    assert [one.write_table for one in known.plan.disks] == [False, True]
    work(known)
    assert Path(disks["one"].path).stat().st_mtime_ns == before


def torn(planned: Callable[..., Facts], disks: dict[str, Disk]) -> Facts:
    """Make a disk whose table lacks its MBR and a blank one, and return the facts with their plan."""
    first = planned([blank(one) for one in disks.values()])
    partitioning.write([first.plan.disks[0]])
    poke(disks["one"].path, 0, bytes(512))
    verdict = unfinished(disks["one"], firmware=Firmware.BIOS, torn=True)
    parts = tuple(
        evolve(part, uuid=plan.uuid)
        for part, plan in zip(verdict.partitions, first.plan.disks[0].partitions, strict=True)
    )
    return planned([evolve(verdict, guid=first.plan.disks[0].guid, partitions=parts), blank(disks["two"])])


def test_a_torn_table_is_written_again(planned: Callable[..., Facts], disks: dict[str, Disk]) -> None:
    known = torn(planned, disks)
    work(known)
    (found,) = tables.read(known.plan.disks[:1])
    assert (found.table.torn, found.table.guid) == (False, known.plan.disks[0].guid)


def test_refuses_a_torn_table_that_has_changed(planned: Callable[..., Facts], disks: dict[str, Disk]) -> None:
    known = torn(planned, disks)
    poke(disks["one"].path, 0, bytes(1 << 20))
    poke(disks["one"].path, 510, b"\x55\xaa")
    with pytest.raises(NotEmptyError, match="does not carry the table of the plan"):
        work(known)
    assert untouched(disks["two"])


def test_retries_sfdisk_while_the_disks_are_still_ours(planned: Callable[..., Facts], fake_tools: FakeTools) -> None:
    real = (fake_tools.bin / "sfdisk").resolve()
    (fake_tools.bin / "sfdisk").unlink()
    flag = fake_tools.records / "failed"
    path = fake_tools("sfdisk")
    path.write_text(f'#!/bin/sh\nif [ -e {flag} ]; then exec {real} "$@"; fi\necho > {flag}\nexit 1\n', "utf-8")
    known = work(planned())
    assert len(known.partitions) == 6


def test_does_not_retry_on_a_foreign_disk(
    planned: Callable[..., Facts], disks: dict[str, Disk], fake_tools: FakeTools
) -> None:
    (fake_tools.bin / "sfdisk").unlink()
    script = "printf foreign | /bin/dd of=$path conv=notrunc 2>/dev/null"
    fake_tools("sfdisk", body=f'for path in "$@"; do :; done; {script}', status=1)
    known = planned()
    with pytest.raises(ToolError, match=r"sfdisk failed to write a table, and .* does not carry the table of the plan"):
        work(known)
    assert len(fake_tools.of("sfdisk")) == 2


def test_refuses_disks_to_which_sfdisk_wrote_nothing(planned: Callable[..., Facts], fake_tools: FakeTools) -> None:
    (fake_tools.bin / "sfdisk").unlink()
    fake_tools("sfdisk")
    with pytest.raises(ToolError, match=r"sfdisk reported success, but .* does not carry the table of the plan"):
        work(planned())


def test_a_failed_partx_ends_the_run(planned: Callable[..., Facts], fake_tools: FakeTools) -> None:
    fake_tools("partx", status=1, stderr="no")
    with pytest.raises(ToolError, match="partx"):
        work(planned())


def test_a_kernel_without_the_partitions_ends_the_run(
    planned: Callable[..., Facts], kernel: dict[str, Any], disks: dict[str, Disk]
) -> None:
    known = planned()
    kernel["plan"] = {one.disk.path: evolve(one, partitions=()) for one in known.plan.disks}
    with pytest.raises(ToolError, match="the kernel does not have the partitions"):
        work(known)


def test_holds_while_every_disk_carries_the_table_of_the_plan(
    planned: Callable[..., Facts], disks: dict[str, Disk]
) -> None:
    known = work(planned())
    state = Partition()
    assert state.holds(known)
    partitioning.clear_marks(known.plan.disks)
    assert not state.holds(known)  # Format needs the in-progress flags
    known = evolve(known, format=())
    assert state.holds(known)
    poke(disks["two"].path, 512, b"EFI TRAP")
    assert not state.holds(known)


def test_does_not_hold_if_the_kernel_lost_a_partition(
    planned: Callable[..., Facts], disks: dict[str, Disk], kernel: dict[str, Any]
) -> None:
    known = work(planned())
    kernel[disks["two"].path] = {}
    assert not Partition().holds(known)
