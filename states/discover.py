"""Discover, state 1 of 6."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from zosstorage.block import eligibility
from zosstorage.config.schema import Config
from zosstorage.planning import discovery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.facts import Facts
    from zosstorage.model import Discovery, Disk

log = logging.getLogger(__name__)


@frozen
class Discover:
    """Finds the eligible disks and the firmware type from sysfs alone; it must not open any device.

    It holds while the same disks, by identity, are eligible and the firmware type is the same.
    """

    config: Config

    def holds(self, facts: Facts) -> bool:
        """Return whether sysfs still shows the same eligible disks and firmware."""
        found = eligibility.discover(discovery.selection(self.config))
        same = _identities(found.disks) == _identities(facts.discovery.disks)
        return same and found.firmware == facts.discovery.firmware

    def work(self, facts: Facts) -> Facts:
        """Find the disks and the firmware.

        Raises:
            NoDiskError: there is no eligible disk, or not the expected number.
        """
        found = self.find()
        discovery.require(found, self.config)
        return evolve(facts, discover=found)

    def find(self) -> Discovery:
        """Return the eligible and the rejected disks, and log them."""
        found = eligibility.discover(discovery.selection(self.config))
        for disk in found.disks:
            extra = {"event": "disk.found", "disk": disk.path, "size_bytes": disk.size_bytes, "serial": disk.serial}
            log.info("disk", extra=extra)
        for rejected in found.rejected:
            extra = {"event": "disk.rejected", "disk": rejected.disk.path, "reason": rejected.reason}
            log.debug("disk rejected", extra=extra)
        return found


def _identities(disks: Sequence[Disk]) -> list[tuple[object, ...]]:
    """Return path and identity of each disk; not its links, which udev or mdev may make at any time."""
    return [(disk.path, *disk.identity) for disk in disks]
