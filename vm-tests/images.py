"""Raw images seen from the host: their bytes, their tables by sfdisk, their filesystems by blkid."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import loopdevices
from disks import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qemu import Drive

__all__ = ["check_blkid", "check_table", "digest"]

_MIB = 1 << 20
_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"


def check_table(drive: Drive, reported: dict[str, Any], *, uefi: bool) -> None:
    """The table as sfdisk reads it from the image: our layout, no mark, as it was reported."""
    with _attached(drive) as device:
        table = json.loads(_output(["sfdisk", "-J", device]))["partitiontable"]
    parts = table["partitions"]
    assert table["label"] == "gpt"
    assert len(parts) == (2 if uefi else 3)
    assert all("attrs" not in part for part in parts)
    seen = [(part["name"], part["type"], part["uuid"].lower(), part["start"], part["size"]) for part in parts]
    wanted = [
        (
            part["name"],
            part["type"],
            part["uuid"],
            *(part[key] // drive.sector_size for key in ("start_bytes", "size_bytes")),
        )
        for part in reported["partitions"]
    ]
    assert seen == wanted
    assert all(part["start_bytes"] % _MIB == 0 == part["size_bytes"] % _MIB for part in reported["partitions"])
    esp = next(part for part in reported["partitions"] if part["type"] == _ESP)
    assert esp["size_bytes"] == 512 * _MIB


def check_blkid(drive: Drive, reported: dict[str, Any], filesystems: list[dict[str, Any]]) -> None:
    """Each partition's content as blkid reads it from the image."""
    for part in reported["partitions"]:
        owner = next((fs for fs in filesystems if part["device"] in fs["devices"]), None)
        window = ["-O", str(part["start_bytes"]), "-S", str(part["size_bytes"])]
        done = subprocess.run(
            ["blkid", "-p", "-o", "export", *window, drive.image], capture_output=True, text=True, check=False
        )
        seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
        if owner and owner["type"] == "bcachefs":  # newer than this system's blkid may know
            assert _bcachefs(drive, part["start_bytes"]) == (owner["label"], owner["uuid"])
        elif owner is None:
            assert done.returncode == 2  # bios_boot: nothing
        else:
            assert (seen["TYPE"], seen["LABEL"], seen["UUID"]) == (owner["type"], owner["label"], owner["uuid"])


@contextmanager
def _attached(drive: Drive) -> Iterator[str]:
    """The image as a read-only loop device with the disk's sectors: sfdisk takes those of a file for 512 bytes."""
    device = loopdevices.attach(drive.image, "--read-only", "--sector-size", str(drive.sector_size))
    try:
        yield device.path
    finally:
        device.release()


def _bcachefs(drive: Drive, start: int) -> tuple[str, str]:
    """(label, UUID) of a bcachefs superblock (bcachefs_format.h: magic at 24, UUID at 56, label at 72)."""
    with drive.image.open("rb") as file:
        block = os.pread(file.fileno(), 512, start + 4096)
    assert block[24:40] == UUID("c68573f6-66ce-90a9-d96a-60cf803df7ef").bytes
    return block[72:104].partition(b"\0")[0].decode(), str(UUID(bytes=block[56:72]))


def _output(command: list[Any]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
