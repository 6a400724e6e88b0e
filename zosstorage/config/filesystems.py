"""The `filesystems` section of the configuration."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from zosstorage.config import options, values
from zosstorage.config.choices import ONE_DISK_PROFILES, profiles
from zosstorage.config.fields import key, maybe, optional_text_key, section
from zosstorage.topologies import TOPOLOGIES


def _list_key(doc: str) -> dict[str, Any]:
    return {"doc": doc, "schema": {"type": "array", "items": {"type": "string"}}}


def _which_profiles() -> str:
    one_disk = " or ".join(f"`{profile}`" for profile in ONE_DISK_PROFILES)
    required = [f"`{row.profile}` for `{row.name}`" for row in TOPOLOGIES.values() if row.profile]
    which = ", ".join([f"{one_disk} for filesystems of one disk", *required])
    return f"{which}; null selects the one that the topology requires, else the default of `mkfs.btrfs`."


@frozen
class Btrfs:
    """The `filesystems.btrfs` section."""

    compression: str | None = key(
        None,
        maybe(values.btrfs_compression),
        "Value of the mount option `compress=`: `zlib[:1-9]`, `lzo`, `zstd[:1-15]`, or null for no compression.",
    )
    data_profile: str | None = optional_text_key(profiles, _which_profiles)
    metadata_profile: str | None = optional_text_key(profiles, "The same for metadata.")
    discard: bool = key(
        False,
        values.switch,
        "Have `mkfs.btrfs` discard (TRIM) the whole partition first. Otherwise data that the scan for blankness missed "
        "can still be recovered after the disk was formatted, until something trims the filesystem (`fstrim`).",
    )
    mkfs_options: tuple[str, ...] = key(
        (), options.mkfs("btrfs"), **_list_key("Extra arguments for `mkfs.btrfs`; the allowed ones are listed below.")
    )
    mount_options: tuple[str, ...] = key(
        ("noatime",),
        values.many(options.mount("btrfs")),
        **_list_key("Options of the four subvolume mounts; the allowed ones are listed below."),
    )


@frozen
class Bcachefs:
    """The `filesystems.bcachefs` section."""

    compression: str | None = key(
        None,
        maybe(values.bcachefs_compression),
        "Compression of new data: `lz4[:1-15]`, `gzip[:1-9]`, `zstd[:1-15]`, or null for no compression.",
    )
    replicas: int | None = key(
        None,
        maybe(values.whole(1, 3)),
        "Number of copies of data and metadata, 1 to 3; null selects the number that the topology requires, else 1.",
        schema={"type": ["integer", "null"], "minimum": 1, "maximum": 3},
    )
    mkfs_options: tuple[str, ...] = key(
        (),
        options.mkfs("bcachefs"),
        **_list_key(
            "Extra arguments for `bcachefs format`, before the devices; the allowed ones are listed below. It discards "
            "nothing unless `--discard` is one of them."
        ),
    )
    mount_options: tuple[str, ...] = key(
        ("noatime",),
        values.many(options.mount("bcachefs")),
        **_list_key("Options of the four subvolume mounts; the allowed ones are listed below."),
    )


@frozen
class Vfat:
    """The `filesystems.vfat` section."""

    mkfs_options: tuple[str, ...] = key(
        (), options.mkfs("vfat"), **_list_key("Extra arguments for `mkfs.fat`; the allowed ones are listed below.")
    )


@frozen
class Filesystems:
    """The `filesystems` section."""

    btrfs: Btrfs = section(Btrfs, "Settings for topologies that make btrfs.")
    bcachefs: Bcachefs = section(Bcachefs, "Settings for topologies that make bcachefs.")
    vfat: Vfat = section(Vfat, "Settings for the ESPs.")
