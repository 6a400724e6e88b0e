"""What a btrfs holds, read from its trees without a mount: a mount may replay a log, which writes.

The structures are those of the btrfs documentation ("On-disk Format") and of linux include/uapi/linux/btrfs_tree.h. All
integers are little-endian; sizes and addresses are in bytes. Each node is checked before it is used: address, fsid,
generation and level, and the checksum if Python has the algorithm.
"""

from __future__ import annotations

import hashlib
import struct
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from zosstorage.errors import UnreadableFilesystemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    At = Callable[[int, int], bytes]

SUPERBLOCK, _SUPERBLOCK_BYTES = 65536, 4096
_HEADER, _KEY, _ITEM, _POINTER = 101, struct.Struct("<QBQ"), struct.Struct("<QBQII"), struct.Struct("<QBQQQ")
_CHUNK, _STRIPE = struct.Struct("<QQQQIIIHH"), struct.Struct("<QQ16s")
# A new filesystem has 10 nodes, one with four empty subvolumes 14. One with more nodes than this is in use.
_MOST_NODES = 256
# Key types.
_INODE, _INODE_REF, _ORPHAN, _DIR, _DIR_INDEX, _ROOT, _BACKREF, _CHUNK_ITEM = 1, 12, 48, 84, 96, 132, 144, 228
# Object ids: the chunk tree, the top-level subvolume, the first and the last id of other subvolumes.
_CHUNK_TREE, _TOP, _FIRST, _LAST = 3, 5, 256, (1 << 64) - 256
# Trees that mkfs.btrfs or a mount makes: root, extent, chunk, device, top-level subvolume, checksum, UUID, free space,
# block group, raid stripe, and data relocation.
_OWN_TREES = frozenset((1, 2, _CHUNK_TREE, 4, _TOP, 7, 9, 10, 11, 12, (1 << 64) - 9))
# Chunk profiles, as bits of the type. With those of _COPIES (RAID1, DUP, RAID1C3, RAID1C4) each stripe is a full copy,
# as with single, which has no bit.
_COPIES = 1 << 4 | 1 << 5 | 1 << 9 | 1 << 10
_PROFILES = 0x7F8
# The structures before a name: ROOT_BACKREF (btrfs_root_ref) and DIR_ITEM or DIR_INDEX (btrfs_dir_item).
_REF, _ENTRY = struct.Struct("<QQH"), struct.Struct("<QBQQHHB")


class Super(NamedTuple):
    """The fields of a superblock that lead to the trees.

    Attributes:
        generation: the generation of the last commit.
        root: (logical address, level, generation) of the root tree.
        chunks: the same of the chunk tree.
        log_root: the logical address of the log tree; 0 if there is none.
        node_bytes: the size of a node in bytes.
        checksum: the number of the checksum algorithm.
        fsid: the UUID of the filesystem.
        devid: the number of this device.
        system_chunks: the chunks of the chunk tree itself, as (key, chunk item) pairs.
        never_mounted: whether no kernel has committed to the filesystem.
    """

    generation: int
    root: tuple[int, int, int]
    chunks: tuple[int, int, int]
    log_root: int
    node_bytes: int
    checksum: int
    fsid: bytes
    devid: int
    system_chunks: bytes
    never_mounted: bool


def read_super(at: At) -> Super:
    """The superblock of a member.

    A kernel's first commit sets the generation of the UUID tree, which mkfs.btrfs leaves at 0 (linux
    fs/btrfs/transaction.c, BTRFS_FS_UPDATE_UUID_TREE_GEN).
    """
    block = at(SUPERBLOCK, _SUPERBLOCK_BYTES)
    generation, root, chunk_root, log_root = struct.unpack_from("<QQQQ", block, 0x48)
    (node_bytes,) = struct.unpack_from("<I", block, 0x94)
    size, chunk_generation = struct.unpack_from("<IQ", block, 0xA0)
    checksum, root_level, chunk_level = struct.unpack_from("<HBB", block, 0xC4)
    return Super(
        generation,
        (root, root_level, generation),
        (chunk_root, chunk_level, chunk_generation),
        log_root,
        node_bytes,
        checksum,
        block[0x20:0x30],
        struct.unpack_from("<Q", block, 0xC9)[0],
        block[0x32B : 0x32B + min(size, 2048)],
        never_mounted=struct.unpack_from("<Q", block, 0x233)[0] == 0,
    )


