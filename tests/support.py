"""Values and disk images that tests are built from."""

import itertools
import os
import stat
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from superblocks import FS_UUID, bcachefs_block, btrfs_block, fat_sector

from zosstorage.block import emptiness, gpt, layout, sysfs
from zosstorage.config.schema import Config
from zosstorage.converter import structure
from zosstorage.errors import InterruptedRunError
from zosstorage.facts import Facts, Filesystem, Mount, Mounted, Partition, Validated, Written
from zosstorage.model import (
    Content,
    Depth,
    Discovery,
    Disk,
    Evidence,
    Firmware,
    Kind,
    PartitionKind,
    Role,
    SeenPartition,
    Verdict,
)
from zosstorage.observed import Observations, ObservedDisk, ObservedKernel, ObservedPlace, ObservedTool, OwnTable
from zosstorage.planned import Plan, PlannedDisk, PlannedPartition
from zosstorage.planning import decide as deciding
from zosstorage.planning.roles import Target
from zosstorage.system import signals
from zosstorage.system.files import under

# Names of `superblocks` that tests import from here.
__all__ = ["FS_UUID", "bcachefs_block", "btrfs_block", "fat_sector"]

RATIONALE = Path(__file__).parent.parent / "docs/rationale.md"
MIB, GIB = 1 << 20, 1 << 30
# Text that must never be in the output for an operator.
UGLY = ("Traceback", "Exception ignored", "a defect of", "Error:", "Errno", "Logging error")
ESP_SIZE = 512 * MIB
GUID = "11111111-2222-4333-8444-555555555555"


@contextmanager
def stopped(name: str = "SIGTERM") -> Iterator[None]:
    """Expect that a signal stops the block, as it stops a run."""
    with pytest.raises(InterruptedRunError, match=f"stopped by {name}"), signals.caught():
        yield


def config(*, root: str | Path = "/", **sections: Any) -> Config:
    """The default configuration with some sections replaced."""
    return evolve(structure(dict(sections), Config), root=str(root))


def disk(name: str = "vda", **changes: Any) -> Disk:
    """An SSD of 10 GiB, with some fields changed."""
    number = sum(ord(char) << 5 * place for place, char in enumerate(reversed(name)))
    base = Disk(
        path=f"/dev/{name}",
        name=name,
        number=f"8:{number}",
        size_bytes=10 * GIB,
        sector_size=512,
        rotational=False,
        removable=False,
        read_only=False,
        model="Model",
        serial=f"serial-{name}",
        wwn=f"naa.{number:016x}",
        diskseq=number,
    )
    return evolve(base, **changes)


def uuids() -> Callable[[], UUID]:
    """A function that returns a fixed sequence of UUIDs; their last 32 bits, which make volume IDs, differ too."""
    counter = itertools.count(1)

    def new() -> UUID:
        number = next(counter)
        return UUID(int=(number << 96) | (4 << 76) | (2 << 62) | number)

    return new


def discovery(*disks: Disk, firmware: Firmware = Firmware.UEFI) -> Discovery:
    """A discovery of some eligible disks."""
    return Discovery(firmware, disks, ())


def blank(of: Disk) -> Verdict:
    """The verdict "blank"."""
    return Verdict(of.path, Kind.BLANK)


def foreign(of: Disk) -> Verdict:
    """The verdict "foreign", because of an ext4."""
    return Verdict(of.path, Kind.FOREIGN, (Evidence("wipefs", 1080, "a signature of ext4", f"erase {of.path}"),))


def seen(
    of: Disk,
    *,
    firmware: Firmware = Firmware.UEFI,
    role: Role = Role.DATA,
    tag: int = 1,
    marked: Collection[PartitionKind] = frozenset(),
    content: Mapping[PartitionKind, Content] | None = None,
    esp_size: int = ESP_SIZE,
) -> tuple[SeenPartition, ...]:
    """The partitions of our own layout on a disk.

    `tag` determines their UUIDs; `marked` lists the kinds whose in-progress flag is set.
    """
    content = content or {}
    return tuple(
        SeenPartition(
            part.number,
            part.kind,
            part.name,
            part.type,
            _uuid(tag, part.number),
            part.start_bytes,
            part.size_bytes,
            part.kind in marked,
            content.get(part.kind),
        )
        for part in layout.partitions(of, firmware, role, esp_size)
    )


def _uuid(tag: int, number: int) -> str:
    return str(UUID(int=(tag << 64) | number))


def esp_content(tag: int = 1) -> Content:
    """The superblock of an ESP."""
    return Content("vfat", "ZOSBOOT", f"0000-{tag:04X}")


def data_content(
    uuid: str = FS_UUID, *, fstype: str = "btrfs", member: str = "m1", devices: int = 1, replicas: int = 0
) -> Content:
    """The superblock of a data filesystem."""
    return Content(fstype, "ZOSDATA", uuid, member, devices, replicas)


ALL_KINDS = frozenset(PartitionKind)


