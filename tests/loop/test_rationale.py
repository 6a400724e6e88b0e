"""Table D of docs/rationale.md: for every row, disks that show it, and the verdict on them."""

import os
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest
from foreign_disks import put
from processes import output
from support import ESP_SIZE, rows
from test_in_use import held_exclusively, stale_partition
from test_lookalikes import DATA, KINDS, MARK, MIB, OURS, SIZE, btrfs, bytes_at, inside, steps, tables, vfat

from zosstorage.block import emptiness, sysfs
from zosstorage.model import Depth, Kind


def on_disk(maker):
    """What stands on the medium."""
    return lambda one, _: maker(one.disks[0])


def lookalike(name):
    return on_disk(KINDS[name][0])


def while_used(using, maker=lambda _: None):
    def make(one, stack):
        maker(one.disks[0])
        stack.enter_context(using(one.disks[0]))

    return make


def mounted_elsewhere(one, stack):
    """In a mount namespace that is not ours."""
    output("mkfs.ext4", "-q", one.disks[0].device)
    output(*one.inside("mount", one.disks[0].device, one.root))
    stack.callback(output, *one.inside("umount", one.root))


def swap(one, stack):
    output("mkswap", one.disks[0].device)
    output("swapon", one.disks[0].device)
    stack.callback(output, "swapoff", one.disks[0].device)


def second_device(one, stack):
    """mountinfo names one device of a btrfs only, and this is the other."""
    shown, other = (disk.device for disk in one.disks)
    output("mkfs.btrfs", "-q", "-K", other, shown)
    output(*one.inside("mount", "-o", f"device={shown}", other, one.root))
    stack.callback(output, *one.inside("umount", one.root))


def sysfs_says(name, found):
    """A kernel without dm, md and bcache has nothing that is stacked: this is what it would say."""
    return lambda _, stack: stack.enter_context(mock.patch.object(sysfs, name, return_value=found))


def read_only(maker):
    def make(one, _):
        maker(one.disks[0])
        one.shutdown()
        one.disks[0].read_only = True
        one.boot()

    return make


def unplugged(one, _):
    one.disks[0].pull()


def other_partition(one, stack):
    OURS(one.disks[0])
    output("addpart", one.disks[0].device, "4", "2048", "2048")
    stack.callback(one.disks[0].forget_partitions)


def finished_and_mounted(one, _):
    done = one("run")
    assert done.status == 0, done.stderr


def cut_off(*keep):
    """A marked table of which only the pieces are left that were written before a cut."""

    def make(disk):
        tables(marks=MARK)(disk)
        for name, (offset, length) in PIECES.items():
            if name not in keep:
                put(disk, offset % SIZE, bytes(length))

    return make


PIECES = {
    "backup entries": (-33 * 512, 32 * 512),
    "backup header": (-512, 512),
    "primary entries": (1024, 32 * 512),
    "primary header": (512, 512),
    "mbr": (0, 512),
}
MARKED = tables(marks=MARK)
SWAP = bytes_at(4086, b"SWAPSPACE2")
IMSM = bytes_at(-1024, b"Intel Raid ISM Cfg Sig. 1.3.00")


def table_within(disk):
    inside(disk, DATA, SIZE - MIB - DATA, "sh", "-c", "echo ,1G | sfdisk -q --no-tell-kernel --label dos {}")


def swap_beside_btrfs(disk):
    """mkfs.btrfs takes away what stands there; mkswap comes later."""
    btrfs(disk)
    put(disk, DATA + 4086, b"SWAPSPACE2")
    put(disk, DATA + 1024, (1).to_bytes(4, "little") + (1 << 16).to_bytes(4, "little"))


def behind_the_mbr(one, _):
    """Where a sector is larger than an MBR."""
    one.shutdown()
    one.disks[0].sector_size = 4096
    one.boot()
    assert one("step", "--until", "partition").status == 0
    put(one.disks[0], 600, b"mine")


def xfs_and_swap(disk):
    output("mkfs.xfs", "-q", "-K", disk.device)
    put(disk, 4086, b"SWAPSPACE2")
    put(disk, 1024, (1).to_bytes(4, "little") + (1 << 16).to_bytes(4, "little"))


