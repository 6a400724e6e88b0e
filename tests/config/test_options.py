"""Extra arguments for mkfs and mount options: which are accepted, and why others are not."""

from typing import Any

import pytest

from zosstorage.config import options
from zosstorage.config.values import WrongItemsError, WrongValueError


def refused(filesystem: str, words: list[Any]) -> list[tuple[int, str]]:
    with pytest.raises(WrongItemsError) as caught:
        options.mkfs(filesystem)(words)
    return [(index, wrong.found) for index, _, wrong in caught.value.items]


@pytest.mark.parametrize(
    ("filesystem", "words"),
    [
        ("btrfs", []),
        ("btrfs", ["-n", "16384"]),
        ("btrfs", ["--nodesize=16k", "-O", "block-group-tree,^no-holes", "--csum", "xxhash", "-K"]),
        ("bcachefs", ["--block_size=4k", "--metadata_checksum=xxhash", "--discard", "-q"]),
        ("vfat", ["-f", "1", "--codepage=437", "-a"]),
    ],
)
def test_accepts_arguments_for_mkfs(filesystem: str, words: list[str]) -> None:
    assert options.mkfs(filesystem)(words) == tuple(words)


@pytest.mark.parametrize(
    ("filesystem", "word", "reason"),
    [("btrfs", word, "force") for word in ("-f", "--force", "-fq")]
    + [("btrfs", word, "label") for word in ("-L", "--label", "--label=x", "-Lx")]
    + [("btrfs", word, "UUID") for word in ("-U", "--uuid=x", "--device-uuid")]
    + [("btrfs", word, "its own key") for word in ("-d", "-draid0", "--data", "-m", "--metadata=dup", "-M", "--mixed")]
    + [("btrfs", word, "empty") for word in ("-r", "--rootdir=/", "-b", "--byte-count", "--shrink", "-u", "--subvol")]
    + [("btrfs", word, "does not make a filesystem") for word in ("-V", "--help")]
    + [("bcachefs", word, "force") for word in ("-f", "--force")]
    + [("bcachefs", word, "label") for word in ("-L", "--fs_label=x", "-l", "--label=ssd.0")]
    + [("bcachefs", word, "UUID") for word in ("-U", "--uuid=x")]
    + [("bcachefs", word, "its own key") for word in ("--replicas=3", "--data_replicas=1", "--compression=lz4")]
    + [("bcachefs", word, "topology") for word in ("--promote_target=ssd", "--durability=0")]
    + [("bcachefs", word, "passphrase") for word in ("--encrypted", "--no_passphrase")]
    + [("bcachefs", word, "empty") for word in ("--fs_size=1G", "--source=/", "--no_initialize")]
    + [("vfat", word, "label") for word in ("-n", "-nX")]
    + [("vfat", word, "UUID") for word in ("-i", "--invariant")]
    + [("vfat", word, "FAT32") for word in ("-F", "-F16", "-S", "-s", "-r", "-A", "--variant=atari")]
    + [("vfat", word, "writes outside") for word in ("-C", "-I", "--mbr", "--mbr=y", "--offset=2048", "-b", "-l")],
)
def test_refuses_arguments_for_mkfs_with_the_reason(filesystem: str, word: str, reason: str) -> None:
    ((index, found),) = refused(filesystem, [word])
    assert index == 0
    assert found.startswith(f"'{word}', refused because ")
    assert reason in found


@pytest.mark.parametrize("filesystem", ["btrfs", "bcachefs", "vfat"])
@pytest.mark.parametrize("word", ["/dev/sda", "sda", "", "1", "--", "-", "--nonsense", "-z", "-K x", "-n "])
def test_refuses_an_argument_that_could_be_a_device(filesystem: str, word: str) -> None:
    assert [index for index, _ in refused(filesystem, [word])] == [0]


def test_refuses_an_option_without_its_value() -> None:
    assert refused("btrfs", ["-K", "-n"]) == [(1, "'-n' without its value")]


@pytest.mark.parametrize("value", ["-f", "", "a b", "/dev/sda", "list-all"])
def test_refuses_a_wrong_value_in_the_next_argument(value: str) -> None:
    assert refused("btrfs", ["-O", value]) == [(1, f"'{value}' as the value of -O")]


@pytest.mark.parametrize("word", ["--features=", "--features=list-all", "--features=a b", "--quiet=1", "--nodesize= 1"])
def test_refuses_a_wrong_value_in_the_same_argument(word: str) -> None:
    assert len(refused("btrfs", [word])) == 1


def test_reports_all_wrong_arguments() -> None:
    assert [index for index, _ in refused("btrfs", ["-f", "-n", 16384, "-K", "x", None])] == [0, 2, 4, 5]


@pytest.mark.parametrize("value", [None, "-K", {}, 1])
def test_refuses_arguments_that_are_not_a_list(value: Any) -> None:
    with pytest.raises(WrongValueError, match="a list"):
        options.mkfs("btrfs")(value)


@pytest.mark.parametrize(
    "option", ["noatime", "commit=30", "discard", "discard=async", "compress-force=zstd:3", "space_cache=v2"]
)
def test_accepts_mount_options(option: str) -> None:
    assert options.mount("btrfs")(option) == option


@pytest.mark.parametrize(
    ("filesystem", "option", "reason"),
    [
        (filesystem, option, "selects the subvolume")
        for filesystem in options.MOUNT
        for option in ("subvol=x", "subvolid=5")
    ]
    + [
        (filesystem, option, "missing member")
        for filesystem in options.MOUNT
        for option in ("degraded", "device=/dev/sda")
    ]
    + [(filesystem, "ro", "must be writable") for filesystem in options.MOUNT]
    + [(filesystem, "X-mount.subdir=x", "selects the subvolume") for filesystem in options.MOUNT]
    + [
        ("btrfs", option, "can lose or corrupt data")
        for option in ("nobarrier", "rescue=all", "usebackuproot", "clear_cache")
    ]
    + [
        ("bcachefs", option, "can lose or corrupt data")
        for option in ("norecovery", "fix_errors", "journal_flush_disabled")
    ]
    + [("bcachefs", option, "must be writable") for option in ("read_only", "nochanges")]
    + [("bcachefs", option, "missing member") for option in ("very_degraded", "degraded=yes")]
    + [("btrfs", option, "its own key") for option in ("compress", "compress=zstd")]
    + [("btrfs", option, "only mounts filesystems") for option in ("bind", "remount", "loop")]
    + [
        ("btrfs", option, "cannot be verified")
        for option in ("defaults", "nofail", "x-systemd.automount", "X-mount.mkdir", "_netdev")
    ],
)
def test_refuses_mount_options_with_the_reason(filesystem: str, option: str, reason: str) -> None:
    with pytest.raises(WrongValueError) as caught:
        options.mount(filesystem)(option)
    assert reason in caught.value.found


@pytest.mark.parametrize("option", ["noatime,ro", "commit=30,subvol=x"])
def test_refuses_two_mount_options_in_one_item(option: str) -> None:
    with pytest.raises(WrongValueError, match="one option in each item"):
        options.mount("btrfs")(option)


@pytest.mark.parametrize(
    "option", ["", "nonsense", "noatime=1", "commit", "commit=", "commit=a b", "commit=1\n", "space_cache=v1", 1, None]
)
def test_refuses_what_mount_would_refuse(option: Any) -> None:
    with pytest.raises(WrongValueError):
        options.mount("btrfs")(option)
