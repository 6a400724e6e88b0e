"""The values that a setting chooses from, where the choice is a closed one."""

from __future__ import annotations

from enum import StrEnum


class TopologyMode(StrEnum):
    AUTO = "auto"
    SINGLE = "single"
    DUAL_INDEPENDENT = "dual_independent"
    BTRFS_RAID1 = "btrfs_raid1"
    BCACHEFS_SINGLE = "bcachefs_single"
    SSD_HDD_BCACHEFS = "ssd_hdd_bcachefs"
    BCACHEFS_2COPY = "bcachefs_2copy"


class FirmwareMode(StrEnum):
    """`auto` looks for `/sys/firmware/efi`."""

    AUTO = "auto"
    BIOS = "bios"
    UEFI = "uefi"


class Scan(StrEnum):
    """How far "empty" is checked beyond signatures."""

    SIGNATURES = "signatures"
    SAMPLED = "sampled"
    FULL = "full"


class OnPartial(StrEnum):
    """What a disk gets that carries exactly our own unfinished work."""

    RESUME = "resume"
    ABORT = "abort"


class LogLevel(StrEnum):
    ERROR = "error"
    WARN = "warn"
    INFO = "info"
    DEBUG = "debug"


class LogFormat(StrEnum):
    JSON = "json"
    TEXT = "text"


class BtrfsProfile(StrEnum):
    """The profiles that a topology can keep.

    Not raid0 and raid10 (no topology stripes), not raid1c3 and raid1c4 (`btrfs_raid1` promises raid1), not raid5 and
    raid6 (the write hole).
    """

    SINGLE = "single"
    DUP = "dup"
    RAID1 = "raid1"


class OnFailure(StrEnum):
    """What the init hook does when zosstorage fails; the program itself only checks the word."""

    CONTINUE = "continue"
    SHELL = "shell"
    REBOOT = "reboot"
    POWEROFF = "poweroff"
