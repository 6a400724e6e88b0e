"""Values and images that tests build on."""

import itertools
import subprocess
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from attrs import evolve

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
from zosstorage.planning import decide as deciding
from zosstorage.planning.roles import Target
from zosstorage.system import signals
from zosstorage.system.files import under

RATIONALE = Path(__file__).parent.parent / "docs/rationale.md"
MIB, GIB = 1 << 20, 1 << 30
# What no operator should ever see.
UGLY = ("Traceback", "Exception ignored", "a defect of", "Error:", "Errno", "Logging error")
ESP_SIZE = 512 * MIB
GUID = "11111111-2222-4333-8444-555555555555"
FS_UUID = "99999999-8888-4777-8666-555555555555"


@contextmanager
def stopped(name="SIGTERM"):
    """What a signal ends, as it ends a run."""
    with pytest.raises(InterruptedRunError, match=f"stopped by {name}"), signals.caught():
        yield


def config(*, root="/", **sections):
    """The defaults, with sections of the configuration file laid over them."""
    return evolve(structure(dict(sections), Config), root=str(root))


def disk(name="vda", **changes):
    """A blank-looking disk of 10 GiB."""
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


def uuids():
    """A source of UUIDs that are all distinct and always the same; the last 32 bits differ too (volume IDs)."""
    counter = itertools.count(1)

    def new():
        number = next(counter)
        return UUID(int=(number << 96) | (4 << 76) | (2 << 62) | number)

    return new


def discovery(*disks, firmware=Firmware.UEFI):
    return Discovery(firmware, disks, ())


def blank(of):
    return Verdict(of.path, Kind.BLANK)


def foreign(of):
    return Verdict(of.path, Kind.FOREIGN, (Evidence("wipefs", 1080, "a signature of ext4", f"erase {of.path}"),))


def seen(of, *, firmware=Firmware.UEFI, role=Role.DATA, tag=1, marked=frozenset(), content=None, esp_size=ESP_SIZE):
    """The partitions of our own layout on a disk; `tag` makes their UUIDs, `content` is by kind, `marked` kinds."""
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


def _uuid(tag, number):
    return str(UUID(int=(tag << 64) | number))


def esp_content(tag=1):
    return Content("vfat", "ZOSBOOT", f"0000-{tag:04X}")


def data_content(uuid=FS_UUID, *, fstype="btrfs", member="m1", devices=1, replicas=0):
    return Content(fstype, "ZOSDATA", uuid, member, devices, replicas)


ALL_KINDS = frozenset(PartitionKind)


def ours(of, *, tag=1, torn=False, guid=None, **rest):
    """A verdict "ours" on a disk: finished where no kind is `marked`."""
    guid = str(UUID(int=tag << 96)) if guid is None else guid
    return Verdict(
        of.path, Kind.OURS, (Evidence("own layout", None, "our own layout"),), guid, torn, seen(of, tag=tag, **rest)
    )


def finished(of, *, tag=1, data=None, **rest):
    content = {PartitionKind.ESP: esp_content(tag), PartitionKind.DATA: data or data_content(member=f"m{tag}")}
    return ours(of, tag=tag, content=content, **rest)


def unfinished(of, *, tag=1, data=None, **rest):
    content = {PartitionKind.DATA: data} if data else {}
    return ours(of, tag=tag, content=content, marked=ALL_KINDS, **rest)


def new_partitions(of, *, firmware=Firmware.UEFI, role=Role.DATA, marked=True, tag=1, esp_size=ESP_SIZE):
    """The partitions of a table of our own layout."""
    return [
        evolve(part, uuid=_uuid(tag, part.number), make=marked)
        for part in layout.partitions(of, firmware, role, esp_size)
    ]


def sparse(path, size):
    """An image file of zeros."""
    with Path(path).open("wb") as file:
        file.truncate(size)
    return Path(path)


def image_disk(path, **changes):
    """An image file as a disk."""
    size = Path(path).stat().st_size
    base = disk("image", path=str(path), size_bytes=size, diskseq=None)
    return evolve(base, **changes)


