"""What libblkid sees: signatures with their offsets (wipefs) and what a device holds (blkid)."""

from __future__ import annotations

import json
import os
from pathlib import PurePath
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from zosstorage.block.scan import erase_hint
from zosstorage.errors import ToolError
from zosstorage.model import Disk, Evidence
from zosstorage.system import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

# blkid(8): 2 stands for "nothing found", 8 for several contradicting signatures.
BLKID_NOTHING, BLKID_AMBIVALENT = 2, 8


@frozen
class Signature:
    """A row of wipefs: a magic string libblkid knows, at a byte of a device."""

    device: str
    offset: int
    type: str
    label: str
    uuid: str


def _shares(devices: Sequence[str]) -> list[Sequence[str]]:
    """Devices for one process a processor: wipefs and blkid look at theirs one after the other."""
    count = min(len(devices), os.cpu_count() or 1)
    return [devices[first::count] for first in range(count)]


def _wipefs_argv(devices: Sequence[str]) -> list[str]:
    return ["wipefs", "--json", "--output", "DEVICE,OFFSET,TYPE,LABEL,UUID", *devices]


def _signatures(done: run.Completed, devices: Sequence[str]) -> list[Signature]:
    """The rows of wipefs.

    Raises:
        ToolError: it failed, or printed something else.
    """
    if done.status != 0:
        raise run.status_error(done)
    try:
        return _rows(done.stdout, devices)
    except (ValueError, LookupError, TypeError) as error:
        message = f"{' '.join(done.argv)} printed what cannot be read: {error!r}"
        raise ToolError(message, hint="see which wipefs is first on PATH: util-linux's is needed") from error


def _rows(text: str, devices: Sequence[str]) -> list[Signature]:
    """What wipefs prints; it names devices by the last part of their paths."""
    paths = {PurePath(device).name: device for device in devices}
    rows = json.loads(text)["signatures"] if text.strip() else []
    return [
        Signature(
            paths[row["device"]],
            int(row["offset"], 0),
            row["type"] or "unknown",
            row["label"] or "",
            row["uuid"] or "",
        )
        for row in rows
    ]


def signatures(devices: Sequence[str], meanwhile: Callable[[], object]) -> list[Signature]:
    """What wipefs sees on some devices; it only reads. Something else is done while it does.

    Raises:
        ToolError: it failed.
    """
    done, _ = _beside([_wipefs_argv(share) for share in _shares(devices)], meanwhile)
    return [row for one in done for row in _signatures(one, devices)]


class Probers(run.UnderWay):
    """The commands blkid and wipefs under way over some disks, while others read bytes; none outlives the block."""

    def __init__(self, disks: Sequence[Disk]) -> None:
        super().__init__()
        self.disks = disks
        self.blkid: dict[str, run.Running] = {}
        self.wipefs: list[run.Running] = []

    def look(self) -> None:
        """Start them.

        Raises:
            ToolError: one cannot be started.
        """
        paths = [disk.path for disk in self.disks]
        self.blkid = dict(zip(paths, self.start([contents_argv(path) for path in paths]), strict=True))
        self.wipefs = self.start([_wipefs_argv(share) for share in _shares(paths)])

    def finish(self) -> dict[str, list[Evidence]]:
        """Wait for them. Evidence by disk path; an empty list for a disk on which neither prober sees anything.

        Raises:
            KeyError: `look` did not start them.
            ToolError: a prober failed.
        """
        self.wait()
        found: dict[str, list[Evidence]] = {disk.path: [] for disk in self.disks}
        for wipefs in self.wipefs:
            for signature in _signatures(wipefs.wait(), list(found)):
                found[signature.device].append(_evidence(signature))
        for path, evidence in found.items():
            evidence.extend(_blkid_evidence(path, self.blkid[path].wait()))
        return found


def _evidence(signature: Signature) -> Evidence:
    label = f" labelled {signature.label}" if signature.label else ""
    uuid = f" with UUID {signature.uuid}" if signature.uuid else ""
    what = f"a signature of {signature.type}{label}{uuid}"
    return Evidence("wipefs", signature.offset, what, erase_hint(signature.device))


def _blkid_evidence(path: str, done: run.Completed) -> list[Evidence]:
    if done.status == BLKID_NOTHING:
        return []
    if done.status == BLKID_AMBIVALENT:
        return [Evidence("blkid", None, "several contradicting signatures", erase_hint(path))]
    if done.status != 0:
        raise run.status_error(done)
    seen = [f"{key}={value}" for key, value in parse_export(done.stdout).items() if key != "DEVNAME"]
    return [Evidence("blkid", None, ", ".join(seen), erase_hint(path))] if seen else []


def contents(devices: Sequence[str], meanwhile: Callable[[], T]) -> tuple[dict[str, tuple[str, str, str]], T]:
    """What blkid sees on devices that all carry something (it stops at one that does not): (type, label, UUID) of each.

    Something else is done while it looks, whose result is returned too.

    Raises:
        ToolError: it sees nothing on one, or failed.
    """
    done, result = _beside([["blkid", "-p", "-o", "export", *share] for share in _shares(devices)], meanwhile)
    blocks = [parse_export(block) for one in done for block in one.stdout.split("\n\n")]
    found = {
        seen["DEVNAME"]: (seen.get("TYPE", ""), seen.get("LABEL", ""), seen.get("UUID", "").lower())
        for seen in blocks
        if "DEVNAME" in seen
    }
    return found, result


def _beside(commands: Sequence[Sequence[str]], meanwhile: Callable[[], T]) -> tuple[list[run.Completed], T]:
    """Run commands that must not fail, and something else while they do."""
    with run.UnderWay() as running:
        running.start(commands)
        result = meanwhile()
        done = running.wait()
    for one in done:
        if one.status:
            raise run.status_error(one)
    return done, result


def contents_argv(device: str, offset: int = 0, size: int = 0) -> list[str]:
    """The command blkid over a device, or over `size` bytes from `offset` of it where a partition has no node."""
    window = ["-O", str(offset), "-S", str(size)] if size else []
    return ["blkid", "-p", "-o", "export", *window, device]


def parse_export(text: str) -> dict[str, str]:
    """`KEY=value` lines of one device."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
