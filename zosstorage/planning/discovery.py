"""What the configuration says about disks: which may be used, and how many there must be. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.block.eligibility import Selection
from zosstorage.errors import Finding, NoDiskError
from zosstorage.model import Firmware

if TYPE_CHECKING:
    from zosstorage.config.schema import Config
    from zosstorage.model import Discovery


def selection(config: Config) -> Selection:
    """The disks that a configuration allows, and the firmware that it sets."""
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
    """Refuse a machine with a missing or an additional disk: it is not known which disks are meant.

    Raises:
        NoDiskError: no disk is eligible, or their number is not the one that `devices.expect` requires.
    """
    if not found.disks:
        raise NoDiskError(
            f"no eligible disk; {_rejected(found)}",
            hint="list the disks in devices.include, and check that devices.exclude does not match them",
            evidence=_evidence(found),
        )
    if wrong := _unexpected(found, config):
        paths = ", ".join(disk.path for disk in found.disks)
        raise NoDiskError(
            f"the number of disks is not the expected one: {'; '.join(wrong)} ({paths})",
            hint="attach or include the missing disks, or correct devices.expect; " + _rejected(found),
            evidence=_evidence(found),
        )


def _evidence(found: Discovery) -> tuple[Finding, ...]:
    return tuple(Finding(one.disk.path, "eligible", None, one.reason, one.disk.serial) for one in found.rejected)


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


def _rejected(found: Discovery) -> str:
    """The rejected disks, each with the reason."""
    if not found.rejected:
        return "no other block device was found: is the driver's module loaded?"
    return "rejected: " + ", ".join(f"{one.disk.path} ({one.reason})" for one in found.rejected)