def sfdisk(of, text):
    """Write a table with the real sfdisk, as the engine does."""
    argv = gpt.write_argv(of.path)
    subprocess.run(argv, input=text, text=True, check=True, capture_output=True)  # the one on PATH: a test's own choice


def write_table(of, *, guid=GUID, **rest):
    """Put our own layout on an image."""
    sfdisk(of, gpt.script(guid, new_partitions(of, **rest), of.sector_size))


def planned_images(folder):
    """Two blank images of 1 GiB, "one" and "two", and what a run would make of them on a BIOS machine."""
    disks = [
        image_disk(sparse(folder / name, GIB), name=name, number=f"7:{number}", serial=name, wwn=name)
        for number, name in enumerate(("one", "two"))
    ]
    return decide(discovery(*disks, firmware=Firmware.BIOS), [blank(one) for one in disks]).disks


def kernel_partitions(planned):
    """The partitions of a disk of a plan, as the kernel has them."""
    return {
        part.number: Partition(
            part.number, f"{planned.disk.path}p{part.number}", "", "", "", part.start_bytes, part.size_bytes
        )
        for part in planned.partitions
    }


def write_planned(*disks):
    """Put the tables of a plan on its images."""
    for planned in disks:
        sfdisk(planned.disk, gpt.script(planned.guid, planned.partitions, planned.disk.sector_size))


def ends(of):
    """The first and the last MiB of an image."""
    with Path(of.path).open("rb") as file:
        head = file.read(MIB)
        file.seek(of.size_bytes - MIB)
        return head, file.read(MIB)


def poke(path, offset, data):
    """Write bytes into a file in place."""
    with Path(path).open("r+b") as file:
        file.seek(offset)
        file.write(data)


def examine(*disks, depth=Depth.SAMPLED):
    """The verdicts on some disks, by a look at each."""
    return tuple(map(emptiness.verdict, emptiness.observe(disks, depth, ESP_SIZE)))


def observed(of, verdict=None, **changes):
    """What was seen of a disk that gets a verdict."""
    verdict = verdict or blank(of)
    base = ObservedDisk(of, writes="1 8 0 0")
    if verdict.kind is Kind.OURS:
        base = evolve(base, table=OwnTable(verdict.guid, verdict.torn, verdict.partitions))
    if verdict.kind is Kind.FOREIGN:
        base = evolve(base, findings=verdict.evidence)
    return evolve(base, **changes)


def target(of, verdict=None):
    return Target(of, verdict or blank(of))


TOOLS = ("blkid", "wipefs", "sfdisk", "partx", "mount", "umount", "mkfs.fat", "mkfs.btrfs", "btrfs", "bcachefs")


def place(path, **changes):
    """A path where nothing is in the way."""
    return evolve(ObservedPlace(path, False, "/", True, False, "", path), **changes)


def observations(found, verdicts, settings=None, **changes):
    """Everything that Validate would read of a machine with those disks on which nothing is in the way."""
    settings = settings or config()
    paths = [settings.mounts.data_root, *settings.mounts.targets.values(), settings.report.path, settings.fstab.path]
    whole = [under(settings.root, path) for path in paths if path != settings.report.path] + [settings.report.path]
    base = Observations(
        found,
        tuple(observed(disk, verdict) for disk, verdict in zip(found.disks, verdicts, strict=True)),
        {name: ObservedTool(f"/sbin/{name}") for name in TOOLS},
        ObservedKernel(frozenset(("btrfs", "vfat", "bcachefs")), {}, "mount from util-linux 2.41"),
        settings.root,
        {path: place(path) for path in whole},
    )
    return evolve(base, **changes)


def decide(found, verdicts, settings=None, *, new_uuid=None):
    """The plan for disks with those verdicts, on a machine where nothing else is in the way."""
    settings = settings or config()
    return deciding.decide(observations(found, verdicts, settings), settings, new_uuid=new_uuid or uuids())


