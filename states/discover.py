"""State 1 of 6."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zosstorage.block import sysfs
from zosstorage.errors import NoDiskError
from zosstorage.value import Value, evolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import Discovery, Disk, Facts
    from zosstorage.witness import Look

log = logging.getLogger(__name__)


class Discover(Value):
    """Find the eligible disks and the firmware by sysfs alone. It must not open any device.

    It holds while the same disks, by identity, are eligible and the firmware is the same.
    """

    config: Config

    def holds(self, facts: Facts) -> bool:
        firmware, disks = sysfs.eligible(self.config)
        return firmware == facts.discovery.firmware and _identities(disks) == _identities(facts.discovery.disks)

    def looks(self, facts: Facts) -> list[Look]:  # noqa: ARG002 - what was found is not all that can be found
        return sysfs.looks(self.config)

    def work(self, facts: Facts) -> Facts:
        found = sysfs.discover(self.config)
        for disk in found.disks:
            log.info("disk", extra={"disk": disk.path, "size_bytes": disk.size_bytes, "serial": disk.serial})
        for rejected in found.rejected:
            log.debug("disk rejected", extra={"disk": rejected.disk.path, "reason": rejected.reason})
        _check_any(found)
        self._check_expected(found)
        return evolve(facts, discover=found)

    def _check_expected(self, found: Discovery) -> None:
        """A node that lost a disk, or got one too many, is not provisioned by guess."""
        expect, rotating = self.config.devices.expect, sum(disk.rotational for disk in found.disks)
        pairs = (
            ("count", expect.count, len(found.disks)),
            ("ssd", expect.ssd, len(found.disks) - rotating),
            ("hdd", expect.hdd, rotating),
        )
        wrong = [
            f"devices.expect.{key} is {wanted}, found {have}"
            for key, wanted, have in pairs
            if wanted not in (None, have)
        ]
        if wrong:
            paths = ", ".join(disk.path for disk in found.disks)
            raise NoDiskError(
                f"the disks are not those expected: {'; '.join(wrong)} ({paths})",
                hint="attach or include the missing disks, or correct devices.expect; " + _seen(found),
            )


def _identities(disks: Sequence[Disk]) -> list[tuple[object, ...]]:
    """Links are none of it: udev and mdev make them when they come to it."""
    return [(disk.path, *disk.identity) for disk in disks]


def _check_any(found: Discovery) -> None:
    if not found.disks:
        raise NoDiskError(
            f"no eligible disk; {_seen(found)}",
            hint="name the disks in devices.include, and see that nothing in devices.exclude names them",
        )


def _seen(found: Discovery) -> str:
    """What was seen and why each was rejected."""
    if not found.rejected:
        return "no other block device was seen: is the driver's module loaded?"
    return "rejected: " + ", ".join(f"{one.disk.path} ({one.reason})" for one in found.rejected)
