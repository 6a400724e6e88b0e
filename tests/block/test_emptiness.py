import json
import os
import shlex

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import (
    ESP_SIZE,
    GIB,
    GUID,
    MIB,
    btrfs_block,
    config,
    disk,
    fat_sector,
    image_disk,
    new_partitions,
    poke,
    put_filesystems,
    sfdisk,
    sparse,
    write_table,
)

from zosstorage.block import emptiness, gpt, in_use, sysfs
from zosstorage.block.sysfs import KernelPartition
from zosstorage.errors import ToolError
from zosstorage.model import Firmware, Kind, PartitionKind

SIZE = 1 * GIB
DATA = MIB + ESP_SIZE  # where the data partition starts, without a bios_boot before it


@pytest.fixture
def probers(fake_tools):
    """Probers that see nothing, and the real sfdisk."""
    fake_tools("wipefs")
    fake_tools("blkid", status=2)
    fake_tools.real("sfdisk")
    return fake_tools


@pytest.fixture
def image(tmp_path):
    return image_disk(sparse(tmp_path / "image", SIZE))


def examine(*disks, **sections):
    return emptiness.examine(disks, config(**sections))


def only(*disks, **sections):
    (verdict,) = examine(*disks, **sections)
    return verdict


def evidence(verdict, check):
    assert verdict.kind is Kind.FOREIGN
    return next(found for found in verdict.evidence if found.check == check)


# Blank.


def test_a_disk_of_zeros_is_blank(probers, image):
    verdict = only(image)
    assert (verdict.kind, verdict.evidence, verdict.partitions, verdict.guid) == (Kind.BLANK, (), (), "")
    assert {call[0] for call in probers.calls} == {"wipefs", "blkid"}


@pytest.mark.parametrize("scan", ["signatures", "sampled", "full"])
@pytest.mark.parametrize("at", [0, 440, 511, 512, MIB - 1, MIB, 64 * MIB + 0x40, SIZE - MIB, SIZE - 512, SIZE - 1])
def test_a_single_byte_and_it_is_not(probers, image, scan, at):
    poke(image.path, at, b"\x01")
    found = evidence(only(image, validate={"scan": scan}), "bytes")
    assert found.offset == at
    assert "01" in found.found


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, MIB - 1), tail=st.booleans(), data=st.binary(min_size=1, max_size=600).filter(any))
def test_whatever_stands_at_an_end_it_is_not_blank(probers, image, at, tail, data):
    data = data[: MIB - at]
    where = SIZE - MIB + at if tail else at
    poke(image.path, where, data)
    try:
        if any(data):
            assert only(image).kind is Kind.FOREIGN
    finally:
        poke(image.path, where, bytes(len(data)))


def test_a_signature_that_only_a_prober_sees(probers, image):
    row = {"device": "image", "offset": "0x10000", "type": "zfs_member", "label": None, "uuid": None}
    probers("wipefs", stdout=json.dumps({"signatures": [row]}))
    assert evidence(only(image), "wipefs").offset == 65536
    probers("wipefs")
    probers("blkid", stdout="TYPE=bcache\n")
    assert evidence(only(image), "blkid").found == "TYPE=bcache"


def test_partitions_that_only_the_kernel_has(probers, image, monkeypatch):
    monkeypatch.setattr(sysfs, "partitions", lambda _: (KernelPartition("/dev/imagep1", 1, MIB, MIB),))
    monkeypatch.setattr(sysfs, "device_number", lambda _: "0:0")
    assert evidence(only(image), "kernel partitions").offset == MIB


def test_a_disk_in_use(probers, image, monkeypatch):
    monkeypatch.setattr(sysfs, "holders", lambda _: {"/dev/image": ("dm-0",)})
    assert "held by dm-0" in evidence(only(image), "in use").found


def test_a_read_only_disk(probers, image):
    assert evidence(only(evolve(image, read_only=True)), "read-only").offset is None


