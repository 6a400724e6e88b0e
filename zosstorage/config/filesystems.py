"""The configuration's classes for the filesystems that are made."""

from __future__ import annotations

from typing import Any

from zosstorage.config import options, values
from zosstorage.config.choices import BtrfsProfile
from zosstorage.config.fields import key, maybe, section
from zosstorage.value import Value


def _words(doc: str) -> dict[str, Any]:
    return {"doc": doc, "schema": {"type": "array", "items": {"type": "string"}}}


class Btrfs(Value):
    compression: str | None = key(
        None, maybe(values.btrfs_compression), "Mount option `compress=`: `zlib[:1-9]`, `lzo`, `zstd[:1-15]`, or null."
    )
    data_profile: BtrfsProfile | None = key(
        None,
        maybe(values.choice(BtrfsProfile)),
        "`single` or `dup` for filesystems of one disk, `raid1` for `btrfs_raid1`; null takes what fits the topology.",
    )
    metadata_profile: BtrfsProfile | None = key(None, maybe(values.choice(BtrfsProfile)), "The same for metadata.")
    mkfs_options: tuple[str, ...] = key(
        (), options.mkfs("btrfs"), **_words("Further words for `mkfs.btrfs`; see below for which.")
    )
    mount_options: tuple[str, ...] = key(
        ("noatime",),
        values.many(options.mount("btrfs")),
        **_words("Options of the four subvolume mounts; see below for which."),
    )


class Bcachefs(Value):
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
        **_words("Further words for `bcachefs format`, before the devices; see below for which."),
    )
    mount_options: tuple[str, ...] = key(
        ("noatime",),
        values.many(options.mount("bcachefs")),
        **_words("Options of the four subvolume mounts; see below for which."),
    )


class Vfat(Value):
    mkfs_options: tuple[str, ...] = key(
        (), options.mkfs("vfat"), **_words("Further words for `mkfs.fat`; see below for which.")
    )


class Filesystems(Value):
    btrfs: Btrfs = section(Btrfs, "Where the topology makes btrfs.")
    bcachefs: Bcachefs = section(Bcachefs, "Where the topology makes bcachefs.")
    vfat: Vfat = section(Vfat, "The ESPs.")
