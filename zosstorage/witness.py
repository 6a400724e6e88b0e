"""What a rerun looks at before it says that all is done: whether everything is as it was when every state was done.

Each state tells what its `holds` looks at. The same question about the same bytes has the same answer: where nothing
differs, no state is asked again; where anything does, all of them are asked, and decide. Nothing but the standard
library's quickest modules is imported here: a rerun takes as long as its imports.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from zosstorage import __version__
from zosstorage.sha import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    # A kind and its arguments: [disks FOLDER INCLUDE EXCLUDE], [names FOLDER PREFIX], [links FOLDER], [texts FOLDER
    # NAME…], [exists PATH], [file PATH], [nodes PATH…], [bytes DEVICE [OFFSET LENGTH]…] in bytes, [mounts TARGET…].
    Look = list[Any]

FILE = "witness.json"
# So many looks are taken side by side: each may hold a device open, and a process has 1024 handles (getrlimit(2)).
_AT_ONCE = 256
_BLOCK = 4096
MESSAGE = "already done in this boot: every state still holds"
# The logging that `tell` does by itself.
LOGGING = {"level": "info", "format": "json", "file": None}
_BOOT = "/proc/sys/kernel/random/boot_id"
_MOUNTS = "/proc/self/mountinfo"
# What mountinfo writes in octal in a mount point (linux fs/proc_namespace.c, show_mountinfo).
_ESCAPED = str.maketrans({char: f"\\{ord(char):03o}" for char in " \t\n\\"})


def document(run_dir: str, sources: str, looks: Iterable[Look]) -> str:
    """What is kept beside the checkpoint, to be held against the machine by `holds`.

    Raises:
        OSError: something cannot be looked at.
        LookupError: something is not mounted.
    """
    known = [["file", _BOOT], ["file", f"{run_dir}/checkpoint.json"], *looks]
    return json.dumps({"sources": _sources(sources), "looks": known, "seen": _seen(known)}) + "\n"


def kept(run_dir: str, sources: str) -> dict[str, Any] | None:
    """What a run by these sources kept; None if none did."""
    try:
        with open(f"{run_dir}/{FILE}", "rb") as file:
            found: dict[str, Any] = json.loads(file.read())
        return found if found["sources"] == _sources(sources) else None
    except (OSError, LookupError, TypeError, ValueError):
        return None


def holds(found: dict[str, Any]) -> bool:
    """Whether boot, checkpoint and machine are what they were."""
    try:
        return bool(found["seen"] == _seen(found["looks"]))
    except (OSError, LookupError, TypeError, ValueError):  # damaged, or gone: the checkpoint and the states decide
        return False


def tell(states: Iterable[str]) -> None:
    """The one line of such a rerun, as `logs` writes it by default; a console that is gone is no failure."""
    now = time.time_ns()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9))
    shown = {
        "level": "INFO",
        "message": MESSAGE,
        "states": [*states],
        "time": f"{moment}.{now // 1000 % 10**6:06}+00:00",
    }
    try:
        sys.stderr.write(json.dumps(shown) + "\n")
    except OSError:
        return


def _sources(told: str) -> str:
    return sha256(f"{__version__} {told}".encode()).hexdigest()


def _seen(looks: Sequence[Look]) -> str:
    """SHA-256 of everything that is seen: each piece less the zeros at its end, behind its length with and without."""
    found = sha256()
    for first in range(0, len(looks), _AT_ONCE):
        walks = [(kind, _KINDS[kind](*arguments)) for kind, *arguments in looks[first : first + _AT_ONCE]]
        for kind, walk in walks:
            if kind == "bytes":
                next(walk)  # what is asked of all devices at first is there when it is read
        for _, walk in walks:
            for piece in walk:
                found.update(b"-" if piece is None else _shortened(piece))
    return found.hexdigest()


def _shortened(piece: bytes) -> bytes:
    """Most of a partition table is zeros."""
    used = piece.rstrip(b"\0")
    return b"%d:%d:" % (len(piece), len(used)) + used


def _disks(folder: str, include: list[str], exclude: list[str]) -> Iterator[bytes]:
    """The devices in sysfs whose nodes some globs name, and others do not."""
    named, left_out = _matching(include), _matching(exclude)
    for name in sorted(os.listdir(folder)):
        node = f"/dev/{name.replace('!', '/')}"
        if named(node) and not left_out(node):
            yield os.fsencode(node)


def _matching(globs: list[str]) -> Callable[[str], bool]:
    """Whether a name matches one of some globs; many of them may be names themselves."""
    names = {glob for glob in globs if not set("*?[") & set(glob)}
    others = [glob for glob in globs if glob not in names]
    return lambda name: name in names or any(fnmatchcase(name, glob) for glob in others)


def _names(folder: str, prefix: str) -> Iterator[bytes]:
    for name in sorted(os.listdir(folder)):
        if name.startswith(prefix):
            yield os.fsencode(name)


def _links(folder: str) -> Iterator[bytes]:
    """The links in the folders of a folder, and where they lead in the end."""
    for kind in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        for name in sorted(os.listdir(f"{folder}/{kind}")):
            link = f"{folder}/{kind}/{name}"
            yield os.fsencode(link)
            yield os.fsencode(os.path.realpath(link))


def _texts(folder: str, *names: str) -> Iterator[bytes | None]:
    """Attributes of sysfs, which fit into a page; None for one that is missing or cannot be read."""
    place = os.open(folder, os.O_PATH | os.O_CLOEXEC)  # a disk's folder is behind links, and it has many attributes
    try:
        for name in names:
            yield _text(name, place)
    finally:
        os.close(place)


def _text(name: str, place: int) -> bytes | None:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=place)
    except OSError:
        return None
    try:
        return os.read(handle, 4096)
    except OSError:
        return None
    finally:
        os.close(handle)


def _exists(path: str) -> Iterator[bytes | None]:
    yield b"" if os.path.exists(path) else None


def _file(path: str) -> Iterator[bytes]:
    with open(path, "rb", opener=_without_waiting) as file:
        yield file.read()


def _without_waiting(path: str, flags: int) -> int:
    """Where a FIFO was put in the place of a file or a node, nobody may ever write to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _nodes(*paths: str) -> Iterator[bytes]:
    for path in paths:
        found = os.stat(path)
        yield b"%d %d" % (stat.S_IFMT(found.st_mode), found.st_rdev)


