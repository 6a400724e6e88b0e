"""What a btrfs holds, read from its trees without a mount: a mount may replay a log, which writes.

Structures as in the documentation of btrfs ("On-disk Format") and linux include/uapi/linux/btrfs_tree.h. All integers
are little-endian, all sizes and places bytes. Every node is checked before it is believed: its place, its filesystem,
its generation and, where the checksum is one that Python has, that.
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
# A fresh filesystem has 10 nodes, and one with four empty subvolumes 14; whoever has more has put something there.
_MOST_NODES = 256
# Key types.
_INODE, _INODE_REF, _ORPHAN, _DIR, _DIR_INDEX, _ROOT, _BACKREF, _CHUNK_ITEM = 1, 12, 48, 84, 96, 132, 144, 228
# Object ids. Trees that mkfs.btrfs or a mount makes: extents, chunks, devices, the top subvolume, checksums, UUIDs,
# free space, block groups, stripes, and the inodes of balance.
_CHUNK_TREE, _TOP, _FIRST, _LAST = 3, 5, 256, (1 << 64) - 256
_OWN_TREES = frozenset((1, 2, _CHUNK_TREE, 4, _TOP, 7, 9, 10, 11, 12, (1 << 64) - 9))
# Chunks whose stripes are each a whole copy: single, RAID1, DUP, RAID1C3, RAID1C4.
_COPIES = 1 << 4 | 1 << 5 | 1 << 9 | 1 << 10
_PROFILES = 0x7F8
# How a subvolume's name is kept: behind a ROOT_BACKREF, and behind a DIR_ITEM.
_REF, _ENTRY = struct.Struct("<QQH"), struct.Struct("<QBQQHHB")


class Super(NamedTuple):
    """Of a superblock, what leads to the trees; `never_mounted`: no kernel has ever committed to the filesystem."""

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
    """What somebody put on a filesystem besides empty subvolumes of some names; empty if nothing.

    `members` are those of its devices that are there: each reads (offset, length) in bytes of one.

    Raises:
        UnreadableFilesystemError: the trees cannot be read, or not by this reader.
        Exception: what the reading of a member raises.
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
            return "a subvolume that was deleted"
        if kind == _BACKREF and offset == _TOP:
            subvolumes[number] = _name(data[_REF.size :], _REF.unpack_from(data)[2])
        if kind == _ROOT:
            if not (number in _OWN_TREES or _FIRST <= number <= _LAST):
                return f"the tree {number}, which only an operator's command makes"
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
    """(place, level, generation) of a tree by its ROOT_ITEM."""
    generation, _, place = struct.unpack_from("<QQQ", item, 160)
    return (place, item[238], generation)


def _entries(trees: _Trees, root: tuple[int, int, int], number: int, names: Sequence[str]) -> str:
    """What is in a subvolume besides its own root directory and, in the top one, the entries of those subvolumes."""
    where = "" if number == _TOP else f" in subvolume {number}"
    for (inode, kind, _), data in trees.items(root):
        if kind in (_DIR, _DIR_INDEX):
            _, target, _, _, _, length, _ = _ENTRY.unpack_from(data)
            name = _name(data[_ENTRY.size :], length)
            if number != _TOP or inode != _FIRST or target != _ROOT or name not in names:
                return f"a file or folder '{name}'{where}"
        elif inode != _FIRST or kind not in (_INODE, _INODE_REF):
            return f"an item of inode {inode} (type {kind}){where}"
    return ""


def _name(data: bytes, length: int) -> str:
    return data[:length].decode("utf-8", "replace")


class _Trees:
    """The trees of a filesystem, as far as its members are there."""

    def __init__(self, members: Sequence[At]) -> None:
        supers = [(read_super(at), at) for at in members]
        self.super = max((one for one, _ in supers), key=lambda one: one.generation)
        self.members = {one.devid: at for one, at in supers}
        self.nodes = 0
        if not 4096 <= self.super.node_bytes <= 65536:  # noqa: PLR2004 - BTRFS_MAX_METADATA_BLOCKSIZE
            raise UnreadableFilesystemError(f"its superblock says nodes of {self.super.node_bytes} bytes")
        self.chunks = list(_system_chunks(self.super.system_chunks))
        self.chunks += [
            _chunk(start, data) for (_, kind, start), data in self.items(self.super.chunks) if kind == _CHUNK_ITEM
        ]

    def items(self, root: tuple[int, int, int]) -> Iterator[tuple[tuple[int, int, int], bytes]]:
        """The (key, data) of all items of a tree, given its (place, level, generation).

        Raises:
            UnreadableFilesystemError: a node of it cannot be read.
        """
        place, level, generation = root
        node = self._node(place, level, generation)
        (count,) = struct.unpack_from("<I", node, 96)
        for number in range(count):
            if level:
                *_, child, born = _POINTER.unpack_from(node, _HEADER + number * _POINTER.size)
                yield from self.items((child, level - 1, born))
            else:
                *key, start, size = _ITEM.unpack_from(node, _HEADER + number * _ITEM.size)
                if _HEADER + start + size > len(node):
                    raise UnreadableFilesystemError(f"an item of the node at {place} lies outside of it")
                yield (key[0], key[1], key[2]), node[_HEADER + start : _HEADER + start + size]

    def _node(self, place: int, level: int, generation: int) -> bytes:
        """A node by its logical place: the first of its copies that is what it should be."""
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise UnreadableFilesystemError("it has more nodes than a new one")
        for at, offset in self._copies(place):
            node = at(offset, self.super.node_bytes)
            if self._is(node, place, level, generation):
                return node
        raise UnreadableFilesystemError(f"no device that is here has the node at {place}")

    def _copies(self, place: int) -> Iterator[tuple[At, int]]:
        for start, length, kind, stripes in self.chunks:
            if start <= place < start + length:
                if kind & _PROFILES & ~_COPIES:
                    raise UnreadableFilesystemError("it is striped over devices")
                for devid, offset in stripes:
                    if devid in self.members:
                        yield self.members[devid], offset + place - start

    def _is(self, node: bytes, place: int, level: int, generation: int) -> bool:
        found_place, _, _, found_generation = struct.unpack_from("<QQ16sQ", node, 48)
        same = (node[32:48], found_place, found_generation, node[100]) == (self.super.fsid, place, generation, level)
        expected = _checksum(self.super.checksum, node[32:])
        return same and (expected is None or node[: len(expected)] == expected)


def _system_chunks(array: bytes) -> Iterator[tuple[int, int, int, list[tuple[int, int]]]]:
    """The chunks that the superblock itself names: those of the chunk tree."""
    at = 0
    while at + _KEY.size + _CHUNK.size <= len(array):
        _, _, start = _KEY.unpack_from(array, at)
        chunk = _chunk(start, array[at + _KEY.size :])
        yield chunk
        at += _KEY.size + _CHUNK.size + _STRIPE.size * len(chunk[3])


def _chunk(start: int, data: bytes) -> tuple[int, int, int, list[tuple[int, int]]]:
    """(logical place, length, type, [(devid, place on that device)])."""
    length, _, _, kind, _, _, _, count, _ = _CHUNK.unpack_from(data)
    stripes = [_STRIPE.unpack_from(data, _CHUNK.size + number * _STRIPE.size)[:2] for number in range(count)]
    return start, length, kind, stripes


def _checksum(kind: int, data: bytes) -> bytes | None:
    """The checksum of a node: CRC-32C, SHA-256 or BLAKE2b; None for xxHash64, which Python has not."""
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