def facts(*, firmware=Firmware.UEFI, mode="dual_independent", disks=None, make=True, root="/", fstab=None, **sections):
    """Everything that a run over some disks would know at its end, as the states would have found it."""
    disks = disks or (disk("sda"), disk("sdb"))
    enabled = {"enabled": True, "path": fstab} if fstab else {}
    settings = config(topology={"mode": mode}, fstab=enabled, root=root, **sections)
    verdicts = [
        blank(one) if make else finished(one, tag=tag, data=data_content(f"{tag}{FS_UUID[1:]}"))
        for tag, one in enumerate(disks, 1)
    ]
    found = discovery(*disks, firmware=firmware)
    plan = decide(found, verdicts, settings)
    writes = {one.path: "1 8 0 0" for one in disks}
    known = Facts(found, Validated(plan, tuple(verdicts), writes), _partitions(plan))
    known = evolve(known, format=_filesystems(plan, known))
    written = Written("/run/state.json", "0" * 64, "provisioned", plan.fstab)
    return evolve(known, mount=_mounted(plan), report=written)


def _partitions(plan):
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


def _filesystems(plan, known):
    return tuple(Filesystem(one.uuid, one.label, one.type, known.devices(one)) for one in plan.filesystems)


def _mounted(plan):
    primary = next(one for one in plan.data if plan.primary in (None, one.uuid))
    pairs = [*((one, one.top) for one in plan.data), *((primary, mount) for mount in plan.targets)]
    mounts = (Mount(f"UUID={one.uuid}", mount.target, one.type, ",".join(mount.options)) for one, mount in pairs)
    return Mounted(primary.uuid, tuple(mounts))


def fat_sector(serial=0x1A2B3C4D, label=b"ZOSBOOT"):
    """What our reader looks at in a FAT32 boot sector."""
    sector = bytearray(512)
    sector[67:71] = serial.to_bytes(4, "little")
    sector[71:82] = label.ljust(11)
    sector[82:90] = b"FAT32   "
    sector[510:] = b"\x55\xaa"
    return bytes(sector)


def btrfs_block(uuid=FS_UUID, *, label=b"ZOSDATA", member=FS_UUID, devices=1):
    """What our reader looks at in a btrfs superblock, which stands at 64 KiB."""
    block = bytearray(4096)
    block[0x20:0x30] = UUID(uuid).bytes
    block[0x40:0x48] = b"_BHRfS_M"
    block[0x88:0x90] = devices.to_bytes(8, "little")
    block[0x10B:0x11B] = UUID(member).bytes
    block[0x12B : 0x12B + len(label)] = label
    return bytes(block)


def bcachefs_block(uuid=FS_UUID, *, label=b"ZOSDATA", index=0, devices=1, replicas=1):
    """What our reader looks at in a bcachefs superblock, which stands at 4 KiB (struct bch_sb)."""
    block = bytearray(512)
    block[24:40] = UUID("c68573f6-66ce-90a9-d96a-60cf803df7ef").bytes
    block[56:72] = UUID(uuid).bytes
    block[72 : 72 + len(label)] = label
    block[122], block[123] = index, devices
    block[144:152] = (replicas << 52 | 0b101).to_bytes(8, "little")
    return bytes(block)


def put_filesystems(of, *, esp=None, data=None, firmware=Firmware.UEFI):
    """Superblocks where they belong in our own layout on an image."""
    *_, esp_part, data_part = layout.partitions(of, firmware, Role.DATA, ESP_SIZE)
    poke(of.path, esp_part.start_bytes, fat_sector() if esp is None else esp)
    poke(of.path, data_part.start_bytes + 64 * 1024, btrfs_block() if data is None else data)


def rows(letter):
    """The cells of the rows of a table of the rationale, found by their ids."""
    lines = RATIONALE.read_text("utf-8").splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith(f"| {letter}")]
    return [[cell.strip().strip("`") for cell in cells] for cells in table]