# For each row: what shows it, and for a refusal the check that must tell.
SHOWN = {
    "D01": {"zeros": (on_disk(lambda _: None), "")},
    "D02": {
        "in-the-first-MiB": (on_disk(bytes_at(777_777)), "bytes"),
        "in-the-last-MiB": (on_disk(bytes_at(-5000)), "bytes"),
        "at-a-known-place": (on_disk(bytes_at(64 * MIB)), "bytes"),
    },
    "D03": {
        "at-the-start": (on_disk(lambda disk: output("mkswap", disk.device)), "wipefs"),
        "at-the-end": (on_disk(IMSM), "wipefs"),
    },
    "D04": {
        "a-type": (on_disk(lambda disk: output("mkfs.ext4", "-q", disk.device)), "blkid"),
        "ambivalent": (on_disk(xfs_and_swap), "blkid"),
    },
    "D05": {"stale": (while_used(stale_partition), "kernel partitions")},
    "D06": {
        "mounted": (mounted_elsewhere, "in use"),
        "swap": (swap, "in use"),
        "held": (sysfs_says("holders", {"/dev/x": ("dm-0",)}), "in use"),
        "stacked": (sysfs_says("slaves", ("sda",)), "in use"),
        "btrfs": (second_device, "in use"),
        "exclusive": (while_used(held_exclusively), "in use"),
    },
    "D07": {"write-protected": (read_only(lambda _: None), "read-only")},
    "D08": {
        "cut-off": (on_disk(lambda disk: os.truncate(disk.image, SIZE // 2)), "read"),
        "unplugged": (unplugged, "read"),
    },
    "D09": {
        name: (lookalike(name), "own layout")
        for name in ("another-type", "another-name", "a-gap", "shorter-data", "another-attribute", "a-fourth-partition")
    },
    "D10": {"as-made": (on_disk(OURS), ""), "mounted": (finished_and_mounted, "")},
    "D11": {"a-fourth": (other_partition, "kernel partitions")},
    "D12": {name: (lookalike(name), "own layout") for name in ("no-esp", "data-without-a-signature", "nothing-inside")},
    "D13": {"nothing": (on_disk(MARKED), "")},
    "D14": {
        "both": (on_disk(steps(MARKED, vfat, btrfs)), ""),
        "esp": (on_disk(steps(MARKED, vfat)), ""),
        "data": (on_disk(steps(MARKED, btrfs)), ""),
    },
    "D15": {
        "type": (lookalike("marked-ext4"), "marked partition"),
        "label": (lookalike("marked-vfat-with-another-label"), "marked partition"),
        "table": (on_disk(steps(MARKED, table_within)), "marked partition"),
        "contradicting": (on_disk(steps(MARKED, swap_beside_btrfs)), "marked partition"),
    },
    "D16": {
        "in-use": (while_used(held_exclusively, MARKED), "in use"),
        "read-only": (read_only(MARKED), "read-only"),
    },
    "D17": {
        "before": (lookalike("marked-with-bytes-in-the-gap"), "bytes"),
        "behind": (lookalike("marked-with-bytes-behind-the-data"), "bytes"),
        "in-sector-0": (behind_the_mbr, "bytes"),
    },
    "D18": {"boot-code": (lookalike("marked-with-boot-code"), "own layout")},
    "D19": {
        "boot-code": (on_disk(steps(OURS, bytes_at(0))), ""),
        "bios-boot": (on_disk(steps(OURS, bytes_at(MIB))), ""),
    },
    "D20": {
        "first-write": (on_disk(cut_off("backup entries")), ""),
        "no-mbr": (on_disk(cut_off(*list(PIECES)[:4])), ""),
    },
    "D21": {
        name: (lookalike(name), "own layout")
        for name in ("finished-primary-header-lost", "finished-backup-lost", "finished-mbr-lost")
    },
}
VERDICTS = {row[0]: row[2] for row in rows("D")}


def test_every_row_is_shown():
    assert set(SHOWN) == set(VERDICTS)


def seen_as(verdict):
    if verdict.kind is not Kind.OURS:
        return str(verdict.kind)
    if verdict.torn:
        return "ours, unfinished table"
    return "ours, unfinished" if any(part.marked for part in verdict.partitions) else "ours, finished"


@pytest.mark.parametrize(("row", "name"), [(row, name) for row, ways in SHOWN.items() for name in ways])
def test_a_disk_is_seen_as_its_row_says(machine, row, name):
    make, check = SHOWN[row][name]
    one = machine(2 if make is second_device else 1, size=SIZE, partitions={"firmware": "bios"})
    shown = one.disks[0]
    with ExitStack() as stack:
        before = sysfs.read_disk(Path(shown.device).name)
        make(one, stack)
        disk = sysfs.read_disk(Path(shown.device).name) if shown.attached else before
        (seen,) = emptiness.observe([disk], Depth.SAMPLED, ESP_SIZE)
        verdict = emptiness.verdict(seen)
    assert seen_as(verdict) == VERDICTS[row], verdict.evidence
    assert not check or check in [found.check for found in verdict.evidence], verdict.evidence
