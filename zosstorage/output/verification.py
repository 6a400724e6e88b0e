"""The output of `verify`: every check as text, as a document, and as metrics for Prometheus."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from zosstorage import __version__
from zosstorage.errors import NotEmptyError
from zosstorage.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Source = Literal["report", "checkpoint", "stale report"]
Subject = Literal["report", "disk", "partition", "filesystem", "mount", "fstab"]
# What a device tells is shown up to this many characters.
_LONGEST = 240


@frozen
class Check:
    """One thing that was promised, and what is there.

    Attributes:
        subject: the kind of thing.
        name: which one: the node of a disk or partition, the UUID of a filesystem, the path of a mount or a file.
        check: what was compared.
        promised: what the report or the topology promises.
        seen: what the tools show; why they show nothing, if they fail.
        ok: whether the promise holds.
        warning: what an operator should look at; empty for nothing. A check with a warning may still be ok.
    """

    subject: Subject
    name: str
    check: str
    promised: str
    seen: str
    ok: bool
    warning: str = ""


@frozen
class VerifiedDisk:
    """A disk that the report has in use: whether it and all its partitions are as promised."""

    path: str
    serial: str
    ok: bool


@frozen
class VerifiedMount:
    """A mount of the report: whether all checks of it are ok."""

    target: str
    ok: bool


@frozen
class DeviceErrors:
    """An error counter of a device of a btrfs.

    Attributes:
        uuid: the UUID of the filesystem.
        device: the node of the device.
        kind: the name of the counter, as `btrfs device stats` prints it.
        count: the errors since the counter was reset.
    """

    uuid: str
    device: str
    kind: str
    count: int


@frozen
class VerifyDocument:
    """The machine, held against what was promised.

    Attributes:
        version: the version of the document format.
        ok: whether every check is ok.
        timestamp: when the machine was read, RFC 3339 in UTC.
        program: the version of the program.
        source: where the promises come from.
        path: the file that they were read from.
        topology: the name of the topology.
        provisioned: when the report was written, RFC 3339 in UTC; empty if it is not known.
        disks: the disks in use, in the order of the report.
        mounts: the mounts, in the order of the report.
        device_errors: the error counters of all devices of the btrfs filesystems.
        checks: all checks, in the order in which they were made.
    """

    version: Literal[1]
    ok: bool
    timestamp: str
    program: str
    source: Source
    path: str
    topology: str
    provisioned: str
    disks: tuple[VerifiedDisk, ...]
    mounts: tuple[VerifiedMount, ...]
    device_errors: tuple[DeviceErrors, ...]
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that are not ok."""
        return tuple(check for check in self.checks if not check.ok)


def text(document: VerifyDocument) -> str:
    """Format a row for each check, with what was promised below a row that failed, and a summary.

    Text that comes from the machine is escaped: a label must not move the cursor of a terminal.
    """
    rows = [(_result(check), check.subject, clean(check.name, _LONGEST), check.check) for check in document.checks]
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
    lines = []
    for row, check in zip(rows, document.checks, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([*cells, clean(check.seen, _LONGEST)]).rstrip())
        lines += _below(check)
    return "\n".join([*lines, _summary(document)]) + "\n"


def _result(check: Check) -> str:
    return "FAILED" if not check.ok else "warning" if check.warning else "ok"


def _below(check: Check) -> list[str]:
    lines = [] if check.ok else [f"         promised: {clean(check.promised, _LONGEST)}"]
    return lines + ([f"         {clean(check.warning, _LONGEST)}"] if check.warning else [])


def _summary(document: VerifyDocument) -> str:
    failed, total = len(document.failed), len(document.checks)
    warnings = sum(bool(check.warning) for check in document.checks)
    told = f"{total} checks: all ok" if document.ok else f"{total} checks: {failed} failed"
    more = f", {warnings} with a warning" if warnings else ""
    return f"{told}{more}; topology {document.topology}, by the {document.source} {clean(document.path, _LONGEST)}"


def failure(document: VerifyDocument) -> NotEmptyError:
    """The error of a machine that is not as promised: it names the first check that failed."""
    first, total = document.failed[0], len(document.checks)
    what = f"{clean(first.name, _LONGEST)}, {first.check}"
    return NotEmptyError(
        f"{len(document.failed)} of {total} checks failed, the first is {what}: {clean(first.seen, _LONGEST)}",
        hint="zosstorage verify lists them; a run restores missing mounts, the report and fstab, and nothing else",
    )


def prometheus(document: VerifyDocument | None) -> str:
    """Format the metrics in Prometheus' text format, for the textfile collector of node_exporter.

    Args:
        document: what was verified; None if nothing was provisioned.
    """
    groups = [
        _metric(
            "verify_ok", "Whether everything that was promised is true now.", [({}, bool(document and document.ok))]
        ),
        _metric(
            "info",
            "The version of the program and the topology of the machine.",
            [({"version": __version__, "topology": document.topology if document else ""}, 1)],
        ),
        *(_details(document) if document else ()),
    ]
    return "".join(groups)


def _details(document: VerifyDocument) -> Iterable[str]:
    yield _metric(
        "disk_ok",
        "Whether a disk and its partitions are as promised.",
        [({"disk": one.path, "serial": one.serial}, one.ok) for one in document.disks],
    )
    yield _metric(
        "mount_ok",
        "Whether the promised filesystem is mounted read-write at a path.",
        [({"target": one.target}, one.ok) for one in document.mounts],
    )
    yield _metric(
        "btrfs_device_errors",
        "Errors that btrfs counted on a device since its counters were reset.",
        [({"uuid": e.uuid, "device": e.device, "type": e.kind}, e.count) for e in document.device_errors],
    )
    if document.provisioned:
        seconds = datetime.fromisoformat(document.provisioned).timestamp()
        yield _metric(
            "last_run_timestamp",
            "When the last successful run wrote its report, in seconds since 1970.",
            [({}, seconds)],
        )


def _metric(name: str, meaning: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> str:
    lines = [f"zosstorage_{name}{_labels(labels)} {float(value):.15g}\n" for labels, value in samples]
    head = f"# HELP zosstorage_{name} {meaning}\n# TYPE zosstorage_{name} gauge\n"
    return "".join([head, *lines]) if lines else ""


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    """A label's value: only these three escapes exist. Other control characters and non-ASCII are shown by number."""
    value = value.encode("ascii", "backslashreplace").decode("ascii")
    shown = "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in value)
    return shown.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
