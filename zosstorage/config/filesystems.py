"""The configuration's classes for the filesystems that are made."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from zosstorage.config import options, values
from zosstorage.config.choices import ONE_DISK_PROFILES, profiles
from zosstorage.config.fields import key, maybe, maybe_word, section
from zosstorage.topologies import TOPOLOGIES


def _words(doc: str) -> dict[str, Any]:
    return {"doc": doc, "schema": {"type": "array", "items": {"type": "string"}}}


def _which_profiles() -> str:
    one_disk = " or ".join(f"`{profile}`" for profile in ONE_DISK_PROFILES)
    promised = [f"`{row.profile}` for `{row.name}`" for row in TOPOLOGIES.values() if row.profile]
    which = ", ".join([f"{one_disk} for filesystems of one disk", *promised])
    return f"{which}; null takes what fits the topology."


@frozen
class Btrfs:
    compression: str | None = key(
        None, maybe(values.btrfs_compression), "Mount option `compress=`: `zlib[:1-9]`, `lzo`, `zstd[:1-15]`, or null."
    )
    data_profile: str | None = maybe_word(
        profiles,
        _which_profiles,
    )
    metadata_profile: str | None = maybe_word(profiles, "The same for metadata.")
    discard: bool = key(
        False,
        values.switch,
        "Have `mkfs.btrfs` discard (TRIM) the whole partition first. Otherwise data that the scan for blankness missed "
        "can still be recovered after the disk was formatted, until something trims the filesystem (`fstrim`).",
    )
    mkfs_options: tuple[str, ...] = key(
        (), options.mkfs("btrfs"), **_words("Further words for `mkfs.btrfs`; see below for which.")
    )
    mount_options: tuple[str, ...] = key(
        ("noatime",),
        values.many(options.mount("btrfs")),
        **_words("Options of the four subvolume mounts; see below for which."),
    )


@frozen
class Bcachefs:
    compression: str | None = key(
        None,
        maybe(values.bcachefs_compression),
        "What is written compressed: `lz4[:1-15]`, `gzip[:1-9]`, `zstd[:1-15]`, or null.",
    )
    replicas: int | None = key(
        None,
        maybe(values.whole(1, 3)),
        "Copies of data and metadata, 1 to 3; null takes what the topology asks for.",
        schema={"type": ["integer", "null"], "minimum": 1, "maximum": 3},
    )
    mkfs_options: tuple[str, ...] = key(
        (),
        options.mkfs("bcachefs"),
        **_words(
            "Further words for `bcachefs format`, before the devices; see below for which. It discards nothing unless "
            "`--discard` is one."
        ),
    )
    mount_options: tuple[str, ...] = key(
        ("noatime",),
        values.many(options.mount("bcachefs")),
        **_words("Options of the four subvolume mounts; see below for which."),
    )


@frozen
class Vfat:
    mkfs_options: tuple[str, ...] = key(
        (), options.mkfs("vfat"), **_words("Further words for `mkfs.fat`; see below for which.")
    )


@frozen
class Filesystems:
    btrfs: Btrfs = section(Btrfs, "Where the topology makes btrfs.")
    bcachefs: Bcachefs = section(Bcachefs, "Where the topology makes bcachefs.")
    vfat: Vfat = section(Vfat, "The ESPs.")
