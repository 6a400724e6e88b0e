"""Run the probers of libblkid: wipefs for signatures with their offsets, blkid for the content of a device."""

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

# Exit codes of blkid(8): nothing found; several contradicting signatures.
BLKID_NOTHING, BLKID_AMBIVALENT = 2, 8


@frozen
class Signature:
    """A row of the output of wipefs: a magic string that libblkid knows, at a byte of a device."""

    device: str
    offset: int
    type: str
    label: str
    uuid: str


def _shares(devices: Sequence[str]) -> list[Sequence[str]]:
    """Distribute devices to one process for each processor: wipefs and blkid probe their devices one by one."""
    count = min(len(devices), os.cpu_count() or 1)
    return [devices[first::count] for first in range(count)]


def _wipefs_argv(devices: Sequence[str]) -> list[str]:
    return ["wipefs", "--json", "--output", "DEVICE,OFFSET,TYPE,LABEL,UUID", *devices]


def _signatures(done: run.Completed, devices: Sequence[str]) -> list[Signature]:
    """The signatures in the output of wipefs.

    Raises:
        ToolError: it failed, or its output cannot be parsed.
    """
    if done.status != 0:
        raise run.status_error(done)
    try:
        return _rows(done.stdout, devices)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        message = f"{' '.join(done.argv)} printed output that cannot be parsed: {error!r}"
        raise ToolError(message, hint="the first wipefs on PATH must be the one of util-linux") from error


def _rows(text: str, devices: Sequence[str]) -> list[Signature]:
    """Parse the output of wipefs, which names each device by the last part of its path."""
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
    """The signatures that wipefs, which only reads, sees on some devices. `meanwhile` is called while it runs.

    Raises:
        ToolError: it failed.
    """
    done, _ = _run_beside([_wipefs_argv(share) for share in _shares(devices)], meanwhile)
    return [row for one in done for row in _signatures(one, devices)]


class Probers(run.UnderWay):
    """blkid and wipefs, which run on some disks while the caller reads bytes; leaving the context ends them."""

    def __init__(self, disks: Sequence[Disk]) -> None:
        super().__init__()
        self.disks = disks
        self.blkid: dict[str, run.Running] = {}
        self.wipefs: list[run.Running] = []

    def start_all(self) -> None:
        """Start the probers.

        Raises:
            ToolError: a prober cannot be started.
        """
        paths = [disk.path for disk in self.disks]
        self.blkid = dict(zip(paths, self.start([contents_argv(path) for path in paths]), strict=True))
        self.wipefs = self.start([_wipefs_argv(share) for share in _shares(paths)])

    def finish(self) -> dict[str, list[Evidence]]:
        """Wait for the probers: disk path → evidence, an empty list if neither sees anything on the disk.

        Raises:
            KeyError: the probers were not started.
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
    """What blkid sees on devices, and the result of `meanwhile`, which is called while it runs.

    The first item is device → (type, label, UUID). Each device must carry something: blkid stops at one that does not.

    Raises:
        ToolError: blkid sees nothing on a device, or it failed.
    """
    done, result = _run_beside([["blkid", "-p", "-o", "export", *share] for share in _shares(devices)], meanwhile)
    blocks = [parse_export(block) for one in done for block in one.stdout.split("\n\n")]
    found = {
        seen["DEVNAME"]: (seen.get("TYPE", ""), seen.get("LABEL", ""), seen.get("UUID", "").lower())
        for seen in blocks
        if "DEVNAME" in seen
    }
    return found, result


def _run_beside(commands: Sequence[Sequence[str]], meanwhile: Callable[[], T]) -> tuple[list[run.Completed], T]:
    """Run commands, which must not fail, and call `meanwhile` while they run."""
    with run.UnderWay() as running:
        running.start(commands)
        result = meanwhile()
        done = running.wait()
    for one in done:
        if one.status:
            raise run.status_error(one)
    return done, result


def contents_argv(device: str, offset: int = 0, size: int = 0) -> list[str]:
    """The command blkid for a device, or for `size` bytes from `offset` of it: a partition may have no node yet."""
    window = ["-O", str(offset), "-S", str(size)] if size else []
    return ["blkid", "-p", "-o", "export", *window, device]


def parse_export(text: str) -> dict[str, str]:
    """Parse the `KEY=value` lines of one device."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
