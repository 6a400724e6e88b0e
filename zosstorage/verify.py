"""The command `verify`: holds the machine against the report, or the checkpoint, by other eyes than those of the run.

Everything is read through the tools of the system (`zosstorage/verification`); the code that made it is not asked.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from zosstorage import __version__, checkpoint
from zosstorage.converter import structure
from zosstorage.errors import NotEmptyError
from zosstorage.output import report as reporting
from zosstorage.output.report import Report
from zosstorage.output.verification import Check, Source, VerifiedDisk, VerifiedMount, VerifyDocument
from zosstorage.system.files import read_regular
from zosstorage.text import utc_now
from zosstorage.verification import content, mounts, tables
from zosstorage.verification.content import Promised
from zosstorage.verification.tools import Tools, require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zosstorage.facts import Mount
    from zosstorage.output.report import ReportedFilesystem
    from zosstorage.output.verification import DeviceErrors
    from zosstorage.verification.mounts import Mounts
    from zosstorage.verification.tables import FoundDisk

# The tools for each type of filesystem, besides those for every machine.
TOOLS = ("sfdisk", "blkid", "findmnt")
_TOOLS_OF = {"btrfs": ("btrfs",), "bcachefs": ("bcachefs",)}


@frozen
class Promise:
    """What was promised, and the file that says so."""

    report: Report
    source: Source
    path: str
    provisioned: str


def promise(report_path: str, checkpoint_path: Path) -> Promise | None:
    """The promises: of the report, else of a checkpoint whose last state is done, else of a stale report.

    Returns:
        None if nothing was provisioned.

    Raises:
        NotEmptyError: the report or the checkpoint cannot be read.
    """
    stale = f"{report_path}.stale"
    if (report := _report(report_path)) is not None:
        return Promise(report, "report", report_path, report.timestamp)
    if (found := _checkpoint(checkpoint_path)) is not None:
        return found
    if (report := _report(stale)) is not None:
        return Promise(report, "stale report", stale, report.timestamp)
    return None


def _report(path: str) -> Report | None:
    try:
        return structure(json.loads(read_regular(Path(path))), Report)
    except FileNotFoundError:
        return None
    except Exception as error:  # cattrs raises groups of many kinds; each means that it is no report of ours
        reason = error.strerror if isinstance(error, OSError) else "it is not a report of this version"
        raise NotEmptyError(f"{path} cannot be read: {reason}", hint="zosstorage run writes it again") from error


def _checkpoint(path: Path) -> Promise | None:
    try:
        found = checkpoint.load(path)
        if found is None or found.completed < len(found.states):
            return None
        record = found.record("report")
        return Promise(reporting.build(found.facts()), "checkpoint", str(path), record.finished or "")
    except (ValueError, OSError) as error:
        raise checkpoint.unusable(path, error) from error


@frozen
class Places:
    """Where the paths of a report are now: a root that was moved has another prefix than the report says.

    Attributes:
        prefix: the root prefix in the report, without a slash at its end.
        root: the prefix now.
    """

    prefix: str
    root: str

    def now(self, path: str) -> str:
        """The path as it is now."""
        return self.root + self.inside(path)

    def inside(self, path: str) -> str:
        """The path without a prefix, as fstab names it."""
        return path.removeprefix(self.prefix) if path.startswith(f"{self.prefix}/") else path


def places(report: Report, root: str, data_root: str) -> Places:
    """Where the paths of a report are now.

    After switch_root the mounts of an initramfs are no longer below its prefix. So if nothing that the report names is
    there, `root` counts.
    """
    prefix = now = root.rstrip("/")
    for one in report.filesystems:
        if one.mountpoint and one.mountpoint.endswith(f"{data_root}/{one.uuid}"):
            prefix = one.mountpoint.removesuffix(f"{data_root}/{one.uuid}").rstrip("/")
    if prefix != now and any(os.path.lexists(mount.target) for mount in report.mounts):
        now = prefix
    return Places(prefix, now)


def verify(promised: Promise, root: str, data_root: str, limit: float) -> VerifyDocument:
    """Read the machine and compare it with the promises. Writes nothing.

    Args:
        promised: the promises.
        root: the root prefix now.
        data_root: the directory of the data filesystems' mount points, without a prefix.
        limit: the longest that one tool may take, in seconds.

    Raises:
        ToolError: a tool is missing.
    """
    report = promised.report
    types = {one.type for one in report.filesystems}
    require([*TOOLS, *(tool for type_ in sorted(types) for tool in _TOOLS_OF.get(type_, ()))])
    return _Verification(promised, places(report, root, data_root), Tools(limit)).document()


class _Verification:
    """One reading of the machine, piece by piece."""

    def __init__(self, promised: Promise, where: Places, tools: Tools) -> None:
        self._promised, self._report, self._places, self._tools = promised, promised.report, where, tools
        self._disks = [tables.find(disk) for disk in tables.used(self._report)]
        self._nodes = {node: now for found in self._disks for node, now in _nodes(found)}

    def document(self) -> VerifyDocument:
        by_disk = [(found, tuple(tables.check(self._now(found), self._tools))) for found in self._disks]
        seen = mounts.read(self._tools)
        filesystems, errors, devices = self._filesystems(seen)
        by_mount = [(mount, tuple(self._mount(mount, devices, seen))) for mount in self._report.mounts]
        fstab = tuple(self._fstab())
        checks = (
            *self._stale(),
            *(check for _, found in by_disk for check in found),
            *filesystems,
            *(check for _, found in by_mount for check in found),
            *fstab,
        )
        return VerifyDocument(
            1,
            all(check.ok for check in checks),
            utc_now(),
            __version__,
            self._promised.source,
            self._promised.path,
            self._report.topology,
            self._promised.provisioned,
            tuple(
                VerifiedDisk(found.path or found.promised.path, found.promised.serial, all(c.ok for c in checks))
                for found, checks in by_disk
            ),
            tuple(VerifiedMount(self._places.now(mount.target), all(c.ok for c in found)) for mount, found in by_mount),
            errors,
            checks,
        )

    def _now(self, found: FoundDisk) -> FoundDisk:
        """The disk with the nodes that its partitions have now."""
        parts = tuple(evolve(part, device=self._nodes[part.device]) for part in found.promised.partitions)
        return evolve(found, promised=evolve(found.promised, partitions=parts))

    def _stale(self) -> Iterator[Check]:
        if self._promised.source == "stale report":
            told = "stale: a later run failed, and wrote none"
            yield Check("report", self._promised.path, "report", "of the last run", told, ok=False)

    def _filesystems(self, seen: Mounts) -> tuple[list[Check], tuple[DeviceErrors, ...], dict[str, tuple[str, ...]]]:
        """The checks of all filesystems, the error counters, and the devices on which each UUID was seen."""
        checks: list[Check] = []
        errors: list[DeviceErrors] = []
        devices = {}
        for filesystem in self._report.filesystems:
            promised = self._filesystem(filesystem)
            found = content.superblocks(promised.devices, self._tools)
            devices[filesystem.uuid] = tuple(
                node for node, fields in found.items() if fields.get("UUID") == filesystem.uuid
            )
            checks += content.check(promised, found, seen, self._tools)
            counted, told = content.device_errors(promised, seen, self._tools)
            checks += told
            errors += counted
        return checks, tuple(errors), devices

    def _filesystem(self, filesystem: ReportedFilesystem) -> Promised:
        named = [mounts.subvolume(mount) for mount in self._report.mounts if mount.source == f"UUID={filesystem.uuid}"]
        return Promised(
            filesystem,
            tuple(self._nodes.get(device, device) for device in filesystem.devices),
            self._places.now(filesystem.mountpoint) if filesystem.mountpoint else None,
            tuple(name for name in named if name),
            content.topology(self._report.topology),
        )

    def _mount(self, mount: Mount, devices: dict[str, tuple[str, ...]], seen: Mounts) -> Iterator[Check]:
        on = devices.get(mount.source.removeprefix("UUID="), ())
        return mounts.check(mount, self._places.now(mount.target), on, seen)

    def _fstab(self) -> Iterator[Check]:
        if self._report.fstab is None:
            return iter(())
        inside = {mount.target: self._places.inside(mount.target) for mount in self._report.mounts}
        return mounts.check_fstab(self._report, self._places.now(self._report.fstab), inside, self._tools)


def _nodes(found: FoundDisk) -> Iterator[tuple[str, str]]:
    """(node in the report, node now) of each partition of a disk."""
    for part in found.promised.partitions:
        now = part.device
        if found.path and part.device.startswith(found.promised.path):
            separator = "p" if found.path[-1:].isdigit() else ""
            now = f"{found.path}{separator}{part.number}"
        yield part.device, now
