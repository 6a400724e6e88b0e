"""Checks of disks and partitions, by sysfs and sfdisk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from zosstorage.model import Role
from zosstorage.output.report import ReportedDisk
from zosstorage.output.verification import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zosstorage.facts import Partition
    from zosstorage.output.report import Report
    from zosstorage.verification.tools import Tools

# sfdisk --verify exits with 0 whatever it finds; this line is its only "all is well" (util-linux 2.38 to 2.41).
_NO_ERRORS = "No errors detected."
# All that it says of a disk that has grown behind its table (2.38: five lines on stderr): both copies are intact, and
# zosstorage adopts such a disk.
_GROWN = re.compile(
    r"(GPT PMBR size mismatch \(\d+ != \d+\) will be corrected by write\. )?"
    r"The backup GPT table is not on the end of the device\.( This problem will be corrected by write\.)?"
    r"( MyLBA mismatch with real position at backup header\. 1 error detected\.)?"
)
# The in-progress flag among the bits of `"attrs": "GUID:48,58"` (docs/rationale.md).
_IN_PROGRESS = "58"
_SYSFS_SECTOR = 512


@frozen
class FoundDisk:
    """A disk of the report and where it is now; `path` is None if it is gone."""

    promised: ReportedDisk
    path: str | None
    seen: str
    is_same: bool


def used(report: Report) -> list[ReportedDisk]:
    """The disks of a report that it has in use."""
    return [disk for disk in report.disks if disk.role is not Role.UNUSED]


def find(disk: ReportedDisk, sys: Path = Path("/sys")) -> FoundDisk:
    """Look for a disk by its WWN, else by its serial number, else by its path."""
    block = sys / "class/block"
    here = _identity(block / _name(disk.path))
    key = 1 if disk.wwn else 0
    wanted = (disk.serial, disk.wwn)
    if not any(wanted):
        is_there = (block / _name(disk.path)).exists()
        return FoundDisk(disk, disk.path if is_there else None, disk.path if is_there else "no such disk", is_there)
    if here == wanted:
        return FoundDisk(disk, disk.path, _described(disk.path, *here), is_same=True)
    for folder in sorted(block.iterdir()) if block.is_dir() else ():
        identity = _identity(folder)
        if identity[key] == wanted[key] and not (folder / "partition").exists():
            path = "/dev/" + folder.name.replace("!", "/")
            return FoundDisk(disk, path, _described(path, *identity), identity == wanted)
    seen = _described(disk.path, *here) if (block / _name(disk.path)).exists() else "no such disk"
    return FoundDisk(disk, None, seen, is_same=False)


def _name(path: str) -> str:
    return path.removeprefix("/dev/").replace("/", "!")


def _identity(folder: Path) -> tuple[str, str]:
    """Serial number and WWN, as the kernel has them."""
    serial = _text(folder / "serial") or _text(folder / "device/serial") or _page_80(folder / "device/vpd_pg80")
    return serial, _text(folder / "wwid") or _text(folder / "device/wwid")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").strip(" \0\n\t")
    except OSError:
        return ""


def _page_80(path: Path) -> str:
    """The serial number of a SCSI disk: SPC-4, 7.8.15, a header of four bytes and ASCII."""
    try:
        return path.read_bytes()[4:].decode("ascii", "replace").strip(" \0\n")
    except OSError:
        return ""


def _described(path: str, serial: str, wwn: str) -> str:
    named = [f"{what} {value}" for what, value in (("serial", serial), ("WWN", wwn)) if value]
    return ", ".join([path, *named])


def check(found: FoundDisk, tools: Tools, sys: Path = Path("/sys")) -> Iterator[Check]:
    """Check the identity, the size and both tables of a disk, and each of its partitions."""
    disk, path = found.promised, found.path
    promised = _described(disk.path, disk.serial, disk.wwn)
    yield Check("disk", disk.path, "identity", promised, found.seen, found.is_same)
    if path is None:
        return
    size = int(_text(sys / "class/block" / _name(path) / "size") or 0) * _SYSFS_SECTOR
    yield _equal(("disk", path), "size in bytes", disk.size_bytes, size)
    yield _check_copies(path, tools)
    table, rows, problem = _read_table(path, tools)
    seen = problem or f"{table.get('label')}, {len(rows)} partitions"
    yield _equal(("disk", path), "table", f"gpt, {len(disk.partitions)} partitions", seen)
    sector = int(table.get("sectorsize", _SYSFS_SECTOR))
    for part in disk.partitions:
        yield from _check_partition(part, rows.get(part.number), sector)


def _read_table(path: str, tools: Tools) -> tuple[dict[str, Any], dict[int, dict[str, Any]], str]:
    """A table as sfdisk shows it, its rows by the number of the partition, and why there is none."""
    document, problem = tools.json("sfdisk", "--json", path)
    if problem:
        return {}, {}, problem
    try:
        table = document["partitiontable"]
        rows = {_number(row["node"], path): row for row in table.get("partitions", [])}
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}, {}, "sfdisk printed JSON of an unknown form"
    return table, rows, ""


def _number(node: str, disk: str) -> int:
    """The number in the node of a partition: 3 of /dev/sda3 and /dev/nvme0n1p3."""
    return int(node.removeprefix(disk).removeprefix("p"))


def _check_copies(path: str, tools: Tools) -> Check:
    said = tools("sfdisk", "--verify", path)
    if said.status == 0 and _GROWN.fullmatch(said.stderr):
        warning = f"the disk is larger than its table: {said.stderr}"
        return Check("disk", path, "copies of the table", "both valid", "both valid", ok=True, warning=warning)
    is_intact = said.status == 0 and _NO_ERRORS in said.stdout and not said.stderr
    seen = "both valid" if is_intact else said.failure or said.stderr or " ".join(said.stdout.split())
    return Check("disk", path, "copies of the table", "both valid", seen, is_intact)


def _check_partition(part: Partition, row: dict[str, Any] | None, sector: int) -> Iterator[Check]:
    name = part.device
    if row is None:
        yield Check("partition", name, "entry in the table", f"partition {part.number}", "none", ok=False)
        return
    try:
        seen = {
            "name": str(row.get("name", "")),
            "type": str(row["type"]).upper(),
            "UUID": str(row["uuid"]).lower(),
            "start in bytes": int(row["start"]) * sector,
            "size in bytes": int(row["size"]) * sector,
        }
    except (KeyError, TypeError, ValueError):
        yield Check("partition", name, "entry in the table", f"partition {part.number}", str(row), ok=False)
        return
    promised = (part.name, part.type, part.uuid, part.start_bytes, part.size_bytes)
    for (what, value), wanted in zip(seen.items(), promised, strict=True):
        yield _equal(("partition", name), what, wanted, value)
    flag = "set" if _is_in_progress(str(row.get("attrs", ""))) else "not set"
    yield _equal(("partition", name), "in-progress flag", "not set", flag)


def _is_in_progress(attributes: str) -> bool:
    bits = re.search(r"GUID:([\d,]+)", attributes)
    return bool(bits) and _IN_PROGRESS in bits[1].split(",") if bits else False


def _equal(what: tuple[Any, str], check: str, promised: object, seen: object) -> Check:
    return Check(what[0], what[1], check, str(promised), str(seen), promised == seen)