def test_an_io_error(probers, image):
    os.truncate(image.path, SIZE // 2)
    assert evidence(only(image), "read").offset == SIZE - MIB


def test_a_disk_that_cannot_be_opened(probers, tmp_path):
    verdict = only(disk(path=str(tmp_path / "none")))
    assert "cannot be opened" in evidence(verdict, "read").found


def test_all_evidence_is_told(probers, image, monkeypatch):
    row = {"device": "image", "offset": "0x1fe", "type": "dos", "label": None, "uuid": None}
    probers("wipefs", stdout=json.dumps({"signatures": [row]}))
    monkeypatch.setattr(sysfs, "slaves", lambda _: ("sdz",))
    poke(image.path, 510, b"\x55\xaa")
    checks = [found.check for found in only(image).evidence]
    assert checks == ["wipefs", "in use", "bytes"]


def test_verdicts_are_in_the_order_of_the_disks(probers, tmp_path, image):
    other = image_disk(sparse(tmp_path / "other", SIZE), name="other", number="7:78")
    poke(image.path, 0, b"x")
    gone = disk("gone", path=str(tmp_path / "gone"))
    found = examine(gone, image, other)
    assert [verdict.path for verdict in found] == [gone.path, image.path, other.path]
    assert [verdict.kind for verdict in found] == [Kind.FOREIGN, Kind.FOREIGN, Kind.BLANK]


def test_no_disks(probers):
    assert examine() == ()
    assert probers.calls == []


def test_a_prober_that_fails(probers, image):
    probers("wipefs", status=1, stderr="bad")
    with pytest.raises(ToolError):
        examine(image)


def test_nothing_is_written(probers, image):
    write_table(image)
    before = os.stat(image.path).st_mtime_ns  # noqa: PTH116 - the path is a text
    examine(image)
    assert os.stat(image.path).st_mtime_ns == before  # noqa: PTH116


# Ours, finished.


@pytest.fixture
def finished(probers, image):
    write_table(image, marked=False)
    put_filesystems(image)
    return image


@pytest.mark.parametrize("firmware", list(Firmware))
def test_a_finished_disk_is_ours(probers, image, firmware):
    write_table(image, marked=False, firmware=firmware)
    put_filesystems(image, firmware=firmware)
    verdict = only(image)
    assert (verdict.kind, verdict.finished, verdict.torn, verdict.guid) == (Kind.OURS, True, False, GUID)
    assert verdict.evidence[0].found == "our own layout, finished"
    esp, data = verdict.partitions[-2:]
    assert (esp.content.type, esp.content.label, esp.content.uuid) == ("vfat", "ZOSBOOT", "1A2B-3C4D")
    assert (data.content.type, data.content.label) == ("btrfs", "ZOSDATA")
    assert (verdict.partitions[0].kind is PartitionKind.BIOS_BOOT) is (firmware is Firmware.BIOS)


def test_a_finished_disk_may_be_in_use_and_carry_a_boot_loader(finished, monkeypatch):
    monkeypatch.setattr(sysfs, "holders", lambda _: {"/dev/image": ("dm-0",)})
    poke(finished.path, 0, b"\xeb\x63\x90")
    poke(finished.path, 40 * 1024, b"grub core")
    assert only(finished).finished


def test_a_finished_disk_is_not_probed(finished, probers):
    examine(finished)
    assert probers.calls == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            {"esp": bytes(512)},
            "partition 1 is finished by its table, but has none of our filesystems where ZOSBOOT belongs",
        ),
        ({"esp": fat_sector(label=b"EFI")}, "vfat labelled 'EFI' where ZOSBOOT belongs"),
        ({"data": bytes(4096)}, "partition 2 is finished by its table, but has none of our filesystems"),
        ({"data": btrfs_block(label=b"root")}, "btrfs labelled 'root' where ZOSDATA belongs"),
    ],
    ids=["no esp", "other esp", "no data", "other data"],
)
def test_an_incomplete_system_is_refused(finished, content, told):
    put_filesystems(finished, **content)
    found = evidence(only(finished), "own layout")
    assert told in found.found
    assert found.offset == (MIB if "esp" in content else DATA)
    assert "not repaired" in found.hint