def ours(of: Disk, *, tag: int = 1, torn: bool = False, guid: str | None = None, **rest: Any) -> Verdict:
    """The verdict "ours"; `rest` goes to `seen`."""
    guid = str(UUID(int=tag << 96)) if guid is None else guid
    return Verdict(
        of.path, Kind.OURS, (Evidence("own layout", None, "our own layout"),), guid, torn, seen(of, tag=tag, **rest)
    )


def finished(of: Disk, *, tag: int = 1, data: Content | None = None, **rest: Any) -> Verdict:
    """The verdict "ours" on a finished disk."""
    content = {PartitionKind.ESP: esp_content(tag), PartitionKind.DATA: data or data_content(member=f"m{tag}")}
    return ours(of, tag=tag, content=content, **rest)


def unfinished(of: Disk, *, tag: int = 1, data: Content | None = None, **rest: Any) -> Verdict:
    """The verdict "ours" on a disk whose in-progress flags are all set."""
    content = {PartitionKind.DATA: data} if data else {}
    return ours(of, tag=tag, content=content, marked=ALL_KINDS, **rest)


def new_partitions(
    of: Disk,
    *,
    firmware: Firmware = Firmware.UEFI,
    role: Role = Role.DATA,
    marked: bool = True,
    tag: int = 1,
    esp_size: int = ESP_SIZE,
) -> list[PlannedPartition]:
    """The planned partitions of our own layout."""
    return [
        evolve(part, uuid=_uuid(tag, part.number), make=marked)
        for part in layout.partitions(of, firmware, role, esp_size)
    ]


def sparse(path: str | Path, size: int) -> Path:
    """Make an image file of `size` zero bytes."""
    with Path(path).open("wb") as file:
        file.truncate(size)
    return Path(path)


def image_disk(path: str | Path, **changes: Any) -> Disk:
    """A disk whose node is an image file."""
    size = Path(path).stat().st_size
    base = disk("image", path=str(path), size_bytes=size, diskseq=None)
    return evolve(base, **changes)


def sfdisk(of: Disk, text: str) -> None:
    """Write a table with the real sfdisk, with the options of the engine."""
    argv = gpt.write_argv(of.path)
    subprocess.run(argv, input=text, text=True, check=True, capture_output=True)


def write_table(of: Disk, *, guid: str = GUID, **rest: Any) -> None:
    """Write a table of our own layout; `rest` goes to `new_partitions`."""
    sfdisk(of, gpt.script(guid, new_partitions(of, **rest), of.sector_size))


def planned_images(folder: Path) -> tuple[PlannedDisk, ...]:
    """Make two blank images of 1 GiB, "one" and "two", and plan them for a BIOS machine."""
    disks = [
        image_disk(sparse(folder / name, GIB), name=name, number=f"7:{number}", serial=name, wwn=name)
        for number, name in enumerate(("one", "two"))
    ]
    return decide(discovery(*disks, firmware=Firmware.BIOS), [blank(one) for one in disks]).disks


def kernel_partitions(planned: PlannedDisk) -> dict[int, Partition]:
    """The partitions of a planned disk, as the kernel reports them, by number."""
    return {
        part.number: Partition(
            part.number, f"{planned.disk.path}p{part.number}", "", "", "", part.start_bytes, part.size_bytes
        )
        for part in planned.partitions
    }


def write_planned(*disks: PlannedDisk) -> None:
    """Write the tables of a plan to its images."""
    for planned in disks:
        sfdisk(planned.disk, gpt.script(planned.guid, planned.partitions, planned.disk.sector_size))


def ends(of: Disk) -> tuple[bytes, bytes]:
    """The first and the last MiB of an image."""
    with Path(of.path).open("rb") as file:
        head = file.read(MIB)
        file.seek(of.size_bytes - MIB)
        return head, file.read(MIB)


def poke(path: str | Path, offset: int, data: bytes) -> None:
    """Write bytes into a file, at an offset in bytes."""
    with Path(path).open("r+b") as file:
        file.seek(offset)
        file.write(data)


def examine(*disks: Disk, depth: Depth = Depth.SAMPLED) -> tuple[Verdict, ...]:
    """Examine disks and return the verdicts."""
    return tuple(map(emptiness.verdict, emptiness.observe(disks, depth, ESP_SIZE)))


def observed(of: Disk, verdict: Verdict | None = None, **changes: Any) -> ObservedDisk:
    """The observation of a disk that leads to a verdict ("blank" by default), with some fields changed."""
    verdict = verdict or blank(of)
    base = ObservedDisk(of, writes="1 8 0 0")
    if verdict.kind is Kind.OURS:
        base = evolve(base, table=OwnTable(verdict.guid, verdict.torn, verdict.partitions))
    if verdict.kind is Kind.FOREIGN:
        base = evolve(base, findings=verdict.evidence)
    return evolve(base, **changes)


def target(of: Disk, verdict: Verdict | None = None) -> Target:
    """A target disk with its verdict."""
    return Target(of, verdict or blank(of))


