"""What the configuration says about disks: which may be taken, and how many there must be. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.block.eligibility import Selection
from zosstorage.errors import NoDiskError
from zosstorage.model import Firmware

if TYPE_CHECKING:
    from zosstorage.config.schema import Config
    from zosstorage.model import Discovery


def selection(config: Config) -> Selection:
    """Which disks a configuration takes."""
    devices, firmware = config.devices, config.partitions.firmware
    return Selection(
        devices.include,
        devices.exclude,
        devices.allow_removable,
        devices.min_size,
        config.partitions.esp_size,
        None if firmware == "auto" else Firmware(firmware),
    )


def require(found: Discovery, config: Config) -> None:
    """A node that lost a disk, or got one too many, is not provisioned by guess.

    Raises:
        NoDiskError: no disk is eligible, or not as many as the configuration expects.
    """
    if not found.disks:
        raise NoDiskError(
            f"no eligible disk; {_seen(found)}",
            hint="name the disks in devices.include, and see that nothing in devices.exclude names them",
        )
    if wrong := _unexpected(found, config):
        paths = ", ".join(disk.path for disk in found.disks)
        raise NoDiskError(
            f"the disks are not those expected: {'; '.join(wrong)} ({paths})",
            hint="attach or include the missing disks, or correct devices.expect; " + _seen(found),
        )


def _unexpected(found: Discovery, config: Config) -> list[str]:
    expect, rotating = config.devices.expect, sum(disk.rotational for disk in found.disks)
    rows = (
        ("count", expect.count, len(found.disks)),
        ("ssd", expect.ssd, len(found.disks) - rotating),
        ("hdd", expect.hdd, rotating),
    )
    return [
        f"devices.expect.{key} is {wanted}, found {have}" for key, wanted, have in rows if wanted not in (None, have)
    ]


def _seen(found: Discovery) -> str:
    """What was seen and why each was rejected."""
    if not found.rejected:
        return "no other block device was seen: is the driver's module loaded?"
    return "rejected: " + ", ".join(f"{one.disk.path} ({one.reason})" for one in found.rejected)
