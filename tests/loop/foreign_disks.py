"""Used disks: each kind made by real tools or from documented bytes, on an attached loop disk of 12 GiB.

A kind says what the refusal must name: the byte where something was found, and a word of what it was.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from disks import GIB, LoopDisk
from processes import output

if TYPE_CHECKING:
    from collections.abc import Callable

KIB, MIB = 1 << 10, 1 << 20
SIZE = 12 * GIB


@dataclass(frozen=True)
class Kind:
    """A kind of used disk.

    Attributes:
        make: puts it onto an attached disk.
        offset: where the refusal must name a byte, this one or one of the 512 behind it; None for anywhere.
        word: what the refusal must say.
    """

    name: str
    make: Callable[[LoopDisk], None]
    offset: int | None
    word: str


def put(disk: LoopDisk, offset: int, data: bytes) -> None:
    """Bytes at an offset; a negative one counts from the end."""
    with open(disk.device, "r+b", buffering=0) as file:  # noqa: PTH123 - a device
        file.seek(offset if offset >= 0 else SIZE + offset)
        file.write(data)
        os.fsync(file.fileno())


def crafted(name: str, offset: int, data: bytes, word: str, at: int | None = None) -> Kind:
    """Bytes at one place; found at their first that is not zero, or at `at`."""
    first = offset + len(data) - len(data.lstrip(b"\0"))
    place = at if at is not None else first
    return Kind(name, lambda disk: put(disk, offset, data), place if place >= 0 else SIZE + place, word)


def tool(name: str, *argv: str, at: int, word: str, wipe: tuple[int, int] | None = None) -> Kind:
    """What a tool makes of the disk ({} in its words); then perhaps `wipe`: zeros from, and how many bytes."""

    def make(disk: LoopDisk) -> None:
        output(*(word.format(disk.device) for word in argv))
        if wipe:
            for start in range(wipe[0], wipe[0] + wipe[1], MIB):
                put(disk, start, bytes(min(MIB, wipe[0] + wipe[1] - start)))

    return Kind(name, make, at, word)


def table(name: str, script: str, at: int, word: str, *wipes: tuple[int, int]) -> Kind:
    """What sfdisk makes of a script; then zeros at (offset, length) pairs."""

    def make(disk: LoopDisk) -> None:
        argv = ["sfdisk", "--quiet", "--no-tell-kernel", "--wipe", "never", disk.device]
        subprocess.run(argv, input=script, text=True, check=True)
        for offset, length in wipes:
            put(disk, offset, bytes(length))

    return Kind(name, make, at if at >= 0 else SIZE + at, word)


def behind(name: str, *argv: str, at: int, word: str) -> Kind:
    """A filesystem in a partition from 1 MiB whose table was wiped."""

    def make(disk: LoopDisk) -> None:
        with disk.part(MIB, SIZE - 2 * MIB) as part:
            output(*(word.format(part) for word in argv))

    return Kind(name, make, at, word)


def _noise(length: int) -> bytes:
    return random.Random(7).randbytes(length)  # noqa: S311 - the same bytes each time


def _uberblock() -> bytes:
    return bytes(128 * KIB) + struct.pack("<QQ", 0x00BAB10C, 5000)


_EXT = ("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=1", "-b")
FILESYSTEMS = [
    tool("ext2", "mkfs.ext2", "-q", "-F", "{}", at=1080, word="ext2"),
    tool("ext4", *_EXT, "4096", "{}", at=1080, word="ext4"),
    tool(
        "ext4-1k-first-lost", *_EXT, "1024", "{}", "8000M", at=8193 * KIB, word="backup superblock", wipe=(0, 2 * MIB)
    ),
    tool("ext4-2k-first-lost", *_EXT, "2048", "{}", at=32 * MIB, word="backup superblock", wipe=(0, 32 * MIB)),
    tool("ext4-4k-first-lost", *_EXT, "4096", "{}", at=128 * MIB, word="backup superblock", wipe=(0, 128 * MIB)),
    tool("xfs", "mkfs.xfs", "-q", "-f", "-K", "{}", at=0, word="xfs"),
    tool("xfs-first-lost", "mkfs.xfs", "-q", "-f", "-K", "{}", at=3 * GIB, word="xfs", wipe=(0, 64 * MIB)),
    tool("btrfs", "mkfs.btrfs", "-q", "-K", "{}", at=64 * KIB + 64, word="btrfs"),
    tool("btrfs-first-lost", "mkfs.btrfs", "-q", "-K", "{}", at=64 * MIB, word="btrfs", wipe=(0, 16 * MIB)),
    tool("f2fs", "mkfs.f2fs", "-q", "{}", at=1024, word="f2fs"),
    tool("ntfs", "mkfs.ntfs", "-q", "-F", "-f", "{}", at=3, word="ntfs"),
    tool("vfat", "mkfs.fat", "-F", "32", "{}", at=82, word="vfat"),
    tool("exfat", "mkfs.exfat", "{}", at=3, word="exfat"),
    tool("jfs", "mkfs.jfs", "-q", "{}", at=32768, word="jfs"),
    tool("nilfs2", "mkfs.nilfs2", "-q", "{}", at=1030, word="nilfs2"),
    tool("udf", "mkfs.udf", "{}", at=32769, word="udf"),
    tool("swap", "mkswap", "{}", at=4086, word="swap"),
    behind("ext4-behind-a-wiped-table", *_EXT, "4096", "{}", at=MIB + 1024, word="ext2/3/4 superblock"),
    behind("xfs-behind-a-wiped-table", "mkfs.xfs", "-q", "-f", "-K", "{}", at=MIB, word="xfs"),
    behind("btrfs-behind-a-wiped-table", "mkfs.btrfs", "-q", "-K", "{}", at=MIB + 64 * KIB, word="btrfs"),
    crafted("ntfs-backup-boot-sector", -512, b"\xeb\x52\x90NTFS    " + bytes(499) + b"\x55\xaa", "NTFS backup"),
    crafted("fat32-backup-boot-sector", 6 * 512, b"\xeb\x58\x90mkfs.fat" + bytes(71) + b"FAT32   ", "FAT32 backup"),
    crafted("nilfs2-end-copy", -4096, struct.pack("<IHH", 2, 0, 0x3434), "nilfs2"),
    crafted("squashfs", 0, b"hsqs" + _noise(92), "squashfs"),
    crafted("erofs", 1024, b"\xe2\xe1\xf5\xe0" + _noise(124), "erofs"),
    crafted("iso9660", 32768, b"\1CD001\1" + bytes(1), "iso9660", 32769),
    crafted("reiserfs", 64 * KIB + 52, b"ReIsEr2Fs", "reiserfs"),
    crafted("hfsplus-alternate-header", -1024, b"H+\0\4" + bytes(40), "HFS+"),
    crafted("apfs", 32, b"NXSB" + _noise(28), "APFS"),
    crafted("gfs2", 64 * KIB, b"\x01\x16\x19\x70" + bytes(8), "gfs2"),
    crafted("ocfs2", 8192, b"OCFSV2" + bytes(8), "ocfs2"),
    crafted("refs", 3, b"ReFS\0\0\0\0FSRS", "ReFS"),
    crafted("bcachefs", 4096 + 24, bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef"), "bcachefs"),
    crafted(
        "bcachefs-behind-a-wiped-table", MIB + 0x1018, bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef"), "bcachefs"
    ),
    crafted("vmfs", MIB, b"\x0d\xd0\x01\xc0", "VMFS"),
    crafted("vmfs-volume", 0x1300000, b"\x5e\xf1\xab\x2f", "VMFS"),
]
_LVM = ("pvcreate", "-q", "-y", "--config", "devices/use_devicesfile=0", "--pvmetadatacopies", "2", "{}")
CONTAINERS = [
    tool(
        "luks2",
        "sh",
        "-c",
        "echo x | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 {}",
        at=0,
        word="crypto_LUKS",
    ),
    tool(
        "luks2-second-header",
        "sh",
        "-c",
        "echo x | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 {}",
        at=16384,
        word="LUKS",
        wipe=(0, 16384),
    ),
    crafted("luks1", 0, b"LUKS\xba\xbe\0\1" + b"aes" + bytes(500), "LUKS"),
    *(
        crafted(f"lvm2-label-{n}", n * 512, b"LABELONE" + struct.pack("<Q", n) + bytes(8) + b"LVM2 001", "LVM2")
        for n in range(4)
    ),
    crafted("lvm2-second-metadata-area", -MIB + 4096, b" LVM2 x[5A%r0N*>" + bytes(16), "data"),
    tool("lvm2", *_LVM, at=512, word="LVM2_member"),
    tool("lvm2-first-lost", *_LVM, at=SIZE - MIB, word="LVM2 metadata area", wipe=(0, 2 * MIB)),
    crafted("md-0.90", SIZE // 65536 * 65536 - 65536, b"\xfc\x4e\x2b\xa9" + struct.pack("<II", 0, 90), "RAID 0.90"),
    *(
        crafted(f"md-1.{n}", at, b"\xfc\x4e\x2b\xa9" + struct.pack("<I", 1), "RAID 1.x")
        for n, at in ((0, -8192), (1, 0), (2, 4096))
    ),
    crafted("ddf", -512, b"\xde\x11\xde\x11" + bytes(28), "DDF"),
    crafted("imsm", -1024, b"Intel Raid ISM Cfg Sig. 1.3.00", "Intel RAID"),
    crafted("promise-raid", -63 * 512, b"Promise Technology, Inc.", "data"),
    crafted("nvidia-raid", -1024, b"NVIDIA  " + bytes(8), "data"),
    crafted("drbd", -4096 + 60, b"\x83\x74\x02\x6b", "DRBD"),
    crafted("bcache", 4096 + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"), "bcache"),
    crafted("zfs-label-0", 0, _uberblock(), "ZFS"),
    crafted("zfs-label-2", SIZE - 512 * KIB, _uberblock(), "ZFS"),
    crafted("zfs-label-3", SIZE - 256 * KIB, _uberblock(), "ZFS"),
    crafted("bluestore", 0, b"bluestore block device\n", "BlueStore"),
    crafted("bluestore-1GiB-copy", GIB, b"bluestore block device\n", "BlueStore"),
    crafted("bluestore-10GiB-copy", 10 * GIB, b"bluestore block device\n", "BlueStore"),
    crafted("oracle-asm", 32, b"ORCLDISK", "ASM"),
    crafted("oracle-asm-backup", 8 * MIB - 8192, b"\1\x82\1\1" + bytes(28) + b"ORCLDISK", "ASM"),
    crafted("bitlocker", 0, b"\xeb\x58\x90-FVE-FS-", "BitLocker"),
    crafted("suspended-swap", 4096 - 10, b"S1SUSPEND\0", "swap"),
    crafted("dm-crypt-plain", 0, _noise(4 * MIB), "data"),
    Kind("dm-crypt-plain-extent", lambda disk: put(disk, 5 * GIB, _noise(600 * MIB // 4) * 4), None, "data"),
]
_GPT = "label: gpt\n,1G,L\n,,L\n"
_SGDISK = ("sgdisk", "--new", "1:0:+1G", "--new", "2:0:0", "{}")
TABLES = [
    table("mbr", "label: dos\n,,83\n", 440, "dos"),
    crafted("mbr-empty", 510, b"\x55\xaa", "MBR"),
    crafted("mbr-boot-code", 0, b"\xeb\x63\x90" + _noise(437), "data"),
    table("gpt", _GPT, 512, "gpt"),
    tool("gpt-by-sgdisk", *_SGDISK, at=512, word="gpt"),
    tool("gpt-by-sgdisk-backup-only", *_SGDISK, at=SIZE - 512, word="gpt", wipe=(0, MIB)),
    table("gpt-primary-only", _GPT, 512, "gpt", (SIZE - 40 * 512, 40 * 512)),
    table("gpt-backup-only", _GPT, -512, "gpt", (0, MIB)),
    table("gpt-headers-lost", _GPT, 1024, "", (0, 1024), (SIZE - 512, 512)),
    table("gpt-backup-entries-only", _GPT, -33 * 512, "", (0, MIB), (SIZE - 512, 512)),
    table("protective-mbr-only", _GPT, 446, "", (512, MIB), (SIZE - 40 * 512, 40 * 512)),
    table("sun", "label: sun\n,,\n", 508, ""),
    table("sgi", "label: sgi\n,,\n", 0, ""),
    crafted("mac", 0, b"ER\2\0" + bytes(508) + b"PM\0\0", "mac"),
    crafted("atari-text-label", 0x1C6, b"\1LNX" + struct.pack(">II", 2, 100), "data"),
]
RAW = [
    crafted("postgres-page", 0, struct.pack("<QHHHHHH", 1 << 32, 0, 0, 24, 8192, 8192, 0x2004), "data"),
    crafted("innodb-page", 16384, struct.pack(">IIII", 0x1234, 1, 0xFFFFFFFF, 0xFFFFFFFF), "data"),
    crafted("tar", 0, b"etc/passwd" + bytes(247) + b"ustar  \0", "data"),
    crafted("last-sector-text", -512, b"asset tag 4711", "data"),
    crafted("one-byte-in-the-first-MiB", 777_777, b"\1", "data"),
    crafted("one-byte-in-the-last-MiB", -300_001, b"\1", "data"),
    crafted("one-byte-in-the-second-MiB", MIB + 99_999, b"\x80", "data"),
    crafted("all-ones", 0, b"\xff" * MIB, "data"),
    crafted("grub-in-the-gap", 512, _noise(20000), "data"),
    Kind("one-percent-of-blocks", lambda disk: _scatter(disk, 100), None, "check: bytes"),
]


def _scatter(disk: LoopDisk, each: int) -> None:
    """A block of noise in every so many, at random: a used fraction of 1/each."""
    queue = Path(f"/sys/block/{Path(disk.device).name}/queue/rotational")
    queue.write_text("0")  # an SSD: 1024 samples, of which 1 % of used blocks escapes with a chance of 0.00003
    dice, data = random.Random(11), _noise(4096)  # noqa: S311
    with disk.image.open("r+b") as file:
        for number in range(SIZE // 4096 // each):
            file.seek((number * each + dice.randrange(each)) * 4096)
            file.write(data)


KINDS = [*FILESYSTEMS, *CONTAINERS, *TABLES, *RAW]
