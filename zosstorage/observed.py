"""What Validate reads from a machine, as values. The plan is a function of them and the configuration only."""

from __future__ import annotations

from attrs import field, frozen

from zosstorage.model import Content, Depth, Discovery, Disk, Evidence, SeenPartition


@frozen
class OwnTable:
    """A partition table that is exactly our own layout.

    Attributes:
        guid: the disk GUID; empty if the write of the table was interrupted before it reached a header.
        torn: whether the write of the table was interrupted; a torn table is written again before it is used.
        partitions: the entries of the copy that is complete.
    """

    guid: str
    torn: bool
    partitions: tuple[SeenPartition, ...]

    @property
    def finished(self) -> bool:
        """Whether the table is complete and no in-progress flag is set."""
        return not self.torn and not any(part.marked for part in self.partitions)


@frozen
class ObservedDisk:
    """The content of one disk and its users: everything that its verdict depends on.

    Attributes:
        disk: the disk as Discover found it.
        table: our own layout; None if there is another table or no table.
        findings: all reasons not to write to the disk.
        backing_file: the file behind a loop device; empty otherwise.
        writes: the kernel's counters of writes and discards, taken before the disk was read; None if the kernel has no
            counters for it.
        read_bytes: how many bytes were read to see whether the disk is blank; 0 if it is not.
        depth: the depth of that scan; None if the disk is not blank.
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
    """Where a tool is.

    Attributes:
        path: the path of the executable; None if it is not installed.
        applet: the multi-call binary that the path leads to (`busybox`); None if it is the real tool.
    """

    path: str | None
    applet: str | None = None


@frozen
class ObservedKernel:
    """What the kernel can mount.

    Attributes:
        filesystems: the names in /proc/filesystems, after modprobe ran for missing ones.
        tried: the result of modprobe, by the name of the filesystem that was missing.
        mount_version: the output of `mount --version`; empty if it did not run.
    """

    filesystems: frozenset[str] = frozenset()
    tried: dict[str, str] = field(factory=dict)
    mount_version: str = ""


@frozen
class ObservedPlace:
    """A path that will be mounted on or written.

    Attributes:
        path: the path, with the root prefix.
        exists: whether the path exists.
        above: the path itself, or its nearest parent that exists.
        above_is_directory: whether `above` is a directory.
        is_file: whether the path is a regular file.
        refused: why no file can be created in the nearest directory; empty if one can.
        real: the path with all symbolic links resolved.
        mounted: the source of the topmost mount at the path; None if nothing is mounted there.
    """

    path: str
    exists: bool
    above: str
    above_is_directory: bool
    is_file: bool
    refused: str
    real: str
    mounted: str | None = None


@frozen
class Observations:
    """Everything that Validate read from this machine.

    Attributes:
        discovery: what Discover found.
        disks: the eligible disks, in the order of `discovery`.
        tools: by name.
        kernel: what the kernel can mount.
        root: the prefix of every path that is mounted on or written.
        places: by path, all that a plan for this configuration can need.
        contents: our filesystems on any device, by device node; read only if a disk carries a finished one.
        fstab: the lines of fstab; empty if no fstab is written.
    """

    discovery: Discovery
    disks: tuple[ObservedDisk, ...]
    tools: dict[str, ObservedTool]
    kernel: ObservedKernel = ObservedKernel()
    root: str = "/"
    places: dict[str, ObservedPlace] = field(factory=dict)
    contents: dict[str, Content] = field(factory=dict)
    fstab: tuple[str, ...] = ()
