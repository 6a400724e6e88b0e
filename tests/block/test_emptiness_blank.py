"""What makes a disk blank or foreign, and the check right before the first write."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from fakes import FakeTools
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import (
    ESP_SIZE,
    GIB,
    GUID,
    MIB,
    disk,
    examine,
    image_disk,
    new_partitions,
    poke,
    sfdisk,
    sparse,
    write_table,
)

from zosstorage.block import emptiness, gpt, medium, sysfs
from zosstorage.errors import ToolError
from zosstorage.facts import Partition
from zosstorage.model import Depth, Disk, Evidence, Kind, Verdict
from zosstorage.system import reading

SIZE = 1 * GIB
PARTITION = Partition(1, "/dev/imagep1", "", "", "", MIB, MIB)


def verdict_on(of: Disk, **rest: Any) -> Verdict:
    (verdict,) = examine(of, **rest)
    return verdict


def evidence(verdict: Verdict, check: str) -> Evidence:
    assert verdict.kind is Kind.FOREIGN
    return next(found for found in verdict.evidence if found.check == check)


def test_a_disk_of_zeros_is_blank(probers: FakeTools, image: Disk) -> None:
    verdict = verdict_on(image)
    assert (verdict.kind, verdict.evidence, verdict.partitions, verdict.guid) == (Kind.BLANK, (), (), "")
    assert {call[0] for call in probers.calls} == {"wipefs", "blkid"}


@pytest.mark.parametrize("depth", list(Depth))
@pytest.mark.parametrize("at", [0, 440, 511, 512, MIB - 1, MIB, 64 * MIB + 0x40, SIZE - MIB, SIZE - 512, SIZE - 1])
def test_a_single_byte_makes_a_disk_foreign(probers: FakeTools, image: Disk, depth: Depth, at: int) -> None:
    poke(image.path, at, b"\x01")
    found = evidence(verdict_on(image, depth=depth), "bytes")
    assert found.offset == at
    assert "01" in found.found


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, MIB - 1), tail=st.booleans(), data=st.binary(min_size=1, max_size=600).filter(any))
def test_any_bytes_at_an_end_make_a_disk_foreign(
    probers: FakeTools, image: Disk, at: int, tail: bool, data: bytes
) -> None:
    data = data[: MIB - at]
    where = SIZE - MIB + at if tail else at
    poke(image.path, where, data)
    try:
        if any(data):
            assert verdict_on(image).kind is Kind.FOREIGN
    finally:
        poke(image.path, where, bytes(len(data)))


def test_a_signature_seen_by_a_prober_alone_is_evidence(probers: FakeTools, image: Disk) -> None:
    row = {"device": "image", "offset": "0x10000", "type": "zfs_member", "label": None, "uuid": None}
    probers("wipefs", stdout=json.dumps({"signatures": [row]}))
    assert evidence(verdict_on(image), "wipefs").offset == 65536
    probers("wipefs")
    probers("blkid", stdout="TYPE=bcache\n")
    assert evidence(verdict_on(image), "blkid").found == "TYPE=bcache"


def test_partitions_known_to_the_kernel_alone_are_evidence(
    probers: FakeTools, image: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysfs, "partitions", lambda _: {1: PARTITION})
    monkeypatch.setattr(sysfs, "device_number", lambda _: "0:0")
    assert evidence(verdict_on(image), "kernel partitions").offset == MIB


def test_a_disk_in_use_is_foreign(probers: FakeTools, image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysfs, "holders", lambda _: {"/dev/image": ("dm-0",)})
    assert "held by dm-0" in evidence(verdict_on(image), "in use").found


def test_a_read_only_disk_is_foreign(probers: FakeTools, image: Disk) -> None:
    assert evidence(verdict_on(evolve(image, read_only=True)), "read-only").offset is None


def test_a_disk_with_an_io_error_is_foreign(probers: FakeTools, image: Disk) -> None:
    os.truncate(image.path, SIZE // 2)
    assert evidence(verdict_on(image), "read").offset == SIZE - MIB


def test_a_disk_that_cannot_be_opened_is_foreign(probers: FakeTools, tmp_path: Path) -> None:
    verdict = verdict_on(disk(path=str(tmp_path / "none")))
    assert "cannot be opened" in evidence(verdict, "read").found


def test_a_verdict_has_all_evidence(probers: FakeTools, image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"device": "image", "offset": "0x1fe", "type": "dos", "label": None, "uuid": None}
    probers("wipefs", stdout=json.dumps({"signatures": [row]}))
    monkeypatch.setattr(sysfs, "slaves", lambda _: ("sdz",))
    poke(image.path, 510, b"\x55\xaa")
    checks = [found.check for found in verdict_on(image).evidence]
    assert checks == ["wipefs", "in use", "bytes"]


def test_verdicts_are_in_the_order_of_the_disks(probers: FakeTools, tmp_path: Path, image: Disk) -> None:
    other = image_disk(sparse(tmp_path / "other", SIZE), name="other", number="7:78")
    poke(image.path, 0, b"x")
    gone = disk("gone", path=str(tmp_path / "gone"))
    found = examine(gone, image, other)
    assert [verdict.path for verdict in found] == [gone.path, image.path, other.path]
    assert [verdict.kind for verdict in found] == [Kind.FOREIGN, Kind.FOREIGN, Kind.BLANK]


def test_no_disks_have_no_verdicts(probers: FakeTools) -> None:
    assert examine() == ()
    assert probers.calls == []


def test_a_failed_prober_is_an_error(probers: FakeTools, image: Disk) -> None:
    probers("wipefs", status=1, stderr="bad")
    with pytest.raises(ToolError):
        examine(image)


def test_examining_writes_nothing(probers: FakeTools, image: Disk) -> None:
    write_table(image)
    before = Path(image.path).stat().st_mtime_ns
    examine(image)
    assert Path(image.path).stat().st_mtime_ns == before


def test_evidence_for_a_foreign_table_has_its_first_difference(probers: FakeTools, image: Disk) -> None:
    esp, data = new_partitions(image, marked=False)
    sfdisk(image, gpt.script(GUID, [esp, evolve(data, name="linux")], 512))
    found = evidence(verdict_on(image), "own layout")
    assert "the name 'linux'" in found.found
    assert found.offset == data.start_bytes


def test_a_boot_sector_is_not_taken_for_a_layout(probers: FakeTools, image: Disk) -> None:
    poke(image.path, 510, b"\x55\xaa")
    assert [found.check for found in verdict_on(image).evidence] == ["bytes"]


# Other observations.


def test_write_counts_are_read_before_the_first_byte(
    probers: FakeTools, image: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real = medium.Reader.view

    def writes(_: Disk) -> str:
        events.append("count")
        return "1 8 0 0"

    def view(*arguments: Any) -> memoryview:
        events.append("read")
        return real(*arguments)

    monkeypatch.setattr(sysfs, "writes", writes)
    monkeypatch.setattr(medium.Reader, "view", view)
    monkeypatch.setattr(reading, "apart", lambda work: work())
    (found,) = emptiness.observe([image], Depth.SAMPLED, ESP_SIZE)
    assert found.writes == "1 8 0 0"
    assert events[:2] == ["count", "read"]
    assert events.count("count") == 1


@pytest.mark.parametrize("problem", ["not opened", "not read"])
def test_write_counts_of_an_unreadable_disk_are_observed(
    probers: FakeTools, image: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    monkeypatch.setattr(sysfs, "writes", lambda _: "1 8 0 0")
    if problem == "not opened":
        image = evolve(image, path=str(tmp_path / "none"))
    else:
        os.truncate(image.path, SIZE // 2)
    (found,) = emptiness.observe([image], Depth.SAMPLED, ESP_SIZE)
    assert (found.writes, [one.check for one in found.findings]) == ("1 8 0 0", ["read"])


def test_the_file_behind_a_loop_device_is_observed(
    probers: FakeTools, image: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysfs, "backing_file", lambda _: "/images/a")
    (found,) = emptiness.observe([image], Depth.SAMPLED, ESP_SIZE)
    assert found.backing_file == "/images/a"


# Disks that no run writes.


def record_claims(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that receives the flag O_EXCL, or 0, of each file that is opened."""
    found: list[int] = []
    real = os.open

    def record(path: str, how: int, *mode: int) -> int:
        found.append(how & os.O_EXCL)
        return real(path, how, *mode)

    monkeypatch.setattr(os, "open", record)
    return found


