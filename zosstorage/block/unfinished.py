"""What partitions with the in-progress flag carry, read by our own code.

The flag says that whatever zosstorage made in the partition is worthless. It does not cover what another program made
there, nor files that somebody stored on a filesystem of ours before it was finished.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage import filesystems
from zosstorage.block import locations
from zosstorage.block.gpt import MIB
from zosstorage.errors import ToolError, UnreadableFilesystemError
from zosstorage.model import PartitionKind
from zosstorage.system import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zosstorage.block.superblocks import Superblock
    from zosstorage.model import Content

# The types of filesystem that zosstorage makes in a partition of each kind.
WANTED = {PartitionKind.ESP: {"vfat"}, PartitionKind.DATA: filesystems.DATA_TYPES}
# The formats of `superblocks` that can be a copy of a superblock of ours: the type of the filesystem, and the byte of
# its superblock at which the magic string is. An interrupted format may leave copies without a first superblock:
# `bcachefs format` writes the last copy first.
_OWN_FORMATS = {
    "btrfs superblock": ("btrfs", 0x40),
    "bcachefs or bcache superblock": ("bcachefs", 24),
    "bcachefs last superblock": ("bcachefs", 24),
}
# Bytes at the start of a partition that the mkfs of a type leaves zero: btrfs starts with its superblock, bcachefs with
# the list of its superblocks in sector 7 (bcachefs_format.h, BCH_SB_LAYOUT_SECTOR), FAT with a boot sector.
_ZERO_BEFORE = {"vfat": 0, "btrfs": 65536, "bcachefs": 3584}
# The same for a partition in which no mkfs came as far as a superblock.
_ZERO_WITHOUT = {PartitionKind.ESP: 512, PartitionKind.DATA: 3584}
HINT = "mount it read-only and inspect it; save what is needed, remove it from there, and run again"


@frozen(eq=False)
class Flagged:
    """A partition with the in-progress flag.

    Attributes:
        at: reads (offset, length) in bytes of the partition; raises UnreadableFilesystemError if the read fails.
        node: its device node, for the tools that may be needed to read it. If it is empty, no tool may be started: what
            only a tool can read is then left to a later check, which runs before anything is written to the partition.
    """

    kind: PartitionKind
    size_bytes: int
    at: Callable[[int, int], bytes]
    node: str = ""


def problems(parts: Sequence[Flagged]) -> list[str]:
    """For each partition, what it carries that must not be overwritten; empty if there is nothing.

    The members of one filesystem are examined together.
    """
    seen = [_examine(part) for part in parts]
    found = [problem for _, problem in seen]
    readable = [number for number, (content, problem) in enumerate(seen) if content and not problem]
    for key in {_filesystem(seen[number][0]) for number in readable}:
        members = [number for number in readable if _filesystem(seen[number][0]) == key]
        use = _use([parts[number] for number in members], key[0])
        for number in members:
            found[number] = use
    return found


def _filesystem(content: Content | None) -> tuple[str, str]:
    """Type and UUID, which the members of one filesystem have in common."""
    return (content.type, content.uuid) if content else ("", "")


def _examine(part: Flagged) -> tuple[Content | None, str]:
    """The first superblock of a partition, if it is of a type of ours, and the problem with the partition."""
    try:
        content = filesystems.read(part.at)
        problem = _content_problem(part.kind, content) if content else _copies_problem(part)
        return content, problem or _start_problem(part, content)
    except UnreadableFilesystemError as error:
        return None, _unreadable(error)


def _content_problem(kind: PartitionKind, content: Content) -> str:
    """Why a superblock is not one that zosstorage makes in a partition of that kind; empty if it is."""
    label = filesystems.LABELS[content.type]
    if content.type not in WANTED[kind]:
        return f"{content.type}, which is not made there"
    return "" if content.label == label else f"{content.type} labelled {content.label!r}, not {label}"


def _start_problem(part: Flagged, content: Content | None) -> str:
    """What stands at the start of a partition where zosstorage leaves zeros: an archive, say, or a boot loader."""
    length = _ZERO_BEFORE[content.type] if content else _ZERO_WITHOUT[part.kind]
    data = part.at(0, length) if length else b""
    offset = length - len(data.lstrip(b"\0"))
    return "" if offset == length else f"data at its byte {offset}, where zosstorage leaves zeros"


def _copies_problem(part: Flagged) -> str:
    """What is found in a partition without a first superblock of ours, apart from copies of superblocks of ours."""
    found = (_place_problem(part, offset, data) for offset, data in _known_places(part))
    return next((problem for problem in found if problem), "")


def _place_problem(part: Flagged, offset: int, data: bytes) -> str:
    """What bytes read at `offset` of a partition hold that is not ours; empty if nothing."""
    found = locations.find(offset, data, part.size_bytes)
    for place, row in found:
        if row.format in _OWN_FORMATS and (problem := _copy_problem(part, place, row)):
            return problem
    name = found[0][1].format if found else ""
    return "" if name in _OWN_FORMATS else name


def _copy_problem(part: Flagged, place: int, row: Superblock) -> str:
    """Why a copy of a superblock, whose magic string is at byte `place`, is not one of ours; empty if it is."""
    fstype, magic_offset = _OWN_FORMATS[row.format]
    module = filesystems.module(fstype)
    shift = place - magic_offset - module.SUPERBLOCK  # the module reads where the first superblock would be
    content: Content | None = module.read(lambda offset, length: part.at(shift + offset, length))
    if content is None:  # bcache, which has its superblock where bcachefs has one
        return row.format
    problem = _content_problem(part.kind, content)
    return f"a copy of a superblock of {problem}" if problem else ""


def _known_places(part: Flagged) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of both ends of a partition and of each place where a known format keeps a superblock."""
    last = part.size_bytes - MIB
    known = ((region.offset, region.length) for region in locations.regions(part.size_bytes))
    return ((offset, part.at(offset, length)) for offset, length in ((0, MIB), (last, MIB), *known))


def _use(members: Sequence[Flagged], fstype: str) -> str:
    """What somebody stored on a filesystem of ours; empty if nothing."""
    try:
        found = _read_use(members, fstype)
    except UnreadableFilesystemError as error:
        return _unreadable(error)
    return f"{found}: somebody has used its filesystem" if found else ""


def _read_use(members: Sequence[Flagged], fstype: str) -> str:
    try:
        return filesystems.use(fstype, [part.at for part in members])
    except UnreadableFilesystemError:
        argv = filesystems.list_argv(fstype, [part.node for part in members])
        if argv is None:
            raise
        return _listed_use(argv) if all(part.node for part in members) else ""


def _listed_use(argv: Sequence[str]) -> str:
    try:
        listing = run.command(argv).stdout
    except ToolError as error:
        raise UnreadableFilesystemError(error.message) from error
    return filesystems.listed_use(listing)


def _unreadable(error: UnreadableFilesystemError) -> str:
    return f"contents that cannot be read ({error}) and that somebody may need"