def _bytes(device: str, *pieces: tuple[int, int]) -> Iterator[bytes]:
    """From the medium: the page cache is emptied before. The first thing it yields is that all was asked for."""
    spans = [_whole_blocks(*piece) for piece in pieces]
    handle = _without_waiting(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        for start, end in dict.fromkeys(spans):
            os.posix_fadvise(handle, start, end - start, os.POSIX_FADV_WILLNEED)
        yield b""
        read = {(start, end): os.pread(handle, end - start, start) for start, end in dict.fromkeys(spans)}
        for (offset, length), (start, end) in zip(pieces, spans, strict=True):
            yield read[start, end][offset - start : offset - start + length]
    finally:
        os.close(handle)


def _whole_blocks(offset: int, length: int) -> tuple[int, int]:
    """The first byte of the blocks that cover a piece, and the first one behind them; many pieces share their block."""
    return offset // _BLOCK * _BLOCK, -(-(offset + length) // _BLOCK) * _BLOCK


def _mounts(*targets: str) -> Iterator[bytes]:
    """Of the topmost mount at each target: root, options, type, source and the filesystem's options.

    Raises:
        KeyError: nothing is mounted there, which is never how it should be.
    """
    with open(_MOUNTS, "rb") as file:
        lines = [line.split(b" ") for line in file.read().split(b"\n") if line]
    topmost = {line[4]: line for line in lines}
    for target in targets:
        line = topmost[os.fsencode(os.path.realpath(target).translate(_ESCAPED))]
        yield b" ".join([*line[3:6], *line[line.index(b"-") :]])


_KINDS: dict[str, Callable[..., Iterator[bytes | None]]] = {
    "disks": _disks,
    "names": _names,
    "links": _links,
    "texts": _texts,
    "exists": _exists,
    "file": _file,
    "nodes": _nodes,
    "bytes": _bytes,
    "mounts": _mounts,
}
