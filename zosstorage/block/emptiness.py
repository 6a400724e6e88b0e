"""Decide whether a disk may be written, with evidence; no other module does.

A disk is blank if nothing uses it, no prober sees a signature, and every byte that was read is zero. It is ours if it
carries exactly our own layout and each partition carries what is allowed with or without its in-progress flag. A disk
that cannot be examined completely is foreign.

`observe` does all I/O; `verdict` derives the answer from what was observed, without I/O.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from zosstorage import filesystems
from zosstorage.block import gpt, layout, medium, probe, scan, sysfs, unfinished
from zosstorage.block.in_use import Usage, kernel_partitions
from zosstorage.errors import UnreadableFilesystemError
from zosstorage.model import Depth, Disk, Evidence, Kind, PartitionKind, SeenPartition, Verdict
from zosstorage.observed import ObservedDisk, OwnTable
from zosstorage.system import reading, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    InUse = Callable[[Disk], tuple[Evidence, ...]]


@define
class _Exam:
    """One disk under examination."""

    disk: Disk
    reader: medium.Reader
    writes: str | None
    evidence: list[Evidence] = field(factory=list)
    head: bytes = b""
    table: OwnTable | None = None

    @property
    def unfinished(self) -> bool:
        return self.table is not None and not self.table.finished


def observe(disks: Sequence[Disk], depth: Depth, esp_size: int, *, claim: bool = True) -> tuple[ObservedDisk, ...]:
    """Examine disks in parallel, without writing; the result is in the order of `disks`.

    `esp_size` is the size of the ESP in our layout, in bytes. With `claim`, each disk is claimed for a moment: that
    fails if anything else uses it.

    Raises:
        ToolError: blkid or wipefs is missing or failed, or a disk does not answer.
    """
    return reading.apart(lambda: _observe(disks, depth, esp_size, claim=claim))


def _observe(disks: Sequence[Disk], depth: Depth, esp_size: int, *, claim: bool) -> tuple[ObservedDisk, ...]:
    seen: dict[str, ObservedDisk] = {}
    with ExitStack() as stack:
        exams = _open(disks, stack, seen)
        exams = [exam for exam in exams if _read_ends(exam, esp_size, seen)]
        ours, others = ([exam for exam in exams if bool(exam.table) is is_ours] for is_ours in (True, False))
        with probe.Probers([exam.disk for exam in others]) as probers:
            probers.start_all()
            used = scan.find_used([exam.reader for exam in others], depth)
            for exam in others:
                exam.reader.close()  # while the probers are still running
            in_use = partial(Usage.read().evidence, claim=claim)
            _examine_ours(ours, in_use)
            _examine_others(others, used, probers.finish(), in_use)
    seen |= {exam.disk.path: _observed(exam, depth) for exam in exams}
    return tuple(seen[disk.path] for disk in disks)


def verdict(observed: ObservedDisk) -> Verdict:
    """The verdict on an observed disk; pure."""
    path, table = observed.disk.path, observed.table
    if observed.findings:
        return Verdict(path, Kind.FOREIGN, observed.findings)
    if table is None:
        read = scan.describe(observed.disk, observed.read_bytes, observed.depth) if observed.depth else ""
        return Verdict(path, Kind.BLANK, read=read)
    recognised = Evidence("own layout", None, layout.describe(table))
    return Verdict(path, Kind.OURS, (recognised,), table.guid, table.torn, table.partitions)


def no_longer_blank(disks: Sequence[Disk]) -> dict[str, tuple[Evidence, ...]]:
    """Examine blank disks again right before the first write: disk path → evidence, for each disk that is not blank.

    The caller holds the disks exclusively. Both ends and the places of known superblocks are read once more.

    Raises:
        ToolError: a disk does not answer.
    """
    return reading.apart(lambda: _no_longer_blank(disks))


def _no_longer_blank(disks: Sequence[Disk]) -> dict[str, tuple[Evidence, ...]]:
    found: dict[str, Evidence | None] = {}
    with ExitStack() as stack:
        readers = []
        for disk in disks:
            try:
                readers.append(stack.enter_context(medium.Reader(disk)))
            except medium.UnreadableError as error:
                found[disk.path] = scan.unreadable(error)
        found |= scan.find_used(readers, Depth.SIGNATURES)
    evidence = {
        disk.path: (*kernel_partitions(disk), *([used] if (used := found[disk.path]) else [])) for disk in disks
    }
    return {path: findings for path, findings in evidence.items() if findings}


def _open(disks: Sequence[Disk], stack: ExitStack, seen: dict[str, ObservedDisk]) -> list[_Exam]:
    found = []
    for disk in disks:
        writes = sysfs.writes(disk)  # before the first byte is read, so that a later write shows in the counts
        try:
            found.append(_Exam(disk, stack.enter_context(medium.Reader(disk)), writes))
        except medium.UnreadableError as error:
            seen[disk.path] = ObservedDisk(disk, findings=(scan.unreadable(error),), writes=writes)
    return found


def _read_ends(exam: _Exam, esp_size: int, seen: dict[str, ObservedDisk]) -> bool:
    """Read the first and the last MiB and recognise a table of ours; False if they cannot be read."""
    disk = exam.disk
    try:
        head, tail = exam.reader.head_and_tail()
    except medium.UnreadableError as error:
        seen[disk.path] = ObservedDisk(disk, findings=(scan.unreadable(error),), writes=exam.writes)
        return False
    if not exam.reader.blank_ends:
        exam.head = head
        _recognise(exam, gpt.read(exam.head, tail, disk.size_bytes, disk.sector_size), esp_size)
    return True


def _recognise(exam: _Exam, tables: gpt.Tables, esp_size: int) -> None:
    disk = exam.disk
    found = layout.recognise(disk, exam.head, tables, esp_size)
    if isinstance(found, OwnTable):
        exam.table = found
    elif tables.primary.present or tables.backup.present:
        exam.evidence.append(_evidence("own layout", found.offset, found.reason, disk))
    if exam.unfinished and tables.boot_code:
        exam.evidence.append(_evidence("own layout", 0, "boot code in the MBR of an unfinished disk", disk))


def _observed(exam: _Exam, depth: Depth) -> ObservedDisk:
    found = ObservedDisk(exam.disk, exam.table, tuple(exam.evidence), sysfs.backing_file(exam.disk), exam.writes)
    blank = not found.findings and found.table is None
    return evolve(found, read_bytes=scan.amount(exam.disk, depth), depth=depth) if blank else found


def _evidence(check: str, offset: int | None, found: str, disk: Disk) -> Evidence:
    return Evidence(check, offset, found, scan.erase_hint(disk.path))


def _examine_others(
    exams: Sequence[_Exam],
    used: Mapping[str, Evidence | None],
    signatures: Mapping[str, list[Evidence]],
    in_use: InUse,
) -> None:
    for exam in exams:
        exam.evidence += [
            *signatures[exam.disk.path],
            *kernel_partitions(exam.disk),
            *in_use(exam.disk),
            *_writable(exam.disk),
            *([found] if (found := used[exam.disk.path]) else []),
        ]


def _writable(disk: Disk) -> list[Evidence]:
    hint = "a write-protected or failing disk is never written"
    return [Evidence("read-only", None, "the kernel reports it as read-only", hint)] if disk.read_only else []


def _examine_ours(exams: Sequence[_Exam], in_use: InUse) -> None:
    readable = []
    for exam in exams:
        try:
            exam.table = _with_contents(exam)
            readable.append(exam)
            exam.evidence += _outside_evidence(exam, in_use)
        except medium.UnreadableError as error:
            exam.evidence.append(scan.unreadable(error))
    _examine_marked(readable)
    for exam in readable:
        exam.evidence += [found for part in _partitions(exam) for found in _unmarked_problem(part, exam.disk)]


def _partitions(exam: _Exam) -> tuple[SeenPartition, ...]:
    return exam.table.partitions if exam.table else ()


def _with_contents(exam: _Exam) -> OwnTable | None:
    """The table with the superblock of each partition, except bios_boot, which belongs to the boot loader."""
    parts = [
        part
        if part.kind is PartitionKind.BIOS_BOOT
        else evolve(part, content=filesystems.read(partial(_read, exam, part)))
        for part in _partitions(exam)
    ]
    return exam.table and evolve(exam.table, partitions=tuple(parts))


def _outside_evidence(exam: _Exam, in_use: InUse) -> list[Evidence]:
    """Evidence against a disk of ours, except what is inside its partitions."""
    found = _foreign_kernel_partitions(exam)
    if exam.unfinished:
        found += [*in_use(exam.disk), *_writable(exam.disk), *_used_gaps(exam)]
    return found


def _foreign_kernel_partitions(exam: _Exam) -> list[Evidence]:
    """Evidence for partitions that the kernel has and the table lacks; the kernel may not have read the table yet."""
    table = {(part.number, part.start_bytes, part.size_bytes) for part in _partitions(exam)}
    kernel = {(part.number, part.start_bytes, part.size_bytes) for part in sysfs.partitions(exam.disk).values()}
    return list(kernel_partitions(exam.disk)) if kernel - table else []


def _used_gaps(exam: _Exam) -> list[Evidence]:
    """Bytes outside of the table and the partitions that are not zero: zosstorage writes none there."""
    disk = exam.disk
    table_end = 2 * disk.sector_size + gpt.ENTRIES_BYTES
    after = max(part.start_bytes + part.size_bytes for part in _partitions(exam))
    table_start = disk.size_bytes - disk.sector_size - gpt.ENTRIES_BYTES
    mbr = (512, exam.head[512 : disk.sector_size])  # the rest of sector 0, where sectors are larger than an MBR
    gaps = (mbr, (table_end, exam.head[table_end:]), (after, exam.reader.at(after, table_start - after)))
    return [scan.used(disk, found, None) for offset, data in gaps if (found := scan.first_used(offset, data))]


def _examine_marked(exams: Sequence[_Exam]) -> None:
    """Add evidence for each marked partition that carries something foreign, by blkid or by our own readers."""
    targets = [
        (exam, part)
        for exam in exams
        for part in _partitions(exam)
        if part.marked and part.kind is not PartitionKind.BIOS_BOOT
    ]
    argvs = [probe.contents_argv(exam.disk.path, part.start_bytes, part.size_bytes) for exam, part in targets]
    statuses = (0, probe.BLKID_NOTHING, probe.BLKID_AMBIVALENT)
    probed = [_marked_problem(*pair) for pair in zip(targets, run.commands(argvs, ok=statuses), strict=True)]
    read = unfinished.problems([_flagged(*target) for target in targets])
    for (exam, part), blkid_problem, read_problem in zip(targets, probed, read, strict=True):
        if problem := blkid_problem or read_problem:
            found = f"partition {part.number} has the in-progress flag, but carries {problem}"
            evidence = _evidence("marked partition", part.start_bytes, found, exam.disk)
            exam.evidence.append(evolve(evidence, hint=unfinished.HINT))


def _flagged(exam: _Exam, part: SeenPartition) -> unfinished.Flagged:
    def read(offset: int, length: int) -> bytes:
        try:
            return _read(exam, part, offset, length)
        except medium.UnreadableError as error:
            raise UnreadableFilesystemError(error.reason) from error

    return unfinished.Flagged(part.kind, part.size_bytes, read)


def _read(exam: _Exam, part: SeenPartition, offset: int, length: int) -> bytes:
    return exam.reader.at(part.start_bytes + offset, length)


def _marked_problem(target: tuple[_Exam, SeenPartition], done: run.Completed) -> str:
    """What blkid sees in a marked partition that zosstorage would not make there; empty if nothing."""
    _, part = target
    if done.status == probe.BLKID_NOTHING:
        return ""
    seen = probe.parse_export(done.stdout)
    kind, label = seen.get("TYPE", ""), seen.get("LABEL", seen.get("LABEL_FATBOOT", ""))
    if kind in unfinished.WANTED[part.kind] and label == filesystems.LABELS[kind] and "PTTYPE" not in seen:
        return ""
    what = ", ".join(f"{key}={seen[key]}" for key in ("TYPE", "PTTYPE", "LABEL", "UUID") if key in seen)
    return f"what zosstorage would not make there: {what or 'several contradicting signatures'}"


def _unmarked_problem(part: SeenPartition, disk: Disk) -> list[Evidence]:
    """Evidence if a partition without the flag lacks its filesystem; bios_boot belongs to the boot loader."""
    if part.marked or part.kind is PartitionKind.BIOS_BOOT:
        return []
    content = part.content
    if content and content.type in unfinished.WANTED[part.kind] and content.label == filesystems.LABELS[content.type]:
        return []
    label = filesystems.LABELS["vfat" if part.kind is PartitionKind.ESP else "btrfs"]
    found = f"{content.type} labelled {content.label!r}" if content else "none of our filesystems"
    reason = f"partition {part.number} has no in-progress flag, but carries {found} where {label} belongs"
    hint = "an incomplete system is not repaired: restore it, or erase the disk by hand if nothing on it is needed"
    return [evolve(_evidence("own layout", part.start_bytes, reason, disk), hint=hint)]