# The check right before the first write.


def test_an_unchanged_disk_is_still_blank(image: Disk) -> None:
    assert emptiness.no_longer_blank([image]) == {}
    assert emptiness.no_longer_blank([]) == {}


@pytest.mark.parametrize("at", [0, MIB - 1, 65536 + 0x40, SIZE - 1])
def test_a_byte_written_since_is_found(image: Disk, at: int) -> None:
    poke(image.path, at, b"\x01")
    ((found,),) = emptiness.no_longer_blank([image]).values()
    assert (found.check, found.offset) == ("bytes", at)


def test_each_disk_written_since_is_listed(image: Disk, tmp_path: Path) -> None:
    other = evolve(image, path=str(sparse(tmp_path / "other", SIZE)), name="other")
    poke(other.path, SIZE - 1, b"\x01")
    assert list(emptiness.no_longer_blank([image, other])) == [other.path]
    poke(image.path, 0, b"\x01")
    assert list(emptiness.no_longer_blank([image, other])) == [image.path, other.path]


def test_a_disk_that_became_unreadable_is_no_longer_blank(image: Disk, tmp_path: Path) -> None:
    os.truncate(image.path, SIZE - 1)
    none = disk(path=str(tmp_path / "none"))
    found = emptiness.no_longer_blank([none, image])
    assert {path: [one.check for one in evidence] for path, evidence in found.items()} == {
        none.path: ["read"],
        image.path: ["read"],
    }


def test_a_disk_partitioned_since_is_no_longer_blank(image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysfs, "partitions", lambda _: {1: PARTITION})
    ((found,),) = emptiness.no_longer_blank([image]).values()
    assert found.check == "kernel partitions"
