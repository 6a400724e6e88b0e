"""Disks that look like ours and are not: refused, byte for byte as they were."""

import subprocess

import pytest
from disks import GIB
from foreign_disks import put
from processes import output
from test_foreign import refuse, refuse_alone_and_as_the_second

MIB = 1 << 20
SIZE = 4 * GIB
ESP = 2 * MIB
DATA = 514 * MIB
TYPES = {"bios": "21686148-6449-6E6F-744E-656564454649", "esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"}
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
MARK = ', attrs="GUID:58"'


def write_table(  # noqa: PLR0913 - each is one thing to change
    disk, *, esp=512, data=None, name="zosdata", kind=LINUX, marks="", extra="", start=None
):
    """Our layout as sfdisk writes it, with one thing changed."""
    begin = (2 + esp) * MIB if start is None else start
    size = (data or SIZE - MIB - begin) // 512
    lines = [
        "label: gpt",
        f'start=2048, size=2048, type={TYPES["bios"]}, name="zosboot"{marks}',
        f'start=4096, size={esp * 2048}, type={TYPES["esp"]}, name="zosboot"{marks}',
        f'start={begin // 512}, size={size}, type={kind}, name="{name}"{marks}',
        *([extra] if extra else []),
    ]
    argv = ["sfdisk", "--quiet", "--no-tell-kernel", "--wipe", "never", disk.device]
    subprocess.run(argv, input="\n".join(lines) + "\n", text=True, check=True)


def by_sgdisk(disk):
    """It leaves the end of the last partition unaligned."""
    places = ("1:2048:4095", "2:4096:1052671", "3:1052672:0")
    kinds = (("bios", "zosboot"), ("esp", "zosboot"), ("data", "zosdata"))
    words = []
    for number, (place, (kind, name)) in enumerate(zip(places, kinds, strict=True), 1):
        guid = TYPES.get(kind, LINUX)
        words += ["--new", place, "--typecode", f"{number}:{guid}", "--change-name", f"{number}:{name}"]
    output("sgdisk", *words, disk.device)


def inside(disk, offset, size, *argv):
    """Run a tool on a part of the disk."""
    with disk.part(offset, size) as part:
        output(*(word.format(part) for word in argv))


def vfat(disk, label="ZOSBOOT"):
    inside(disk, ESP, 512 * MIB, "mkfs.fat", "-I", "-F", "32", *(["-n", label] if label else []), "{}")


def btrfs(disk, label="ZOSDATA"):
    inside(disk, DATA, SIZE - MIB - DATA, "mkfs.btrfs", "-q", "-K", "-L", label, "{}")


def ext4(disk):
    inside(disk, DATA, SIZE - MIB - DATA, "mkfs.ext4", "-q", "-F", "{}")


def steps(*makers):
    def make(disk):
        for maker in makers:
            maker(disk)

    return make


def tables(**changes):
    return lambda disk: write_table(disk, **changes)


def bytes_at(offset, data=b"\x90" * 16):
    return lambda disk: put(disk, offset if offset >= 0 else SIZE + offset, data)


def luks(disk):
    words = "echo x | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 {}"
    inside(disk, DATA, 1 * GIB, "sh", "-c", words)


