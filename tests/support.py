"""Values and images that tests build on."""

import itertools
import subprocess
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from attrs import evolve

from zosstorage.block import gpt, layout, sysfs
from zosstorage.config.load import settle
from zosstorage.errors import InterruptedRunError
from zosstorage.model import (
    Content,
    Discovery,
    Disk,
    Evidence,
    Facts,
    Filesystem,
    Firmware,
    Kind,
    Mount,
    Partition,
    PartitionKind,
    Role,
    SeenPartition,
    Verdict,
    Written,
)
from zosstorage.planning import decide
from zosstorage.system import signals
from zosstorage.system.paths import under

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


def config(**sections):
    """The defaults, with sections of the configuration file laid over them."""
    found, mistakes = settle(dict(sections))
    assert not mistakes
    return found


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
            number,
            slot.kind,
            slot.name,
            slot.type,
            str(UUID(int=(tag << 64) | number)),
            slot.start_bytes,
            slot.size_bytes,
            slot.kind in marked,
            content.get(slot.kind),
        )
        for number, slot in enumerate(layout.slots(of, firmware, role, esp_size), 1)
    )


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
    """The lines of a table of our own layout."""
    return [
        gpt.NewPartition(part.number, part.type, part.uuid, part.name, part.start_bytes, part.size_bytes, marked=marked)
        for part in seen(of, firmware=firmware, role=role, tag=tag, esp_size=esp_size)
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


def facts(*, firmware=Firmware.UEFI, mode="dual_independent", disks=None, make=True, root="/", fstab=None):
    """Everything that a run over some disks would know at its end, as the states would have found it."""
    disks = disks or (disk("sda"), disk("sdb"))
    settings = config(topology={"mode": mode})
    verdicts = [
        blank(one) if make else finished(one, tag=tag, data=data_content(f"{tag}{FS_UUID[1:]}"))
        for tag, one in enumerate(disks, 1)
    ]
    plan = decide.decide(discovery(*disks, firmware=firmware), verdicts, settings, new_uuid=uuids())
    known = Facts(discover=discovery(*disks, firmware=firmware), validate=plan, partition=_partitions(plan))
    known = evolve(known, format=_filesystems(plan, known))
    return evolve(known, mount=_mounts(plan, root), report=Written("/run/state.json", "0" * 64, "provisioned", fstab))


def _partitions(plan):
    return tuple(
        Partition(
            planned.disk.path,
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
    return tuple(
        Filesystem(one.uuid, one.label, one.type, tuple(known.device(member) for member in one.members))
        for one in plan.filesystems
    )


def _mounts(plan, root):
    data = [one for one in plan.filesystems if one.is_data]
    tops = [
        Mount(f"UUID={one.uuid}", under(root, f"/var/mounts/{one.uuid}"), one.type, "subvolid=5,noatime")
        for one in data
    ]
    primary = next(one for one in data if one.primary)
    targets = [
        Mount(f"UUID={primary.uuid}", under(root, f"/var/cache/{name}"), primary.type, f"subvol={name},noatime")
        for name in ("system", "etc", "modules", "vm-meta")
    ]
    return (*tops, *targets)


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
    *_, esp_slot, data_slot = layout.slots(of, firmware, Role.DATA, ESP_SIZE)
    poke(of.path, esp_slot.start_bytes, fat_sector() if esp is None else esp)
    poke(of.path, data_slot.start_bytes + 64 * 1024, btrfs_block() if data is None else data)


def rows(letter):
    """The cells of the rows of a table of the rationale, found by their ids."""
    lines = RATIONALE.read_text("utf-8").splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith(f"| {letter}")]
    return [[cell.strip().strip("`") for cell in cells] for cells in table]
