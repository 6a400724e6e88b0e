"""The values of settings that accept a fixed set of values."""

from __future__ import annotations

from enum import StrEnum

from zosstorage.topologies import TOPOLOGIES

# The btrfs profiles of a filesystem on one disk.
ONE_DISK_PROFILES = ("single", "dup")


class FirmwareMode(StrEnum):
    """The firmware to prepare the disks for; `auto` means UEFI if `/sys/firmware/efi` exists, else BIOS."""

    AUTO = "auto"
    BIOS = "bios"
    UEFI = "uefi"


class OnPartial(StrEnum):
    """What to do with a disk that carries exactly our own unfinished work."""

    RESUME = "resume"
    ABORT = "abort"


class OnFailure(StrEnum):
    """What the init hook does when zosstorage fails; zosstorage itself only checks the value."""

    CONTINUE = "continue"
    SHELL = "shell"
    REBOOT = "reboot"
    POWEROFF = "poweroff"


def profiles() -> tuple[str, ...]:
    """The btrfs profiles that a topology can have.

    These exclude raid0 and raid10 (no topology stripes), raid5 and raid6 (the write hole), and raid1c3 and raid1c4
    unless a topology requires them.
    """
    promised = (row.profile for row in TOPOLOGIES.values() if row.profile)
    return tuple(dict.fromkeys((*ONE_DISK_PROFILES, *promised)))