OURS = steps(tables(), vfat, btrfs)
# What is on the disk, and what the refusal must say.
KINDS = {
    "ext4-in-the-data-partition": (steps(tables(), vfat, ext4), "none of our filesystems"),
    "data-without-a-signature": (steps(tables(), vfat, bytes_at(DATA + GIB)), "none of our filesystems"),
    "nothing-inside": (tables(), "where ZOSBOOT belongs"),
    "no-esp": (steps(tables(), btrfs), "where ZOSBOOT belongs"),
    "esp-without-a-label": (steps(tables(), lambda disk: vfat(disk, ""), btrfs), "vfat labelled 'NO NAME'"),
    "esp-with-another-label": (steps(tables(), lambda disk: vfat(disk, "EFI"), btrfs), "vfat labelled 'EFI'"),
    "data-with-another-label": (steps(tables(), vfat, lambda disk: btrfs(disk, "HOME")), "btrfs labelled 'HOME'"),
    "reserved-label": (steps(tables(), vfat, lambda disk: btrfs(disk, "ZOSCACHE")), "btrfs labelled 'ZOSCACHE'"),
    "a-fourth-partition": (tables(data=GIB, extra=f'size=1G, type={LINUX}, name="mine"'), "4 partitions"),
    "another-esp-size": (tables(esp=256), "the size 268435456"),
    "another-name": (tables(name="data"), "the name 'data'"),
    "another-type": (tables(kind="E6D6D379-F507-44C2-A23C-238F2A3DF928"), "the type"),
    "a-gap": (tables(start=DATA + MIB), "the start"),
    "unaligned": (tables(start=DATA + 4096), "the start"),
    "shorter-data": (tables(data=GIB), "the size 1073741824"),
    "made-by-sgdisk": (by_sgdisk, "the size"),
    "another-attribute": (tables(marks=', attrs="GUID:60"'), "the attributes"),
    "marked-ext4": (steps(tables(marks=MARK), ext4), "TYPE=ext4"),
    "marked-xfs": (
        steps(tables(marks=MARK), lambda disk: inside(disk, DATA, GIB, "mkfs.xfs", "-q", "-K", "{}")),
        "TYPE=xfs",
    ),
    "marked-luks": (steps(tables(marks=MARK), luks), "TYPE=crypto_LUKS"),
    "marked-btrfs-with-another-label": (steps(tables(marks=MARK), lambda disk: btrfs(disk, "HOME")), "LABEL=HOME"),
    "marked-vfat-with-another-label": (steps(tables(marks=MARK), lambda disk: vfat(disk, "EFI")), "LABEL=EFI"),
    "marked-vfat-in-the-data-partition": (
        steps(
            tables(marks=MARK),
            lambda disk: inside(disk, DATA, GIB, "mkfs.fat", "-I", "-F", "32", "-n", "ZOSDATA", "{}"),
        ),
        "TYPE=vfat",
    ),
    "marked-with-boot-code": (steps(tables(marks=MARK), bytes_at(0)), "boot code in the MBR"),
    "marked-with-bytes-in-the-gap": (steps(tables(marks=MARK), bytes_at(100 * 512)), "90 90"),
    "marked-with-bytes-behind-the-data": (steps(tables(marks=MARK), bytes_at(-MIB)), "90 90"),
    "partly-marked-and-incomplete": (
        lambda disk: (
            write_table(disk) or output("sfdisk", "-q", "--no-tell-kernel", "--part-attrs", disk.device, "2", "GUID:58")
        ),
        "none of our filesystems",
    ),
    "finished-primary-header-lost": (steps(OURS, bytes_at(512, bytes(512))), "primary copy is damaged or missing"),
    "finished-backup-header-lost": (steps(OURS, bytes_at(-512, bytes(512))), "backup copy"),
    "finished-backup-lost": (steps(OURS, bytes_at(-33 * 512, bytes(33 * 512))), "backup copy"),
    "finished-primary-entry-flipped": (steps(OURS, bytes_at(1024 + 130, b"\xff")), "primary copy is damaged"),
    "finished-mbr-lost": (steps(OURS, bytes_at(0, bytes(512))), "MBR is not a protective one"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_lookalike_is_refused_alone_and_as_the_second(machine, kind):
    make, word = KINDS[kind]
    one = machine(2, size=SIZE)
    make(one.disks[1])
    refuse_alone_and_as_the_second(one, word)


def test_ours_made_by_hand_is_missing_its_subvolumes(machine):
    """Recognised, mounted to look, refused for want of the subvolumes, unmounted again."""
    one = machine(1, size=SIZE)
    OURS(one.disks[0])
    done = one("run")
    assert done.status == 5
    assert "must have the subvolumes" in done.stderr
    assert one.mounts == {}


def test_a_disk_that_grew_is_refused(machine):
    one = machine(1, size=SIZE)
    assert one("run").status == 0
    one.shutdown()
    with one.disks[0].image.open("r+b") as file:
        file.truncate(SIZE + GIB)
    one.boot()
    refuse(one, one.disks[0].device, "was the disk resized?", None)
