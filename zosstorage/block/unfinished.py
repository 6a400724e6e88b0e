"""What stands in partitions that carry the in-progress flag, by our own readers.

The flag says that what we made there is worthless. It says nothing of what somebody else made, nor of what a person put
on a filesystem of ours before it was finished.
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

    from zosstorage.model import Content

# What we make in a partition of each kind, and how `locations` calls it.
WANTED = {PartitionKind.ESP: {"vfat"}, PartitionKind.DATA: filesystems.DATA_TYPES}
# A format that was interrupted may have written copies before the first superblock.
_OWN_FORMATS = frozenset(("btrfs superblock", "bcachefs or bcache superblock", "bcachefs last superblock"))
HINT = "mount it read-only and look; once what is needed was saved and removed from it, run again"


@frozen(eq=False)
class Flagged:
    """A partition with the in-progress flag.

    Attributes:
        at: reads (offset, length) in bytes of the partition; raises UnreadableFilesystemError where it cannot.
        node: its device node, for the tools that are needed to read it; empty where none may be started: what only a
            tool can read is left to a later look then, before anything is written there.
    """

    kind: PartitionKind
    size_bytes: int
    at: Callable[[int, int], bytes]
    node: str = ""


def problems(parts: Sequence[Flagged]) -> list[str]:
    """For each partition what stands there that is not ours to overwrite; empty where nothing does.

    Members of one filesystem are looked at together.
    """
    seen = [_look(part) for part in parts]
    found = [problem for _, problem in seen]
    good = [number for number, (content, problem) in enumerate(seen) if content and not problem]
    for key in {_filesystem(seen[number][0]) for number in good}:
        together = [number for number in good if _filesystem(seen[number][0]) == key]
        used = _use([parts[number] for number in together], key[0])
        for number in together:
            found[number] = used
    return found


def _filesystem(content: Content | None) -> tuple[str, str]:
    return (content.type, content.uuid) if content else ("", "")


def _look(part: Flagged) -> tuple[Content | None, str]:
    """The superblock of ours in a partition, and why what the partition carries is not what we make there."""
    try:
        content = filesystems.read(part.at)
        return content, _foreign(part, content)
    except UnreadableFilesystemError as error:
        return None, _unreadable(error)


def _foreign(part: Flagged, content: Content | None) -> str:
    """Why what a partition carries is not what we make there."""
    if content:
        label = filesystems.LABELS[content.type]
        if content.type not in WANTED[part.kind]:
            return f"{content.type}, which is not made there"
        return "" if content.label == label else f"{content.type} labelled {content.label!r}, not {label}"
    names = (locations.identify(offset, data, part.size_bytes) for offset, data in _known_places(part))
    return next((name for name in names if name and name not in _OWN_FORMATS), "")


def _known_places(part: Flagged) -> Iterator[tuple[int, bytes]]:
    """Both ends of a partition and where known formats keep superblocks in it: (offset, bytes)."""
    last = part.size_bytes - MIB
    known = ((region.offset, region.length) for region in locations.regions(part.size_bytes))
    return ((offset, part.at(offset, length)) for offset, length in ((0, MIB), (last, MIB), *known))


def _use(members: Sequence[Flagged], fstype: str) -> str:
    """What somebody put on a filesystem of ours."""
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
    return f"contents that cannot be read ({error}) and may be somebody's"
