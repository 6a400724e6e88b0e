"""Where known formats keep their superblocks and the copies of them: a table, with the source of each number.

A prober reads only the first superblock of a format. If it was overwritten, the filesystem can still be restored from a
copy, so the scan reads all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BLOCK = 4096
_BCACHEFS = bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef")


class Superblock(NamedTuple):
    """The magic string of a superblock and its place.

    Attributes:
        offset: of the magic string, in bytes from the start of the volume, or from its end if negative.
        source: the document or source file that defines the offset.
    """

    format: str
    magic: bytes
    offset: int
    source: str


KNOWN = (
    Superblock("LUKS header", b"LUKS\xba\xbe", 0, "LUKS2 on-disk format 1.1.1, 2.1"),
    *(
        Superblock("second LUKS2 header", b"SKUL\xba\xbe", 0x4000 << shift, "LUKS2 on-disk format 1.1.1, table 1")
        for shift in range(9)  # 16 KiB to 4 MiB
    ),
    *(
        Superblock("LVM2 label", b"LABELONE", sector * 512, "lvm2 lib/label/label.h: any of the first 4 sectors")
        for sector in range(4)
    ),
    *(
        Superblock("LVM2 metadata area", b" LVM2 x[5A%r0N*>", place + 4, "lvm2 lib/format_text/layout.h: mda_header")
        for place in (4096, -MIB)
    ),
    Superblock("ext2/3/4 superblock", b"\x53\xef", 1024 + 56, "linux fs/ext4/ext4.h"),
    Superblock("xfs superblock", b"XFSB", 0, "linux fs/xfs/libxfs/xfs_format.h"),
    *(
        Superblock("btrfs superblock", b"_BHRfS_M", place + 0x40, "btrfs-dev-docs, On-disk Format")
        for place in (64 * KIB, 64 * MIB, 256 * GIB)
    ),
    *(
        Superblock("bcachefs or bcache superblock", magic, 4096 + 24, "linux fs/bcachefs/bcachefs_format.h")
        for magic in (_BCACHEFS, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"))
    ),
    *(
        Superblock(
            "md RAID 1.x superblock",
            b"\xfc\x4e\x2b\xa9",
            place,
            "md(4): 1.1 at 0, 1.2 at 4 KiB, 1.0 8 KiB from the end",
        )
        for place in (0, 4096, -8192)
    ),
    Superblock("DDF RAID anchor", b"\xde\x11\xde\x11", -512, "SNIA DDF 2.0, 5.1"),
    Superblock("Intel RAID (IMSM) anchor", b"Intel Raid ISM Cfg Sig. ", -1024, "mdadm super-intel.c"),
    *(
        Superblock(
            "BlueStore label",
            b"bluestore block device\n",
            place,
            "ceph src/os/bluestore/BlueStore.cc: bdev_label_positions",
        )
        for place in (0, GIB, 10 * GIB, 100 * GIB, 1000 * GIB)
    ),
    *(
        Superblock("VMFS", magic, place, "libblkid vmfs.c")
        for magic, place in (
            (b"\x0d\xd0\x01\xc0", 0x100000),
            (b"\x5e\xf1\xab\x2f", 0x200000),
            (b"\x5e\xf1\xab\x2f", 0x1300000),
        )
    ),
    *(
        Superblock(
            "Oracle ASM disk header",
            b"ORCLDISK",
            place + 32,
            "Oracle kfed: block 0; its copy is the last but one of AU 1",
        )
        for place in (0, *(2 * unit * MIB - 2 * BLOCK for unit in (1, 2, 4, 8, 16, 32, 64)))
    ),
    Superblock("BitLocker boot sector", b"-FVE-FS-", 3, "libbde, BDE format"),
    Superblock("NTFS boot sector", b"NTFS    ", 3, "linux fs/ntfs3/ntfs.h"),
    Superblock("NTFS backup boot sector", b"NTFS    ", 3 - 512, "linux fs/ntfs3/super.c: the last sector"),
    Superblock("NTFS master file table", b"FILE", 3 * GIB, "mkntfs and Windows: cluster 786432 of 4 KiB"),
    Superblock("exFAT boot sector", b"EXFAT   ", 3, "exFAT specification 3.1"),
    Superblock("FAT32 boot sector", b"FAT32   ", 82, "fatgen103, 3.3"),
    Superblock("FAT32 backup boot sector", b"FAT32   ", 6 * 512 + 82, "fatgen103, 3.3: sector 6"),
    Superblock("APFS container", b"NXSB", 32, "Apple File System Reference, nx_superblock_t"),
    *(
        Superblock("HFS+ volume header", magic, place, "Apple TN1150: 1024 from the start and from the end")
        for magic in (b"H+\0\4", b"HX\0\5")
        for place in (1024, -1024)
    ),
    *(
        Superblock("f2fs superblock", b"\x10\x20\xf5\xf2", place, "linux include/linux/f2fs_fs.h")
        for place in (1024, 5120)
    ),
    *(Superblock("nilfs2 superblock", b"\x34\x34", place + 6, "linux nilfs2_ondisk.h") for place in (1024, -4096)),
    *(Superblock("jfs superblock", b"JFS1", place, "linux fs/jfs/jfs_filsys.h") for place in (0x8000, 0xF000)),
    *(
        Superblock("reiserfs superblock", magic, place + 52, "reiserfs on-disk format")
        for magic in (b"ReIsErFs", b"ReIsEr2Fs", b"ReIsEr3Fs")
        for place in (8 * KIB, 64 * KIB)
    ),
    Superblock("gfs2 superblock", b"\x01\x16\x19\x70", 64 * KIB, "linux gfs2_ondisk.h"),
    *(
        Superblock("ocfs2 superblock", b"OCFSV2", place, "linux fs/ocfs2/ocfs2_fs.h: block 2")
        for place in (1024, 2048, 4096, 8192)
    ),
    *(
        Superblock("ocfs2 backup superblock", b"OCFSV2", GIB << 2 * index, "ocfs2_fs.h: OCFS2_BACKUP_SB_START")
        for index in range(6)  # 1 GiB to 1 TiB
    ),
    Superblock("squashfs", b"hsqs", 0, "linux fs/squashfs/squashfs_fs.h"),
    Superblock("erofs superblock", b"\xe2\xe1\xf5\xe0", 1024, "linux fs/erofs/erofs_fs.h"),
    Superblock("ISO 9660 volume descriptor", b"CD001", 32 * KIB + 1, "ECMA-119"),
    Superblock("UDF volume recognition", b"BEA01", 32 * KIB + 1, "ECMA-167"),
    *(
        Superblock("swap signature", magic, page - 10, "linux include/linux/swap.h, at the end of the first page")
        for page in (4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB)
        for magic in (b"SWAPSPACE2", b"SWAP-SPACE", b"S1SUSPEND\0")
    ),
    Superblock("ReFS boot sector", b"ReFS\0\0\0\0", 3, "libfsrefs"),
    Superblock("GPT header", b"EFI PART", 512, "UEFI 2.10, 5.3.2"),
    Superblock("GPT header", b"EFI PART", 4096, "UEFI 2.10, 5.3.2, sectors of 4096"),
    Superblock("backup GPT header", b"EFI PART", -512, "UEFI 2.10, 5.3.2"),
    Superblock("backup GPT header", b"EFI PART", -4096, "UEFI 2.10, 5.3.2, sectors of 4096"),
    *(
        Superblock("ZFS uberblock", magic, place + 128 * KIB, "ZFS on-disk specification 1.2.1: four labels of 256 KiB")
        for magic in (bytes.fromhex("0cb1ba0000000000"), bytes.fromhex("0000000000bab10c"))
        for place in (0, 256 * KIB, -512 * KIB, -256 * KIB)
    ),
    *(
        Superblock("ZFS label", bytes.fromhex("010100000000000000000001"), place + 16 * KIB, "OpenZFS vdev_impl.h, XDR")
        for place in (0, 256 * KIB, -512 * KIB, -256 * KIB)
    ),
    *(
        Superblock("DRBD metadata", b"\x83\x74\x02" + version, 60 - 4096, "drbd-headers drbd_meta_data.h")
        for version in (b"\x6b", b"\x6c", b"\x6d")  # 8, 8.4 not cleanly closed, 9
    ),
    *(
        Superblock("Windows dynamic disk (LDM)", b"PRIVHEAD", sector * 512, "linux block/partitions/ldm.h: OFF_PRIV")
        for sector in (6, 1856 - 2048, 2047 - 2048)
    ),
    Superblock(
        "md RAID 0.90 superblock", b"\xfc\x4e\x2b\xa9", -64 * KIB, "md(4): 64 KiB from the end, aligned down to 64 KiB"
    ),
    Superblock("MBR", b"\x55\xaa", 510, "UEFI 2.10, 5.2.1"),
)

# The first block groups with a backup of the ext superblock (sparse_super: powers of 3, 5 and 7; ext4(5)).
_EXT_GROUPS = (1, 3, 5, 7, 9, 25, 27, 49, 81, 125)
_EXT_BLOCKS = tuple(KIB << shift for shift in range(7))  # 1 KiB to 64 KiB
_EXT_LARGEST = (1 << 16) - 8  # blocks of a group: e2fsprogs ext2_fs.h, EXT2_MAX_BLOCKS_PER_GROUP
# mkfs.xfs makes 4 allocation groups on most disks, and groups of 1 TiB less a block on larger ones. Since xfsprogs
# 6.13, it makes as many as the machine has CPUs on an SSD. On a disk that reports a stripe, it makes 16 or 32, each
# rounded to whole stripe units and perhaps one unit smaller.
_XFS_GROUPS = 4
_XFS_LARGEST = (1 << 40) - BLOCK
_XFS_CPUS = (2, 3, 5, 6, 7, 8, 10, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 96, 128)
_XFS_STRIPED = (16, 32)
_XFS_UNITS = tuple(KIB << shift for shift in range(2, 11))  # 4 KiB to 1 MiB
# The last superblock of bcachefs is at the start of a bucket: the last one with 1 MiB from there to the end.
_BUCKETS = tuple(KIB << shift for shift in range(7, 13))  # 128 KiB to 4 MiB


def _ext_backups() -> Iterator[Superblock]:
    """The backups in the first groups.

    The bitmap of a group is one block, so a group has 8 blocks, or clusters, for each byte of a block; at most
    `_EXT_LARGEST`.
    """
    for block in _EXT_BLOCKS:
        name = f"ext2/3/4 backup superblock (block size {block}, group {{}})"
        for length in {8 * block, min(8 * block, _EXT_LARGEST)}:
            for group in _EXT_GROUPS:
                start = (group * length + (block == KIB)) * block  # 1 KiB blocks start at block 1
                yield Superblock(name.format(group), b"\x53\xef", start + 56, "linux fs/ext4/ext4.h, ext4(5)")


def _xfs_groups(size: int) -> Iterator[Superblock]:
    """Groups 1 to 3 of the usual four, and group 1 of every other geometry."""
    length = min(_group(size, _XFS_GROUPS), _XFS_LARGEST)
    places = {group * length: group for group in range(1, _XFS_GROUPS)}
    places |= dict.fromkeys((_group(size, count) for count in _XFS_CPUS), 1)
    places |= dict.fromkeys(_xfs_striped(size), 1)
    for place, group in places.items():
        name = f"xfs superblock of allocation group {group}"
        yield Superblock(name, b"XFSB", place, "linux xfs_format.h, mkfs.xfs(8), xfsprogs mkfs/xfs_mkfs.c")


def _xfs_striped(size: int) -> Iterator[int]:
    """Possible sizes of a group in bytes: whole stripe units, up to one less or two more (align_ag_geometry)."""
    for count in _XFS_STRIPED:
        for unit in _XFS_UNITS:
            down = size // count // unit * unit
            yield from (down - unit, down, down + unit, down + 2 * unit)


def _group(size: int, count: int) -> int:
    """The size of each of `count` groups in bytes, rounded up to whole blocks."""
    return -(-size // count // BLOCK) * BLOCK


def _bcachefs_ends(size: int) -> Iterator[Superblock]:
    for bucket in _BUCKETS:
        place = (size - MIB) // bucket * bucket
        yield Superblock("bcachefs last superblock", _BCACHEFS, place + 24, "bcachefs-tools: bch2_sb_layout_init")


def rows(size_bytes: int) -> Iterator[Superblock]:
    """All superblocks that a volume of that size may have; the places of some copies depend on the size."""
    yield from (*KNOWN, *_ext_backups(), *_xfs_groups(size_bytes), *_bcachefs_ends(size_bytes))
