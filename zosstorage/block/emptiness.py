"""May this disk be written? The one place that decides it, with evidence.

A disk is blank when nothing has it in use, no prober sees a signature and every byte that was read is zero. It is ours
when it carries exactly our own layout, and each partition what its mark "in progress", or the want of it, allows. Any
doubt makes it foreign.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.block import gpt, layout, probe, scan, sysfs
from zosstorage.block.in_use import Usage, kernel_partitions
from zosstorage.errors import ToolError
from zosstorage.model import Content, Disk, Evidence, Kind, PartitionKind, SeenPartition, Verdict
from zosstorage.system import run
from zosstorage.value import Record, evolve, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from zosstorage.config.schema import Config

    InUse = Callable[[Disk], tuple[Evidence, ...]]

_WANTED = {PartitionKind.ESP: {"vfat"}, PartitionKind.DATA: {"btrfs", "bcachefs"}}


class _Exam(Record):
    """One disk under examination."""

    disk: Disk
    reader: scan.Reader
    evidence: list[Evidence] = field(factory=list)
    head: bytes = b""
    tail: bytes = b""
    ours: layout.Recognised | None = None
    partitions: tuple[SeenPartition, ...] = ()

    @property
    def unfinished(self) -> bool:
        return self.ours is not None and (self.ours.torn or any(entry.marked for entry in self.ours.entries))


def examine(disks: Sequence[Disk], config: Config, *, claim: bool = True) -> tuple[Verdict, ...]:
    """Look at disks side by side; writes nothing. The verdicts are in the order of `disks`.

    With `claim`, each disk is ours alone for a moment: the kernel then tells whether anything else has it.

    Raises:
        ToolError: blkid or wipefs is missing or failed.
    """
    verdicts: dict[str, Verdict] = {}
    with ExitStack() as stack:
        opened, exams = [], []
        for disk in disks:
            try:
                opened.append(_Exam(disk, stack.enter_context(scan.Reader(disk))))
            except scan.UnreadableError as error:
                verdicts[disk.path] = Verdict(disk.path, Kind.FOREIGN, (scan.unreadable(error),))
        for exam in opened:
            exam.reader.ask(exam.reader.ends)
        for exam in opened:
            try:
                _look_at_ends(exam, config)
                exams.append(exam)
            except scan.UnreadableError as error:
                verdicts[exam.disk.path] = Verdict(exam.disk.path, Kind.FOREIGN, (scan.unreadable(error),))
        ours, others = ([exam for exam in exams if bool(exam.ours) is is_ours] for is_ours in (True, False))
        with probe.Probers([exam.disk for exam in others]) as probers:
            probers.look()
            used = scan.find_used([exam.reader for exam in others], config.validate.scan)
            for exam in others:
                exam.reader.close()  # while the probers are still at work
            in_use = partial(Usage.look().of, claim=claim)
            _judge_ours(ours, in_use)
            _judge_others(others, used, probers.wait(), in_use)
    verdicts |= {exam.disk.path: _verdict(exam) for exam in exams}
    return tuple(verdicts[disk.path] for disk in disks)


def examine_aside(disks: Sequence[Disk], config: Config) -> tuple[Verdict, ...]:
    """Verdicts on disks that nobody means to write, for people to read: one by one, so that none is in another's way.

    None is claimed: somebody else may be about to use it. One that cannot be examined has the reason as its evidence.
    """
    return tuple(_aside(disk, config) for disk in disks)


def _aside(disk: Disk, config: Config) -> Verdict:
    try:
        return examine([disk], config, claim=False)[0]
    except (ToolError, OSError) as error:
        return Verdict(disk.path, Kind.FOREIGN, (Evidence("probe", None, f"it cannot be examined: {error}"),))


def no_longer_blank(disks: Sequence[Disk]) -> dict[str, tuple[Evidence, ...]]:
    """The last look before the first write, by a caller that holds the disks exclusively: disk path → why it is used.

    It reads both ends and every place where a known format keeps a superblock; an even sample, or all, was read before.
    """
    found: dict[str, Evidence | None] = {}
    with ExitStack() as stack:
        readers = []
        for disk in disks:
            try:
                readers.append(stack.enter_context(scan.Reader(disk)))
            except scan.UnreadableError as error:
                found[disk.path] = scan.unreadable(error)
        found |= scan.find_used(readers, "signatures")
    evidence = {
        disk.path: (*kernel_partitions(disk), *([seen] if (seen := found[disk.path]) else [])) for disk in disks
    }
    return {path: signs for path, signs in evidence.items() if signs}


def _look_at_ends(exam: _Exam, config: Config) -> None:
    disk = exam.disk
    head, tail = exam.reader.head_and_tail()
    if exam.reader.blank_ends:
        return
    exam.head, exam.tail = head, tail
    tables = gpt.read(exam.head, exam.tail, disk.size_bytes, disk.sector_size)
    found = layout.recognise(disk, exam.head, tables, config.partitions.esp_size)
    if isinstance(found, layout.Recognised):
        exam.ours = found
    elif tables.primary.present or tables.backup.present:
        exam.evidence.append(_evidence("own layout", found.offset, found.reason, disk))
    if exam.unfinished and tables.boot_code:
        exam.evidence.append(_evidence("own layout", 0, "boot code in the MBR of an unfinished disk", disk))


def _evidence(check: str, offset: int | None, found: str, disk: Disk) -> Evidence:
    return Evidence(check, offset, found, scan.erase_hint(disk.path))


def _judge_others(
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
    return [Evidence("read-only", None, "the kernel has it read-only", hint)] if disk.read_only else []


def _judge_ours(exams: Sequence[_Exam], in_use: InUse) -> None:
    for exam in exams:
        try:
            exam.partitions = _partitions(exam)
            exam.evidence += _strays(exam, in_use)
        except scan.UnreadableError as error:
            exam.evidence.append(scan.unreadable(error))
    _probe_marked(exams)
    for exam in exams:
        exam.evidence += [found for part in exam.partitions for found in _unmarked_problem(part, exam.disk)]


def _partitions(exam: _Exam) -> tuple[SeenPartition, ...]:
    assert exam.ours  # noqa: S101 - for the type checker
    return tuple(
        SeenPartition(
            entry.number,
            kind,
            entry.name,
            entry.type,
            entry.uuid,
            entry.start_bytes,
            entry.size_bytes,
            entry.marked,
            None if kind is PartitionKind.BIOS_BOOT else read_content(exam.reader, entry.start_bytes),
        )
        for entry, kind in zip(exam.ours.entries, exam.ours.kinds, strict=True)
    )


def read_content(reader: scan.Reader, start_bytes: int) -> Content | None:
    """The superblock of one of our filesystems at a byte of a disk.

    Raises:
        UnreadableError: an I/O error or a short read.
    """
    return filesystems.read(lambda offset, length: reader.at(start_bytes + offset, length))


def _strays(exam: _Exam, in_use: InUse) -> list[Evidence]:
    """What must not be on or around a disk of ours."""
    found = _foreign_kernel_partitions(exam)
    if exam.unfinished:
        found += [*in_use(exam.disk), *_writable(exam.disk), *_used_gaps(exam)]
    return found


def _foreign_kernel_partitions(exam: _Exam) -> list[Evidence]:
    """The kernel has none of the partitions (it cannot read the table, or was not asked to), or exactly these."""
    seen = {(part.number, part.start_bytes, part.size_bytes) for part in exam.partitions}
    kernel = {(part.number, part.start_bytes, part.size_bytes) for part in sysfs.partitions(exam.disk)}
    return list(kernel_partitions(exam.disk)) if kernel - seen else []


def _used_gaps(exam: _Exam) -> list[Evidence]:
    """On an unfinished disk nothing of ours lies outside the table and the partitions."""
    disk, last = exam.disk, exam.partitions[-1]
    table_end = 2 * disk.sector_size + gpt.ENTRIES_BYTES
    after = last.start_bytes + last.size_bytes
    table_start = disk.size_bytes - disk.sector_size - gpt.ENTRIES_BYTES
    mbr = (512, exam.head[512 : disk.sector_size])  # the rest of sector 0, where sectors are larger than an MBR
    gaps = (mbr, (table_end, exam.head[table_end:]), (after, exam.reader.at(after, table_start - after)))
    return [scan.used(disk, found, None) for offset, data in gaps if (found := scan.first_used(offset, data))]


def _probe_marked(exams: Sequence[_Exam]) -> None:
    """A marked partition is worthless, unless a prober sees something there that is not what we would make."""
    targets = [
        (exam, part)
        for exam in exams
        for part in exam.partitions
        if part.marked and part.kind is not PartitionKind.BIOS_BOOT
    ]
    argvs = [probe.contents_argv(exam.disk.path, part.start_bytes, part.size_bytes) for exam, part in targets]
    statuses = (0, probe.BLKID_NOTHING, probe.BLKID_AMBIVALENT)
    for (exam, part), done in zip(targets, run.run_all(argvs, ok=statuses), strict=True):
        if problem := _marked_problem(part, done):
            exam.evidence.append(_evidence("marked partition", part.start_bytes, problem, exam.disk))


def _marked_problem(part: SeenPartition, done: run.Completed) -> str:
    if done.status == probe.BLKID_NOTHING:
        return ""
    seen = probe.parse_export(done.stdout)
    kind, label = seen.get("TYPE", ""), seen.get("LABEL", seen.get("LABEL_FATBOOT", ""))
    if kind in _WANTED[part.kind] and label == filesystems.LABELS[kind] and "PTTYPE" not in seen:
        return ""
    what = ", ".join(f"{key}={seen[key]}" for key in ("TYPE", "PTTYPE", "LABEL", "UUID") if key in seen)
    found = what or "several contradicting signatures"
    return f"partition {part.number} is marked as in progress, but carries what we would not make there: {found}"


def _unmarked_problem(part: SeenPartition, disk: Disk) -> list[Evidence]:
    """An unmarked partition must be finished; a bios_boot one belongs to the boot loader."""
    if part.marked or part.kind is PartitionKind.BIOS_BOOT:
        return []
    content = part.content
    if content and content.type in _WANTED[part.kind] and content.label == filesystems.LABELS[content.type]:
        return []
    label = filesystems.LABELS["vfat" if part.kind is PartitionKind.ESP else "btrfs"]
    found = f"{content.type} labelled {content.label!r}" if content else "none of our filesystems"
    reason = f"partition {part.number} is finished by its table, but has {found} where {label} belongs"
    hint = "an incomplete system is not repaired: restore it, or erase the disk by hand if nothing on it is needed"
    return [evolve(_evidence("own layout", part.start_bytes, reason, disk), hint=hint)]


def _verdict(exam: _Exam) -> Verdict:
    evidence = tuple(exam.evidence)
    if exam.ours is None:
        return Verdict(exam.disk.path, Kind.FOREIGN if evidence else Kind.BLANK, evidence)
    if evidence:
        return Verdict(exam.disk.path, Kind.FOREIGN, evidence)
    recognised = Evidence("own layout", None, _describe(exam.ours, exam.partitions))
    return Verdict(exam.disk.path, Kind.OURS, (recognised,), exam.ours.guid, exam.ours.torn, exam.partitions)


def _describe(ours: layout.Recognised, partitions: Iterable[SeenPartition]) -> str:
    marked = [str(part.number) for part in partitions if part.marked]
    torn = ", its table cut off while it was written" if ours.torn else ""
    state = f"unfinished (partitions {', '.join(marked)})" if marked else "finished"
    return f"our own layout, {state}{torn}"
