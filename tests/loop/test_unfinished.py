"""A run stops after Format, and a person uses what is not finished: the next run leaves it as it is, and says why."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest
from checks import check_provisioned
from disks import GIB
from processes import output

from zosstorage.checkpoint import Checkpoint, _digest, load
from zosstorage.converter import structure

MIB = 1 << 20
NAMES = ("system", "etc", "modules", "vm-meta")
MODES = {"single": 1, "btrfs_raid1": 2}


@pytest.fixture
def formatted(machine):
    """Make a machine whose run stopped after Format."""

    def make(mode="single", count=1):
        one = machine(count, size=2 * GIB, topology={"mode": mode})
        assert one("step", "--until", "format").status == 0
        return one

    return make


def by_hand(one, script: str, *, power_loss: bool = False) -> None:
    """Mount the data filesystem as a person does, run a shell script in it, and unmount it, or lose power before."""
    nodes = [f"{disk.device}p3" for disk in one.disks]
    images = [disk.image for disk in one.disks]
    copies = [image.with_suffix(".copy") for image in images]
    place = one.folder / "by-hand"
    place.mkdir(exist_ok=True)
    output("btrfs", "device", "scan", *nodes)
    output("mount", nodes[0], place)
    try:
        output("sh", "-euc", f"cd {place}\n{script}")
        if power_loss:
            for image, copy in zip(images, copies, strict=True):
                output("cp", "--sparse=always", image, copy)
    finally:
        output("umount", place)
    if power_loss:
        one.shutdown()
        for image, copy in zip(images, copies, strict=True):
            shutil.copyfile(copy, image)
            copy.unlink()
        one.boot()


USES = {
    "file": ("echo mine >file", "a file or directory 'file'"),
    "file in a subvolume": ("btrfs subvolume create etc; echo mine >etc/hosts", "'hosts' in subvolume"),
    "folder with the name of a subvolume": ("mkdir system", "a file or directory 'system'"),
    "subvolume of another name": ("btrfs subvolume create home", "'home'"),
    "snapshot with the name of a subvolume": ("btrfs subvolume snapshot . modules", "a snapshot"),
    "nested subvolume": ("btrfs subvolume create etc; btrfs subvolume create etc/system", "'system' in subvolume"),
    "label": ("btrfs filesystem label . MINE", "LABEL=MINE"),
}
AGAIN = ("same boot", "next boot")
# A mirror adds that a copy is looked for on either disk: not every combination has to be tried on one.
BOOTS = [("single", "same boot"), ("single", "next boot"), ("btrfs_raid1", "next boot")]


def come_back(one, again: str) -> None:
    if again == "next boot":
        one.reboot()


def check_left_alone(one, told: str) -> None:
    before = one.digests()
    refused = one("run")
    assert refused.status == 5, refused.stderr
    assert told in refused.stderr
    assert "erase" not in refused.stderr
    assert one.digests() == before


@pytest.mark.parametrize(
    ("use", "mode", "again"),
    [(use, *boot) for use in USES for boot in BOOTS if boot[0] == "single" or use in ("file", "nested subvolume")],
)
def test_a_btrfs_that_a_person_has_used_is_left_alone(formatted, use, mode, again):
    script, told = USES[use]
    one = formatted(mode, MODES[mode])
    by_hand(one, script)
    come_back(one, again)
    check_left_alone(one, told)


@pytest.mark.parametrize("mode", MODES)
def test_a_log_tree_is_left_alone(formatted, mode):
    """Power is lost after a file was synced and before the filesystem was."""
    one = formatted(mode, MODES[mode])
    by_hand(one, "dd if=/dev/zero of=file bs=4k count=1 conv=fsync 2>&1", power_loss=True)
    check_left_alone(one, "a log tree")


def test_a_mounted_filesystem_is_left_alone(formatted):
    one = formatted()
    place = one.folder / "by-hand"
    place.mkdir()
    output(*one.inside("mount", f"{one.disks[0].device}p3", place))  # no other namespace gets a copy
    try:
        assert one("run").status == 5
    finally:
        output(*one.inside("umount", place))
    assert one("run").status == 0


@pytest.mark.parametrize(("mode", "again"), BOOTS)
@pytest.mark.parametrize(
    "script",
    [
        ":",
        "echo mine >file; rm file; mkdir -p a/b; rmdir a/b a",
        *("\n".join(f"btrfs subvolume create {name}" for name in NAMES[:count]) for count in (1, 4)),
    ],
    ids=["mounted", "emptied again", "one subvolume", "all subvolumes"],
)
def test_a_filesystem_that_holds_nothing_is_finished(formatted, script, mode, again):
    one = formatted(mode, MODES[mode])
    by_hand(one, script)
    come_back(one, again)
    assert one("run").status == 0, one("run").stderr
    check_provisioned(one, mode, status=one.report["status"])


# The ESP.


def add_to_root(node: str, entry: bytes) -> None:
    """Add an entry to the root directory of a FAT32, behind the label."""
    with Path(node).open("r+b") as file:
        sector = file.read(512)
        sector_bytes, _, reserved, copies = struct.unpack_from("<HBHB", sector, 11)
        start = (reserved + copies * struct.unpack_from("<I", sector, 36)[0]) * sector_bytes
        file.seek(start + 32)
        file.write(entry)
        file.flush()


def entry(name: bytes, attributes: int) -> bytes:
    return name + bytes([attributes]) + bytes(20)


@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize(
    ("found", "told"),
    [
        (entry(b"KERNEL  EFI", 0x20), "a file or directory 'KERNEL.EFI'"),
        (entry(b"EFI        ", 0x10), "a file or directory 'EFI'"),
    ],
    ids=["file", "folder"],
)
def test_an_esp_that_a_person_has_used_is_left_alone(formatted, found, told, again):
    one = formatted()
    add_to_root(f"{one.disks[0].device}p2", found)
    come_back(one, again)
    check_left_alone(one, told)


@pytest.mark.parametrize(("part", "until"), [("p3", "format"), ("p3", "partition"), ("p2", "partition")])
@pytest.mark.parametrize("again", AGAIN)
def test_an_archive_that_a_person_wrote_to_a_partition_is_left_alone(machine, part, until, again):
    """An archive has no signature that libblkid knows."""
    one = machine(1, size=2 * GIB)
    assert one("step", "--until", until).status == 0
    output("tar", "--create", "--file", f"{one.disks[0].device}{part}", "--directory", "/etc", "passwd")
    come_back(one, again)
    check_left_alone(one, "data at its byte 0")


def test_an_esp_with_another_label_is_left_alone(formatted):
    one = formatted()
    output("fatlabel", f"{one.disks[0].device}p2", "MINE")
    one.reboot()
    check_left_alone(one, "MINE")


@pytest.mark.parametrize("again", AGAIN)
def test_an_esp_whose_file_was_deleted_is_finished(formatted, again):
    one = formatted()
    add_to_root(f"{one.disks[0].device}p2", b"\xe5" + entry(b"ERNEL  EFI", 0x20))
    come_back(one, again)
    assert one("run").status == 0
    check_provisioned(one, "single", status=one.report["status"])


# A checkpoint is never a reason to write.


def forge(one, change) -> None:
    """Edit the plan of a checkpoint, as somebody does who knows how its digest is made."""
    path = one.run_dir / "checkpoint.json"
    document = json.loads(path.read_text())
    change(document["states"])
    document["digest"] = _digest(structure(document, Checkpoint))
    path.write_text(json.dumps(document))
    assert load(path)


def _make(states) -> None:
    plan = states[1]["facts"]["plan"]
    for filesystem in plan["filesystems"]:
        filesystem["make"] = True
    for disk in plan["disks"]:
        for part in disk["partitions"]:
            part["make"] = True


def _write_table(states) -> None:
    _make(states)
    for disk in states[1]["facts"]["plan"]["disks"]:
        disk["write_table"] = disk["clear_marks"] = True


def _blank(states) -> None:
    _write_table(states)
    for disk in states[1]["facts"]["plan"]["disks"]:
        disk["blank"] = True


@pytest.mark.parametrize(
    ("change", "start"), [(_make, "format"), (_write_table, "partition"), (_blank, "partition"), (_blank, "mount")]
)
def test_a_forged_plan_does_not_touch_a_finished_disk(machine, change, start):
    one = machine(size=2 * GIB)
    assert one("run").status == 0
    one.reboot()
    assert one("run").status == 0
    before = one.digests()
    forge(one, change)
    assert one("reset", "--from", start).status == 0
    forge(one, change)
    one("run")
    assert one.digests() == before
    one.reboot()
    assert one("run").status == 0
    check_provisioned(one, "single", status="already_provisioned")
