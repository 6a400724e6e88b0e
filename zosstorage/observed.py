"""What Validate reads of a machine, as values: the plan follows from them and the configuration alone."""

from __future__ import annotations

from attrs import field, frozen

from zosstorage.model import Content, Depth, Discovery, Disk, Evidence, SeenPartition


@frozen
class OwnTable:
    """A partition table that is exactly our own layout.

    Attributes:
        guid: the disk GUID; empty where writing it was cut off before any header.
        torn: it was cut off while it was written, and is to be written again before it can be relied on.
        partitions: the entries to go by.
    """

    guid: str
    torn: bool
    partitions: tuple[SeenPartition, ...]

    @property
    def finished(self) -> bool:
        """Whole, and without a flag "in progress"."""
        return not self.torn and not any(part.marked for part in self.partitions)


@frozen
class ObservedDisk:
    """What one disk was seen to carry, and who has it in use: all that its verdict follows from.

    Attributes:
        table: our own layout, None where there is another table or none.
        findings: everything that speaks against writing to the disk.
        backing_file: the file behind a loop device, empty otherwise.
        writes: the kernel's counts of writes and of discards to it, before it was read; None where it keeps none.
        read_bytes: how much of it was read to see whether it is blank; 0 where that was not asked, or is not so.
        depth: of that scan.
    """

    disk: Disk
    table: OwnTable | None = None
    findings: tuple[Evidence, ...] = ()
    backing_file: str = ""
    writes: str | None = None
    read_bytes: int = 0
    depth: Depth | None = None


@frozen
class ObservedTool:
    """Where a tool is: `path` is None if nowhere; `applet` names the multi-call binary that it really is."""

    path: str | None
    applet: str | None = None


@frozen
class ObservedKernel:
    """What the kernel can mount.

    Attributes:
        filesystems: the names in /proc/filesystems, after modprobe was tried.
        tried: what became of modprobe, by the filesystem that was missing.
        mount_version: what `mount --version` says; empty where it was not asked.
    """

    filesystems: frozenset[str] = frozenset()
    tried: dict[str, str] = field(factory=dict)
    mount_version: str = ""


@frozen
class ObservedPlace:
    """A path that is to be mounted on or written.

    Attributes:
        exists: the path itself is there.
        above: the path itself, or the nearest of its parents that is there.
        above_is_folder: `above` is a folder.
        is_file: the path itself is a regular file.
        refused: why no file can be made in the nearest folder, empty where one can.
        real: the path with all links resolved.
        mounted: the source of the topmost mount at it, None for none.
    """

    path: str
    exists: bool
    above: str
    above_is_folder: bool
    is_file: bool
    refused: str
    real: str
    mounted: str | None = None


@frozen
class Observations:
    """Everything that Validate read of this machine; the plan follows from it and the configuration alone.

    Attributes:
        disks: the eligible disks, in the order of `discovery`.
        tools: by name.
        places: by path, those that a plan for this configuration can need.
        contents: filesystems of ours on any device, by its node; read only where a disk carries a finished one.
        fstab: the lines of fstab, where it is to be written.
    """

    discovery: Discovery
    disks: tuple[ObservedDisk, ...]
    tools: dict[str, ObservedTool]
    kernel: ObservedKernel = ObservedKernel()
    root: str = "/"
    places: dict[str, ObservedPlace] = field(factory=dict)
    contents: dict[str, Content] = field(factory=dict)
    fstab: tuple[str, ...] = ()
