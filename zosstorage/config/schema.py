"""The configuration: a class for each section of the file; each key has its default, its parser and its meaning.

The classes of the `filesystems` section are in `filesystems`, the parsers in `values` and `options`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from zosstorage import topologies
from zosstorage.config import values
from zosstorage.config.choices import FirmwareMode, OnPartial
from zosstorage.config.fields import PATH, key, maybe, section, text_key
from zosstorage.config.filesystems import Bcachefs, Btrfs, Filesystems, Vfat
from zosstorage.converter import keys_of
from zosstorage.flags import LogFormat, LogLevel
from zosstorage.model import Depth

__all__ = [
    "Bcachefs",
    "Btrfs",
    "Config",
    "Devices",
    "Expect",
    "Filesystems",
    "Fstab",
    "Logging",
    "Mounts",
    "Partitions",
    "Report",
    "Targets",
    "Tools",
    "Topology",
    "Validate",
    "Vfat",
]

_INCLUDE = ("/dev/sd*", "/dev/nvme*", "/dev/vd*")
_EXCLUDE = tuple(f"/dev/{name}*" for name in ("ram", "zram", "fd", "loop", "sr", "dm-", "md", "nbd"))
_GLOBS = {"type": "array", "items": {"type": "string", "pattern": "^/dev/"}}
_SIZE = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": values.SIZE_PATTERN}]}
_DURATION = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": values.DURATION_PATTERN}]
}
_DISKS = {"type": ["integer", "null"], "minimum": 0, "maximum": 4096}


@frozen
class Logging:
    """The `logging` section."""

    level: LogLevel = key(LogLevel.INFO, values.choice(LogLevel), "Lowest severity that is logged.")
    format: LogFormat = key(
        LogFormat.AUTO,
        values.choice(LogFormat),
        "`json`: one object per line; `text`: plain text; `auto`: text where stderr is a terminal, else JSON. The file "
        "gets JSON unless this is `text`.",
    )
    file: str | None = key(
        None,
        maybe(values.place),
        "File that the log is written to, in addition to stderr; the usual path is `/run/zosstorage/zosstorage.log`.",
        schema={"type": ["string", "null"], "pattern": values.PATH_PATTERN},
    )
    kmsg: bool = key(
        False,
        values.switch,
        "Whether start, refusals and end are also written to the kernel log, /dev/kmsg: at most ten short lines.",
    )


@frozen
class Expect:
    """The `devices.expect` section."""

    count: int | None = key(
        None,
        maybe(values.whole(1, 4096)),
        "Required number of eligible disks; null for any number.",
        schema={**_DISKS, "minimum": 1},
    )
    ssd: int | None = key(
        None, maybe(values.whole(0, 4096)), "Required number of SSDs among them; null for any number.", schema=_DISKS
    )
    hdd: int | None = key(
        None, maybe(values.whole(0, 4096)), "Required number of HDDs among them; null for any number.", schema=_DISKS
    )


@frozen
class Devices:
    """The `devices` section."""

    include: tuple[str, ...] = key(
        _INCLUDE,
        values.many(values.glob),
        "Disks that may be used: globs for whole-disk device nodes and their `/dev/disk/by-*` links.",
        schema={**_GLOBS, "minItems": 1},
    )
    exclude: tuple[str, ...] = key(
        _EXCLUDE,
        values.many(values.glob),
        "Disks that are never used, even if `include` matches them: globs as for `include`.",
        schema=_GLOBS,
    )
    allow_removable: bool = key(False, values.switch, "Whether disks that the kernel reports as removable may be used.")
    min_size: int = key(
        4 << 30,
        values.size,
        "Minimum size of a disk: an IEC size or bytes. Smaller disks are not eligible; the log names them.",
        schema=_SIZE,
        show=values.show_size,
    )
    expect: Expect = section(
        Expect, "Required numbers of eligible disks. If a number differs, nothing is written (exit code 4)."
    )


@frozen
class Topology:
    """The `topology` section."""

    mode: str = text_key(topologies.AUTO, topologies.modes, "Topology to create.")
    cache: tuple[str, ...] = key(
        (),
        values.many(values.glob),
        "Disks to use as cache disks, whatever their rotational flag is (it is wrong on virtio): globs.",
        schema=_GLOBS,
    )
    backing: tuple[str, ...] = key((), values.many(values.glob), "The same for backing disks.", schema=_GLOBS)


@frozen
class Partitions:
    """The `partitions` section."""

    firmware: FirmwareMode = key(
        FirmwareMode.AUTO,
        values.choice(FirmwareMode),
        "`bios` adds a 1 MiB bios_boot partition before the ESP; `auto` means `uefi` if `/sys/firmware/efi` exists, "
        "else `bios`.",
    )
    esp_size: int = key(
        512 << 20,
        values.esp_size,
        "Size of the ESP in whole MiB: at least 33MiB, the minimum for FAT32, or 257MiB on disks with 4096-byte "
        "sectors.",
        schema=_SIZE,
        show=values.show_size,
    )


@frozen
class Validate:
    """The `validate` section."""

    scan: Depth = key(
        Depth.SAMPLED,
        values.choice(Depth),
        'How far "empty" is checked: `signatures` asks the probers and reads both ends of the disk and the places of '
        "known superblocks, `sampled` adds an even sample between, `full` reads every byte. The sample is 2048 places "
        "of 4 KiB, or 512 of a disk that surely rotates, and the same ones at every boot. If a fraction f of the disk "
        "is in use, spread at random, n places miss it with a chance of (1-f)^n: 36 % for 0.05 % in use and 2048 "
        "places, 0.6 % for 0.25 %, 1e-9 for 1 %; with 512 places 77 %, 28 % and 0.6 %. What is in use in one piece is "
        "found for sure if the piece is as long as 2/n of the disk: 40 MiB of 40 GiB.",
    )
    on_partial: OnPartial = key(
        OnPartial.RESUME,
        values.choice(OnPartial),
        "What to do with a disk that carries exactly our own unfinished work: `resume` finishes it, `abort` refuses it "
        "(exit code 5).",
    )


@frozen
class Targets(Mapping[str, str]):
    """The `mounts.targets` section: the mount point of each subvolume, as a mapping of the four names, in order."""

    system: str = key("/var/cache/system", values.mount_target, "Mount point of the subvolume `system`.", schema=PATH)
    etc: str = key("/var/cache/etc", values.mount_target, "Mount point of the subvolume `etc`.", schema=PATH)
    modules: str = key(
        "/var/cache/modules", values.mount_target, "Mount point of the subvolume `modules`.", schema=PATH
    )
    vm_meta: str = key(
        "/var/cache/vm-meta",
        values.mount_target,
        "Mount point of the subvolume `vm-meta`.",
        schema=PATH,
        name="vm-meta",
    )

    def __getitem__(self, name: str) -> str:
        """The mount point of a subvolume.

        Raises:
            KeyError: there is no subvolume of that name.
        """
        if name not in set(self):
            raise KeyError(name)
        return str(getattr(self, name.replace("-", "_")))

    def __iter__(self) -> Iterator[str]:
        """The names of the subvolumes."""
        return iter(keys_of(Targets))

    def __len__(self) -> int:
        """The number of subvolumes."""
        return len(keys_of(Targets))


@frozen
class Mounts:
    """The `mounts` section."""

    data_root: str = key(
        "/var/mounts",
        values.mount_target,
        "Directory of the data filesystems: each is mounted in a subdirectory that is named by its UUID.",
        schema=PATH,
    )
    targets: Targets = section(
        Targets, "Mount points of the four subvolumes. None may be inside another or below `data_root`."
    )


@frozen
class Fstab:
    """The `fstab` section."""

    enabled: bool = key(False, values.switch, "Whether to write the four subvolume mounts to fstab.")
    path: str = key("/etc/fstab", values.place, "File that they are written to; its other lines are kept.", schema=PATH)


@frozen
class Report:
    """The `report` section."""

    path: str = key("/run/zosstorage/state.json", values.place, "File that the report is written to.", schema=PATH)


@frozen
class Tools:
    """The `tools` section."""

    timeout: float = key(
        600.0,
        values.duration,
        "Time limit of one external command, or of one flush of the disks: `30s`, `10min`, `2h`, or seconds.",
        schema=_DURATION,
        show=values.show_duration,
    )


@frozen
class Config:
    """The whole configuration.

    Sizes are in bytes, durations in seconds. Lists are tuples. Paths are absolute and have no slash at their end.
    """

    version: int = key(1, values.whole(1, 1), "Version of the file format.", schema={"const": 1})
    logging: Logging = section(Logging, "Content and destination of the log.")
    devices: Devices = section(Devices, "Which disks may be used.")
    topology: Topology = section(Topology, "Which filesystems are made on the disks.")
    partitions: Partitions = section(Partitions, "How each disk is partitioned.")
    filesystems: Filesystems = section(Filesystems, "How the filesystems are made and mounted.")
    validate: Validate = section(Validate, "What is checked before anything is written.")
    mounts: Mounts = section(Mounts, "Where the filesystems are mounted.")
    fstab: Fstab = section(Fstab, "Whether and where mounts are written to fstab.")
    report: Report = section(Report, "The report about a provisioned machine.")
    run_dir: str = key("/run/zosstorage", values.place, "Directory of the checkpoint and the lock.", schema=PATH)
    tools: Tools = section(Tools, "External commands.")
    root: str = key(
        "/",
        values.path,
        "Prefix for every path that is mounted on or written: only `--root` and `zosstorage.root=` set it.",
        flag=True,
    )