TOOLS = ("blkid", "wipefs", "sfdisk", "partx", "mount", "umount", "mkfs.fat", "mkfs.btrfs", "btrfs", "bcachefs")


def place(path: str, **changes: Any) -> ObservedPlace:
    """A path that can be created, with some fields changed."""
    return evolve(ObservedPlace(path, False, "/", True, False, "", path), **changes)


def observations(
    found: Discovery, verdicts: Sequence[Verdict], settings: Config | None = None, **changes: Any
) -> Observations:
    """The observations of a machine that has all tools and on which all paths can be created."""
    settings = settings or config()
    paths = [settings.mounts.data_root, *settings.mounts.targets.values(), settings.report.path, settings.fstab.path]
    whole = [under(settings.root, path) for path in paths if path != settings.report.path]
    base = Observations(
        found,
        tuple(observed(disk, verdict) for disk, verdict in zip(found.disks, verdicts, strict=True)),
        {name: ObservedTool(f"/sbin/{name}") for name in TOOLS},
        ObservedKernel(frozenset(("btrfs", "vfat", "bcachefs")), {}, "mount from util-linux 2.41"),
        settings.root,
        {path: place(path) for path in (*whole, settings.report.path, settings.run_dir)},
    )
    return evolve(base, **changes)


def decide(
    found: Discovery,
    verdicts: Sequence[Verdict],
    settings: Config | None = None,
    *,
    new_uuid: Callable[[], UUID] | None = None,
) -> Plan:
    """The plan for disks with those verdicts, on the machine of `observations`."""
    settings = settings or config()
    return deciding.decide(observations(found, verdicts, settings), settings, new_uuid=new_uuid or uuids())


def facts(
    *,
    firmware: Firmware = Firmware.UEFI,
    mode: str = "dual_independent",
    disks: Sequence[Disk] | None = None,
    make: bool = True,
    root: str | Path = "/",
    fstab: str | None = None,
    **sections: Any,
) -> Facts:
    """The facts at the end of a run that makes (`make`) or adopts the filesystems; `sections` go to `config`."""
    disks = disks or (disk("sda"), disk("sdb"))
    enabled = {"enabled": True, "path": fstab} if fstab else {}
    settings = config(topology={"mode": mode}, fstab=enabled, root=root, **sections)
    verdicts = [
        blank(one) if make else finished(one, tag=tag, data=data_content(f"{tag}{FS_UUID[1:]}"))
        for tag, one in enumerate(disks, 1)
    ]
    found = discovery(*disks, firmware=firmware)
    plan = decide(found, verdicts, settings)
    writes: dict[str, str | None] = {one.path: "1 8 0 0" for one in disks}
    known = Facts(found, Validated(plan, tuple(verdicts), writes), _partitions(plan))
    known = evolve(known, format=_filesystems(plan, known))
    written = Written("/run/state.json", "0" * 64, "provisioned", plan.fstab)
    return evolve(known, mount=_mounted(plan), report=written)


def _partitions(plan: Plan) -> tuple[Partition, ...]:
    return tuple(
        Partition(
            part.number,
            sysfs.partition_device(planned.disk, part.number),
            part.name,
            part.type,
            part.uuid,
            part.start_bytes,
            part.size_bytes,
        )
        for planned in plan.disks
        for part in planned.partitions
    )


def _filesystems(plan: Plan, known: Facts) -> tuple[Filesystem, ...]:
    return tuple(Filesystem(one.uuid, one.label, one.type, known.devices(one)) for one in plan.filesystems)


def _mounted(plan: Plan) -> Mounted:
    primary = next(one for one in plan.data if plan.primary in (None, one.uuid))
    tops = [(one, one.top) for one in plan.data if one.top]
    pairs = [*tops, *((primary, mount) for mount in plan.targets)]
    mounts = (Mount(f"UUID={one.uuid}", mount.target, one.type, ",".join(mount.options)) for one, mount in pairs)
    return Mounted(primary.uuid, tuple(mounts))


def put_filesystems(
    of: Disk, *, esp: bytes | None = None, data: bytes | None = None, firmware: Firmware = Firmware.UEFI
) -> None:
    """Write the superblocks of an ESP and of a btrfs into the partitions of our own layout on an image."""
    *_, esp_part, data_part = layout.partitions(of, firmware, Role.DATA, ESP_SIZE)
    poke(of.path, esp_part.start_bytes, fat_sector() if esp is None else esp)
    poke(of.path, data_part.start_bytes + 64 * 1024, btrfs_block() if data is None else data)


def rows(letter: str) -> list[list[str]]:
    """The cells of a table in docs/rationale.md whose row ids begin with a letter."""
    lines = RATIONALE.read_text("utf-8").splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith(f"| {letter}")]
    return [[cell.strip().strip("`") for cell in cells] for cells in table]


def make_socket(path: Path) -> None:
    """Make a Unix socket that nobody listens on."""
    os.mknod(path, stat.S_IFSOCK | 0o600)  # bind() takes at most 107 bytes of path
