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
    from collections.abc import Callable, Iterable, Iterator

    # A kind and its arguments: [disks FOLDER INCLUDE EXCLUDE], [names FOLDER PREFIX], [links FOLDER], [texts FOLDER
    # NAME…], [exists PATH], [file PATH], [nodes PATH…], [bytes DEVICE [OFFSET LENGTH]…] in bytes, [mounts TARGET…].
    Look = list[Any]

FILE = "witness.json"
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


def _seen(looks: Iterable[Look]) -> str:
    """SHA-256 of everything that is seen, each piece with its length before it."""
    found = sha256()
    for kind, *arguments in looks:
        for piece in _KINDS[kind](*arguments):
            found.update(b"-" if piece is None else b"%d:" % len(piece) + piece)
    return found.hexdigest()


def _disks(folder: str, include: list[str], exclude: list[str]) -> Iterator[bytes]:
    """The devices in sysfs whose nodes some globs name, and others do not."""
    for name in sorted(os.listdir(folder)):
        node = f"/dev/{name.replace('!', '/')}"
        if any(fnmatchcase(node, glob) for glob in include) and not any(fnmatchcase(node, glob) for glob in exclude):
            yield os.fsencode(node)


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
    for name in names:
        try:
            handle = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            yield None
            continue
        try:
            yield os.read(handle, 4096)
        except OSError:
            yield None
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
    """From the medium: the page cache is emptied before."""
    handle = _without_waiting(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        for offset, length in pieces:
            yield os.pread(handle, length, offset)
    finally:
        os.close(handle)


def _mounts(*targets: str) -> Iterator[bytes]:
    """Of the topmost mount at each target: root, options, type, source and the filesystem's options.

    Raises:
        KeyError: nothing is mounted there, which is never how it should be.
    """
    with open(_MOUNTS, "rb") as file:
        lines = [line.split(b" ") for line in file.read().splitlines()]
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