def test_a_filesystem_in_the_wrong_partition(finished):
    poke(finished.path, MIB, bytes(512))
    poke(finished.path, MIB + 65536, btrfs_block())
    assert "btrfs labelled 'ZOSDATA' where ZOSBOOT belongs" in evidence(only(finished), "own layout").found


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ((), Kind.OURS),
        (((1, MIB, ESP_SIZE), (2, DATA, SIZE - DATA - MIB)), Kind.OURS),
        (((1, MIB, ESP_SIZE),), Kind.OURS),
        (((1, MIB, ESP_SIZE + MIB),), Kind.FOREIGN),
        (((3, MIB, ESP_SIZE),), Kind.FOREIGN),
    ],
    ids=["none", "ours", "some of ours", "another size", "another number"],
)
def test_what_the_kernel_has_of_our_partitions(finished, monkeypatch, parts, kind):
    found = tuple(KernelPartition(f"/dev/imagep{number}", number, start, size) for number, start, size in parts)
    monkeypatch.setattr(sysfs, "partitions", lambda _: found)
    monkeypatch.setattr(in_use, "_numbers", lambda _: {})
    assert only(finished).kind is kind


# Ours, unfinished.


@pytest.fixture
def unfinished(probers, image):
    write_table(image)
    return image


def test_an_unfinished_disk_is_ours(unfinished, probers):
    verdict = only(unfinished)
    assert (verdict.kind, verdict.finished, verdict.torn) == (Kind.OURS, False, False)
    assert verdict.evidence[0].found == "our own layout, unfinished (partitions 1, 2)"
    assert all(part.marked and part.content is None for part in verdict.partitions)
    windows = sorted(call[call.index("-O") + 1] for call in probers.of("blkid"))
    assert windows == [str(MIB), str(DATA)]


def test_a_table_cut_off(unfinished):
    poke(unfinished.path, 0, bytes(512))
    verdict = only(unfinished)
    assert (verdict.kind, verdict.torn) == (Kind.OURS, True)
    assert "its table cut off while it was written" in verdict.evidence[0].found


def test_a_table_cut_off_after_its_first_write(unfinished):
    poke(unfinished.path, 0, bytes(MIB))
    poke(unfinished.path, SIZE - 512, bytes(512))
    verdict = only(unfinished)
    assert (verdict.kind, verdict.torn, verdict.guid) == (Kind.OURS, True, "")


@pytest.mark.parametrize(
    ("at", "offset"),
    [
        (440, 0),
        (0, 0),
        (1024 + gpt.ENTRIES_BYTES, 1024 + gpt.ENTRIES_BYTES),
        (MIB - 1, MIB - 1),
        (SIZE - MIB, SIZE - MIB),
    ],
)
def test_bytes_outside_of_our_partitions(unfinished, at, offset):
    poke(unfinished.path, at, b"\x01")
    verdict = only(unfinished)
    assert verdict.kind is Kind.FOREIGN
    assert verdict.evidence[0].offset == offset


def test_an_unfinished_disk_in_use(unfinished, monkeypatch):
    monkeypatch.setattr(sysfs, "slaves", lambda _: ("sdz",))
    assert only(unfinished).kind is Kind.FOREIGN


def test_an_unfinished_disk_that_became_read_only(unfinished):
    assert only(evolve(unfinished, read_only=True)).kind is Kind.FOREIGN


def blkid_sees(probers, at, text, status=0):
    """blkid sees something in the partition that starts at `at`, and nothing in others."""
    body = f'case "$*" in *"-O {at} "*) printf %s {shlex.quote(text)}; exit {status};; esac'
    probers("blkid", body=body, status=2)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (MIB, "TYPE=vfat\nLABEL=ZOSBOOT\n"),
        (MIB, "TYPE=vfat\nLABEL_FATBOOT=ZOSBOOT\n"),
        (DATA, "TYPE=btrfs\nLABEL=ZOSDATA\nUUID=x\n"),
        (DATA, "TYPE=bcachefs\nLABEL=ZOSDATA\n"),
    ],
)
def test_what_we_would_make_there_is_worthless(unfinished, probers, at, text):
    blkid_sees(probers, at, text)
    assert only(unfinished).kind is Kind.OURS


