"""The values that a setting chooses from, where the choice is a closed one."""

from __future__ import annotations

from enum import StrEnum

from zosstorage.topologies import TOPOLOGIES

# The btrfs profiles of a filesystem on one disk.
ONE_DISK_PROFILES = ("single", "dup")


class FirmwareMode(StrEnum):
    """`auto` looks for `/sys/firmware/efi`."""

    AUTO = "auto"
    BIOS = "bios"
    UEFI = "uefi"


class OnPartial(StrEnum):
    """What a disk gets that carries exactly our own unfinished work."""

    RESUME = "resume"
    ABORT = "abort"


class OnFailure(StrEnum):
    """What the init hook does when zosstorage fails; the program itself only checks the word."""

    CONTINUE = "continue"
    SHELL = "shell"
    REBOOT = "reboot"
    POWEROFF = "poweroff"


def profiles() -> tuple[str, ...]:
    """The btrfs profiles that a topology can keep.

    Not raid0 and raid10 (no topology stripes), not raid5 and raid6 (the write hole), not raid1c3 and raid1c4 as long
    as no topology promises them.
    """
    promised = (row.profile for row in TOPOLOGIES.values() if row.profile)
    return tuple(dict.fromkeys((*ONE_DISK_PROFILES, *promised)))