def use(members: Sequence[At], names: Sequence[str]) -> str:
    """What is on a filesystem besides empty subvolumes with some names; empty if nothing is.

    Args:
        members: a reader for each device that is present; it takes (offset, length) in bytes.
        names: the names of the subvolumes.

    Raises:
        UnreadableFilesystemError: the trees are damaged or incomplete, or have a form that this reader does not know.
        Exception: a reader raised it.
    """
    try:
        trees = _Trees(members)
        return "a log tree: files were written and synced" if trees.super.log_root else _use(trees, names)
    except (struct.error, IndexError) as error:
        raise UnreadableFilesystemError(f"its superblock or a node is malformed: {error}") from error


def _use(trees: _Trees, names: Sequence[str]) -> str:
    roots: dict[int, tuple[int, int, int]] = {}
    subvolumes: dict[int, str] = {}
    for (number, kind, offset), data in trees.items(trees.super.root):
        if kind == _ORPHAN:
            return "a deleted subvolume"
        if kind == _BACKREF and offset == _TOP:
            subvolumes[number] = _name(data[_REF.size :], _REF.unpack_from(data)[2])
        if kind == _ROOT:
            if not (number in _OWN_TREES or _FIRST <= number <= _LAST):
                return f"the tree {number}, which neither mkfs.btrfs nor mount makes"
            if any(data[263:279]):
                return f"a snapshot, subvolume {number}"
            roots[number] = _root(data)
    for number, root in roots.items():
        if _FIRST <= number <= _LAST and subvolumes.get(number) not in names:
            return f"a subvolume '{subvolumes.get(number, number)}'"
        if (number == _TOP or _FIRST <= number <= _LAST) and (found := _entries(trees, root, number, names)):
            return found
    return ""


def _root(item: bytes) -> tuple[int, int, int]:
    """(logical address, level, generation) of the root node of a tree, from its ROOT_ITEM."""
    generation, _, address = struct.unpack_from("<QQQ", item, 160)
    return (address, item[238], generation)


def _entries(trees: _Trees, root: tuple[int, int, int], number: int, names: Sequence[str]) -> str:
    """What is in a subvolume besides its root directory and, in the top-level one, the subvolumes with some names."""
    where = "" if number == _TOP else f" in subvolume {number}"
    for (inode, kind, _), data in trees.items(root):
        if kind in (_DIR, _DIR_INDEX):
            _, target, _, _, _, length, _ = _ENTRY.unpack_from(data)
            name = _name(data[_ENTRY.size :], length)
            if number != _TOP or inode != _FIRST or target != _ROOT or name not in names:
                return f"a file or directory '{name}'{where}"
        elif inode != _FIRST or kind not in (_INODE, _INODE_REF):
            return f"an item of inode {inode} (type {kind}){where}"
    return ""


def _name(data: bytes, length: int) -> str:
    return data[:length].decode("utf-8", "replace")