@pytest.mark.parametrize(
    ("at", "text", "status", "told"),
    [
        (MIB, "TYPE=ext4\nLABEL=ZOSBOOT\n", 0, "TYPE=ext4, LABEL=ZOSBOOT"),
        (MIB, "TYPE=vfat\nLABEL=EFI\n", 0, "TYPE=vfat, LABEL=EFI"),
        (MIB, "TYPE=btrfs\nLABEL=ZOSDATA\n", 0, "TYPE=btrfs"),
        (DATA, "TYPE=btrfs\nLABEL=home\n", 0, "LABEL=home"),
        (DATA, "TYPE=vfat\nLABEL=ZOSBOOT\n", 0, "TYPE=vfat"),
        (DATA, "TYPE=btrfs\nLABEL=ZOSDATA\nPTTYPE=dos\n", 0, "PTTYPE=dos"),
        (DATA, "PTTYPE=gpt\n", 0, "PTTYPE=gpt"),
        (DATA, "", 8, "several contradicting signatures"),
    ],
)
def test_what_somebody_else_made_there_is_not(unfinished, probers, at, text, status, told):
    blkid_sees(probers, at, text, status)
    found = evidence(only(unfinished), "marked partition")
    assert found.offset == at
    assert told in found.found
    assert "marked as in progress" in found.found


def test_a_bios_boot_partition_is_nobodys(probers, image):
    write_table(image, firmware=Firmware.BIOS)
    examine(image)
    assert str(MIB) not in [call[call.index("-O") + 1] for call in probers.of("blkid")]
    assert len(probers.of("blkid")) == 2


def test_one_mark_left(probers, image):
    lines = new_partitions(image, marked=False)
    sfdisk(image, gpt.script(GUID, [lines[0], lines[1]._replace(marked=True)], 512))
    put_filesystems(image, data=bytes(4096))
    verdict = only(image)
    assert verdict.kind is Kind.OURS
    assert [part.marked for part in verdict.partitions] == [False, True]
    assert "unfinished (partitions 2)" in verdict.evidence[0].found


# Neither.


def test_a_foreign_table_is_told_with_the_first_difference(probers, image):
    lines = new_partitions(image, marked=False)
    sfdisk(image, gpt.script(GUID, [lines[0], lines[1]._replace(name="linux")], 512))
    found = evidence(only(image), "own layout")
    assert "the name 'linux'" in found.found
    assert found.offset == DATA


def test_a_boot_sector_is_no_layout(probers, image):
    poke(image.path, 510, b"\x55\xaa")
    assert [found.check for found in only(image).evidence] == ["bytes"]


# The last look.


def test_still_blank(image):
    assert emptiness.no_longer_blank([image]) == {}
    assert emptiness.no_longer_blank([]) == {}


@pytest.mark.parametrize("at", [0, MIB - 1, 65536 + 0x40, SIZE - 1])
def test_not_blank_any_longer(image, at):
    poke(image.path, at, b"\x01")
    ((found,),) = emptiness.no_longer_blank([image]).values()
    assert (found.check, found.offset) == ("bytes", at)


def test_one_of_two_is_not_blank_any_longer(image, tmp_path):
    other = evolve(image, path=str(sparse(tmp_path / "other", SIZE)), name="other")
    poke(other.path, SIZE - 1, b"\x01")
    assert list(emptiness.no_longer_blank([image, other])) == [other.path]
    poke(image.path, 0, b"\x01")
    assert list(emptiness.no_longer_blank([image, other])) == [image.path, other.path]


def test_not_readable_any_longer(image, tmp_path):
    os.truncate(image.path, SIZE - 1)
    none = disk(path=str(tmp_path / "none"))
    found = emptiness.no_longer_blank([none, image])
    assert {path: [one.check for one in evidence] for path, evidence in found.items()} == {
        none.path: ["read"],
        image.path: ["read"],
    }


def test_partitioned_meanwhile(image, monkeypatch):
    monkeypatch.setattr(sysfs, "partitions", lambda _: (KernelPartition("/dev/imagep1", 1, MIB, MIB),))
    ((found,),) = emptiness.no_longer_blank([image]).values()
    assert found.check == "kernel partitions"
