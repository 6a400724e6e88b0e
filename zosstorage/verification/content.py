"""Checks of filesystems, by blkid, btrfs and bcachefs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage.output.report import ReportedFilesystem
from zosstorage.output.verification import Check, DeviceErrors
from zosstorage.topologies import TOPOLOGIES, Topology
from zosstorage.verification import mounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from zosstorage.verification.mounts import Mounts
    from zosstorage.verification.tools import Tools

_TOP_LEVEL = "5"


@frozen
class Promised:
    """A filesystem of the report.

    Attributes:
        filesystem: the promise.
        devices: the nodes that its partitions have now.
        top: where the whole filesystem is mounted now; None for an ESP.
        subvolumes: the names of its subvolumes that are mounted.
        topology: the row of the topology; None if this version does not know it.
    """

    filesystem: ReportedFilesystem
    devices: tuple[str, ...]
    top: str | None
    subvolumes: tuple[str, ...]
    topology: Topology | None

    @property
    def uuid(self) -> str:
        """The UUID of the filesystem."""
        return self.filesystem.uuid

    def check(self, what: str, promised: object, seen: object, *, ok: bool | None = None, warning: str = "") -> Check:
        """A check of this filesystem; it is ok if both are equal, or as `ok` says."""
        is_ok = promised == seen if ok is None else ok
        return Check("filesystem", self.uuid, what, str(promised), str(seen), is_ok, warning)


def topology(name: str) -> Topology | None:
    """The row of a topology; None for a name that this version does not know."""
    return TOPOLOGIES.get(name)


def superblocks(devices: Sequence[str], tools: Tools) -> dict[str, dict[str, str]]:
    """What blkid reads on each device; `ERROR` says why it reads nothing."""
    found = {}
    for device in devices:
        said = tools("blkid", "-p", "-o", "export", device)
        fields = dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)
        found[device] = {key: re.sub(r"\\(.)", r"\1", value) for key, value in fields.items()}
        if said.failure:
            found[device] = {"ERROR": "no filesystem" if said.status == 2 else said.failure}  # noqa: PLR2004 - blkid(8)
    return found


def check(
    promised: Promised, seen: Mapping[str, Mapping[str, str]], all_mounts: Mounts, tools: Tools
) -> Iterator[Check]:
    """Check the superblocks of a filesystem, and what the tools of its type tell of it."""
    filesystem = promised.filesystem
    for what, key, wanted in (
        ("type", "TYPE", filesystem.type),
        ("label", "LABEL", filesystem.label),
        ("UUID", "UUID", filesystem.uuid),
    ):
        yield _check_each(promised, what, wanted, {device: _field(seen[device], key) for device in promised.devices})
    if filesystem.type == "vfat":
        versions = {device: _field(seen[device], "VERSION") for device in promised.devices}
        yield _check_each(promised, "FAT", "FAT32", versions)
    elif filesystem.type == "btrfs":
        yield from _check_btrfs(promised, all_mounts, tools)
    elif filesystem.type == "bcachefs":
        yield from _check_bcachefs(promised, tools)


def _field(fields: Mapping[str, str], key: str) -> str:
    return fields.get("ERROR") or fields.get(key, "none")


def _check_each(promised: Promised, what: str, wanted: str, values: Mapping[str, str]) -> Check:
    """One value that all devices must have; each that differs is named."""
    different = [f"{value} on {device}" for device, value in values.items() if value != wanted]
    return promised.check(what, wanted, "; ".join(different) or wanted)


def _check_btrfs(promised: Promised, all_mounts: Mounts, tools: Tools) -> Iterator[Check]:
    yield _check_members(promised, tools)
    top = _mounted_top(promised, all_mounts)
    if promised.topology and promised.topology.profile:
        yield from _check_profiles(promised, promised.topology.profile, top, tools)
    if promised.subvolumes:
        yield _check_subvolumes(promised, top, tools)


def _check_members(promised: Promised, tools: Tools) -> Check:
    said = tools("btrfs", "filesystem", "show", "--raw", promised.uuid)
    total = re.search(r"^\s*Total devices (\d+) ", said.stdout, re.MULTILINE)
    paths = re.findall(r"^\s*devid\s.*\spath (\S+)(.*)$", said.stdout, re.MULTILINE)
    there = sorted(path for path, rest in paths if "MISSING" not in rest and path.startswith("/dev/"))
    lost = int(total[1]) - len(there) if total else 0
    seen = said.failure or " ".join(there) + (f", {lost} missing" if lost > 0 else "")
    return promised.check("members", " ".join(sorted(promised.devices)), seen)


def _mounted_top(promised: Promised, all_mounts: Mounts) -> str | None:
    """The path of the whole filesystem, if it is really mounted there: the tools ask whatever is at a path."""
    seen = all_mounts.at(promised.top)[0] if promised.top else None
    is_it = seen and seen.root == "/" and mounts.is_mounted(seen, promised.filesystem.type, promised.devices)
    return promised.top if is_it else None


def _check_profiles(promised: Promised, profile: str, top: str | None, tools: Tools) -> Iterator[Check]:
    said = tools("btrfs", "filesystem", "df", "--raw", top) if top else None
    for kind in ("Data", "Metadata", "System"):
        rows = re.findall(rf"^{kind}, ([^:]+):", said.stdout, re.MULTILINE) if said else []
        seen = ", ".join(dict.fromkeys(row.lower() for row in rows))
        problem = said.failure if said else f"not mounted at {promised.top}"
        yield promised.check(f"profile of {kind.lower()}", profile, problem or seen or "none")


def _check_subvolumes(promised: Promised, top: str | None, tools: Tools) -> Check:
    wanted = " ".join(promised.subvolumes)
    if top is None:
        return promised.check("subvolumes", wanted, f"not mounted at {promised.top}")
    said = tools("btrfs", "subvolume", "list", top)
    rows = re.findall(r"^ID \d+ gen \d+ top level (\d+) path (.*)$", said.stdout, re.MULTILINE)
    names = {name for level, name in rows if level == _TOP_LEVEL}
    there = [name for name in promised.subvolumes if name in names]
    return promised.check("subvolumes", wanted, said.failure or " ".join(there) or "none")


def _check_bcachefs(promised: Promised, tools: Tools) -> Iterator[Check]:
    said = {device: tools("bcachefs", "show-super", device) for device in promised.devices}

    def each(what: str, wanted: str, key: str, missing: str = "none") -> Check:
        values = {device: one.failure or _super_field(one.stdout, key, missing) for device, one in said.items()}
        return _check_each(promised, what, wanted, values)

    yield each("UUID by bcachefs", promised.uuid, "External UUID")
    yield each("members", str(len(promised.devices)), "Devices")
    states = {state for one in said.values() for state in re.findall(r"^\s+State:\s+(\w+)", one.stdout, re.MULTILINE)}
    yield promised.check("states of members", "rw", " ".join(sorted(states)) or "none")
    row = promised.topology
    if row and row.replicas:
        for kind in ("data", "metadata"):
            yield _check_replicas(promised, kind, row.replicas, [one.stdout for one in said.values()])
    if row and row.tiered:
        for kind, target in (("foreground", "ssd"), ("promote", "ssd"), ("background", "hdd")):
            yield each(f"{kind} target", target, f"{kind}_target")
    if promised.subvolumes and promised.top:
        there = [name for name in promised.subvolumes if Path(promised.top, name).is_dir()]
        yield promised.check("subvolumes", " ".join(promised.subvolumes), " ".join(there) or "none")


def _check_replicas(promised: Promised, kind: str, least: int, texts: Sequence[str]) -> Check:
    """An operator may have configured more copies than the topology needs."""
    counts = sorted({_super_field(text, f"{kind}_replicas", "none") for text in texts})
    is_enough = all(count.isdecimal() and int(count) >= least for count in counts)
    return promised.check(f"replicas of {kind}", f"{least} or more", " ".join(counts), ok=is_enough)


def _super_field(text: str, key: str, missing: str) -> str:
    """The first field of that name in the output of `bcachefs show-super`: the members come last, with theirs."""
    found = re.search(rf"^ *{re.escape(key)}:[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)
    return found[1] if found else missing


def device_errors(promised: Promised, all_mounts: Mounts, tools: Tools) -> tuple[list[DeviceErrors], list[Check]]:
    """The error counters of a btrfs, and a check of each device: errors are a warning, the data may be intact."""
    top = _mounted_top(promised, all_mounts)
    if promised.filesystem.type != "btrfs" or top is None:
        return [], []
    said = tools("btrfs", "device", "stats", top)
    rows = re.findall(r"^\[(.*)\]\.(\w+?)_errs\s+(\d+)$", said.stdout, re.MULTILINE)
    counters = [DeviceErrors(promised.uuid, device, kind, int(count)) for device, kind, count in rows]
    if not counters:
        return [], [promised.check("device errors", "counters", said.failure or "none", ok=False)]
    return counters, [_check_counters(promised, device, counters) for device in dict.fromkeys(row[0] for row in rows)]


def _check_counters(promised: Promised, device: str, counters: Sequence[DeviceErrors]) -> Check:
    errors = [f"{one.kind} {one.count}" for one in counters if one.device == device and one.count]
    warning = f"{device} had I/O errors: see the kernel log, and run btrfs scrub" if errors else ""
    told = ", ".join(errors) or "none"
    return promised.check(f"errors on {device}", "none", told, ok=True, warning=warning)
