"""The configuration: a class for every section of the file, each key with its default, its parser and its meaning.

The filesystems' classes are in `filesystems`, the parsers in `values` and `options`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from zosstorage import topologies
from zosstorage.config import values
from zosstorage.config.choices import FirmwareMode, OnPartial
from zosstorage.config.fields import PATH, key, maybe, section, word
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
    level: LogLevel = key(LogLevel.INFO, values.choice(LogLevel), "How much is logged.")
    format: LogFormat = key(LogFormat.JSON, values.choice(LogFormat), "JSON, one object a line, or text for people.")
    file: str | None = key(
        None,
        maybe(values.place),
        "A file that takes the log as well as stderr; operators use `/run/zosstorage/zosstorage.log`.",
        schema={"type": ["string", "null"], "pattern": values.PATH_PATTERN},
    )


@frozen
class Expect:
    count: int | None = key(
        None,
        maybe(values.whole(1, 4096)),
        "How many eligible disks there must be.",
        schema={**_DISKS, "minimum": 1},
    )
    ssd: int | None = key(None, maybe(values.whole(0, 4096)), "How many of them must be SSDs.", schema=_DISKS)
    hdd: int | None = key(None, maybe(values.whole(0, 4096)), "How many of them must be HDDs.", schema=_DISKS)


@frozen
class Devices:
    include: tuple[str, ...] = key(
        _INCLUDE,
        values.many(values.glob),
        "Globs over whole-disk nodes and their `/dev/disk/by-*` links: the disks that may be taken.",
        schema={**_GLOBS, "minItems": 1},
    )
    exclude: tuple[str, ...] = key(
        _EXCLUDE,
        values.many(values.glob),
        "Globs of disks that are left alone, whatever `include` says.",
        schema=_GLOBS,
    )
    allow_removable: bool = key(False, values.switch, "Also take disks that the kernel calls removable.")
    min_size: int = key(
        4 << 30,
        values.size,
        "Smaller disks are not eligible, and said so. IEC size or bytes.",
        schema=_SIZE,
        show=values.show_size,
    )
    expect: Expect = section(Expect, "When a number is set, any other number of eligible disks fails closed (exit 4).")


@frozen
class Topology:
    mode: str = word(topologies.AUTO, topologies.modes, "Which topology to make.")
    cache: tuple[str, ...] = key(
        (),
        values.many(values.glob),
        "Globs of disks that are cache disks, whatever their rotational flag says (it is wrong on virtio).",
        schema=_GLOBS,
    )
    backing: tuple[str, ...] = key((), values.many(values.glob), "The same for backing disks.", schema=_GLOBS)


@frozen
class Partitions:
    firmware: FirmwareMode = key(
        FirmwareMode.AUTO,
        values.choice(FirmwareMode),
        "`bios` puts a 1 MiB bios_boot partition before the ESP; `auto` looks for `/sys/firmware/efi`.",
    )
    esp_size: int = key(
        512 << 20,
        values.esp_size,
        "Whole MiB, at least 33MiB: less cannot be FAT32. Disks of 4096 byte sectors need 257MiB.",
        schema=_SIZE,
        show=values.show_size,
    )


@frozen
class Validate:
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
        "What a disk gets that carries exactly our own unfinished work: it is finished, or refused (exit 5).",
    )


@frozen
class Targets(Mapping[str, str]):
    """Where each of the primary filesystem's subvolumes is mounted; a mapping of exactly the four names, in order."""

    system: str = key("/var/cache/system", values.mount_target, "Where subvolume `system` is mounted.", schema=PATH)
    etc: str = key("/var/cache/etc", values.mount_target, "Where subvolume `etc` is mounted.", schema=PATH)
    modules: str = key("/var/cache/modules", values.mount_target, "Where subvolume `modules` is mounted.", schema=PATH)
    vm_meta: str = key(
        "/var/cache/vm-meta",
        values.mount_target,
        "Where subvolume `vm-meta` is mounted.",
        schema=PATH,
        name="vm-meta",
    )

    def __getitem__(self, name: str) -> str:
        if name not in set(self):
            raise KeyError(name)
        return str(getattr(self, name.replace("-", "_")))

    def __iter__(self) -> Iterator[str]:
        return iter(keys_of(Targets))

    def __len__(self) -> int:
        return len(keys_of(Targets))


@frozen
class Mounts:
    data_root: str = key(
        "/var/mounts", values.mount_target, "Each data filesystem is mounted below it, at its UUID.", schema=PATH
    )
    targets: Targets = section(Targets, "Exactly these four; none in another, none below `data_root`.")


@frozen
class Fstab:
    enabled: bool = key(False, values.switch, "Write the four subvolume mounts to fstab.")
    path: str = key("/etc/fstab", values.place, "The file that takes them; its other lines are kept.", schema=PATH)


@frozen
class Report:
    path: str = key("/run/zosstorage/state.json", values.place, "Where the report is written.", schema=PATH)


@frozen
class Tools:
    timeout: float = key(
        600.0,
        values.duration,
        "How long one external command, or a flush of the disks, may take: `30s`, `10min`, `2h`, or seconds.",
        schema=_DURATION,
        show=values.show_duration,
    )


@frozen
class Config:
    """The whole configuration.

    Sizes are bytes, durations seconds, lists tuples, paths absolute without a slash at their end.
    """

    version: int = key(1, values.whole(1, 1), "The version of this format.", schema={"const": 1})
    logging: Logging = section(Logging, "What is logged, and where.")
    devices: Devices = section(Devices, "Which disks may be taken.")
    topology: Topology = section(Topology, "What is made of them.")
    partitions: Partitions = section(Partitions, "How each disk is partitioned.")
    filesystems: Filesystems = section(Filesystems, "How the filesystems are made and mounted.")
    validate: Validate = section(Validate, "What is checked before anything is written.")
    mounts: Mounts = section(Mounts, "Where the filesystems are mounted.")
    fstab: Fstab = section(Fstab, "What is written to fstab.")
    report: Report = section(Report, "What an operator reads.")
    run_dir: str = key("/run/zosstorage", values.place, "Where the checkpoint and the lock live.", schema=PATH)
    tools: Tools = section(Tools, "External commands.")
    root: str = key(
        "/",
        values.path,
        "Prefix for every path that is mounted on or written: `--root` and `zosstorage.root=` only.",
        flag=True,
    )