class _Trees:
    """The trees of a filesystem, as far as they can be read from the devices that are present."""

    def __init__(self, members: Sequence[At]) -> None:
        supers = [(read_super(at), at) for at in members]
        self.super = max((one for one, _ in supers), key=lambda one: one.generation)
        self.members = {one.devid: at for one, at in supers}
        self.nodes = 0
        if not 4096 <= self.super.node_bytes <= 65536:  # noqa: PLR2004 - BTRFS_MAX_METADATA_BLOCKSIZE
            raise UnreadableFilesystemError(f"its superblock has an invalid node size, {self.super.node_bytes} bytes")
        self.chunks = list(_system_chunks(self.super.system_chunks))
        self.chunks += [
            _chunk(start, data) for (_, kind, start), data in self.items(self.super.chunks) if kind == _CHUNK_ITEM
        ]

    def items(self, root: tuple[int, int, int]) -> Iterator[tuple[tuple[int, int, int], bytes]]:
        """The (key, data) of all items of a tree, whose root node has this (logical address, level, generation).

        Raises:
            UnreadableFilesystemError: a node of the tree cannot be read.
        """
        address, level, generation = root
        node = self._node(address, level, generation)
        (count,) = struct.unpack_from("<I", node, 96)
        for number in range(count):
            if level:
                *_, child, child_generation = _POINTER.unpack_from(node, _HEADER + number * _POINTER.size)
                yield from self.items((child, level - 1, child_generation))
            else:
                *key, start, size = _ITEM.unpack_from(node, _HEADER + number * _ITEM.size)
                if _HEADER + start + size > len(node):
                    raise UnreadableFilesystemError(f"an item of the node at {address} is outside of the node")
                yield (key[0], key[1], key[2]), node[_HEADER + start : _HEADER + start + size]

    def _node(self, address: int, level: int, generation: int) -> bytes:
        """The node at a logical address: its first valid copy."""
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise UnreadableFilesystemError("it has more nodes than a new filesystem")
        for at, offset in self._copies(address):
            node = at(offset, self.super.node_bytes)
            if self._is_valid(node, address, level, generation):
                return node
        raise UnreadableFilesystemError(f"no device that is present has a valid copy of the node at {address}")

    def _copies(self, address: int) -> Iterator[tuple[At, int]]:
        """Where the copies of a logical address are: (reader of a device, offset on it in bytes)."""
        for start, length, kind, stripes in self.chunks:
            if start <= address < start + length:
                if kind & _PROFILES & ~_COPIES:
                    raise UnreadableFilesystemError("its metadata are striped over several devices")
                for devid, offset in stripes:
                    if devid in self.members:
                        yield self.members[devid], offset + address - start

    def _is_valid(self, node: bytes, address: int, level: int, generation: int) -> bool:
        """Whether a node is the expected one, and its checksum is right."""
        own_address, _, _, own_generation = struct.unpack_from("<QQ16sQ", node, 48)
        same = (node[32:48], own_address, own_generation, node[100]) == (self.super.fsid, address, generation, level)
        expected = _checksum(self.super.checksum, node[32:])
        return same and (expected is None or node[: len(expected)] == expected)


def _system_chunks(array: bytes) -> Iterator[tuple[int, int, int, list[tuple[int, int]]]]:
    """The chunks that are listed in the superblock: those that the chunk tree is in."""
    offset = 0
    while offset + _KEY.size + _CHUNK.size <= len(array):
        _, _, start = _KEY.unpack_from(array, offset)
        chunk = _chunk(start, array[offset + _KEY.size :])
        yield chunk
        offset += _KEY.size + _CHUNK.size + _STRIPE.size * len(chunk[3])


def _chunk(start: int, data: bytes) -> tuple[int, int, int, list[tuple[int, int]]]:
    """(logical address, length, type, [(devid, offset on that device)]) of a chunk; `start` is its logical address."""
    length, _, _, kind, _, _, _, count, _ = _CHUNK.unpack_from(data)
    stripes = [_STRIPE.unpack_from(data, _CHUNK.size + number * _STRIPE.size)[:2] for number in range(count)]
    return start, length, kind, stripes


def _checksum(kind: int, data: bytes) -> bytes | None:
    """The checksum of a node: CRC-32C, SHA-256 or BLAKE2b; None for xxHash64, which Python does not have."""
    match kind:
        case 0:
            return _crc32c(data).to_bytes(4, "little")
        case 2:
            return hashlib.sha256(data).digest()
        case 3:
            return hashlib.blake2b(data, digest_size=32).digest()
    return None


def _crc32c(data: bytes) -> int:
    """CRC-32C (RFC 3720, appendix B.4), reflected polynomial 82F63B78h."""
    table, value = _crc_table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


@cache
def _crc_table() -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        return value

    return tuple(map(entry, range(256)))
