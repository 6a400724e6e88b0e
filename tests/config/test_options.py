import pytest

from zosstorage.config import options
from zosstorage.config.values import WrongItemsError, WrongValueError


def refused(filesystem, words):
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
def test_words_for_mkfs(filesystem, words):
    assert options.mkfs(filesystem)(words) == tuple(words)


@pytest.mark.parametrize(
    ("filesystem", "word", "reason"),
    [("btrfs", word, "force") for word in ("-f", "--force", "-fq")]
    + [("btrfs", word, "label") for word in ("-L", "--label", "--label=x", "-Lx")]
    + [("btrfs", word, "UUID") for word in ("-U", "--uuid=x", "--device-uuid")]
    + [
        ("btrfs", word, "key of its own")
        for word in ("-d", "-draid0", "--data", "-m", "--metadata=dup", "-M", "--mixed")
    ]
    + [("btrfs", word, "empty") for word in ("-r", "--rootdir=/", "-b", "--byte-count", "--shrink", "-u", "--subvol")]
    + [("btrfs", word, "makes no filesystem") for word in ("-V", "--help")]
    + [("bcachefs", word, "force") for word in ("-f", "--force")]
    + [("bcachefs", word, "label") for word in ("-L", "--fs_label=x", "-l", "--label=ssd.0")]
    + [("bcachefs", word, "UUID") for word in ("-U", "--uuid=x")]
    + [("bcachefs", word, "key of its own") for word in ("--replicas=3", "--data_replicas=1", "--compression=lz4")]
    + [("bcachefs", word, "topology") for word in ("--promote_target=ssd", "--durability=0")]
    + [("bcachefs", word, "passphrase") for word in ("--encrypted", "--no_passphrase")]
    + [("bcachefs", word, "empty") for word in ("--fs_size=1G", "--source=/", "--no_initialize")]
    + [("vfat", word, "label") for word in ("-n", "-nX")]
    + [("vfat", word, "UUID") for word in ("-i", "--invariant")]
    + [("vfat", word, "FAT32") for word in ("-F", "-F16", "-S", "-s", "-r", "-A", "--variant=atari")]
    + [("vfat", word, "writes outside") for word in ("-C", "-I", "--mbr", "--mbr=y", "--offset=2048", "-b", "-l")],
)
def test_words_that_would_break_a_promise_are_refused_with_the_reason(filesystem, word, reason):
    ((index, found),) = refused(filesystem, [word])
    assert index == 0
    assert found.startswith(f"'{word}', refused because ")
    assert reason in found


@pytest.mark.parametrize("filesystem", ["btrfs", "bcachefs", "vfat"])
@pytest.mark.parametrize("word", ["/dev/sda", "sda", "", "1", "--", "-", "--nonsense", "-z", "-K x", "-n "])
def test_no_word_can_become_a_device(filesystem, word):
    assert [index for index, _ in refused(filesystem, [word])] == [0]


def test_a_value_that_should_follow_and_does_not():
    assert refused("btrfs", ["-K", "-n"]) == [(1, "'-n' without its value")]


@pytest.mark.parametrize("value", ["-f", "", "a b", "/dev/sda", "list-all"])
def test_what_follows_must_be_a_value(value):
    assert refused("btrfs", ["-O", value]) == [(1, f"'{value}' as the value of -O")]


@pytest.mark.parametrize("word", ["--features=", "--features=list-all", "--features=a b", "--quiet=1", "--nodesize= 1"])
def test_a_value_in_the_same_word_is_checked_too(word):
    assert len(refused("btrfs", [word])) == 1


def test_every_wrong_word_is_told():
    assert [index for index, _ in refused("btrfs", ["-f", "-n", 16384, "-K", "x", None])] == [0, 2, 4, 5]


@pytest.mark.parametrize("value", [None, "-K", {}, 1])
def test_words_are_a_list(value):
    with pytest.raises(WrongValueError, match="a list"):
        options.mkfs("btrfs")(value)


@pytest.mark.parametrize(
    "option", ["noatime", "commit=30", "discard", "discard=async", "compress-force=zstd:3", "space_cache=v2"]
)
def test_mount_options(option):
    assert options.mount("btrfs")(option) == option


@pytest.mark.parametrize(
    ("filesystem", "option", "reason"),
    [
        (filesystem, option, "subvolume is chosen")
        for filesystem in options.MOUNT
        for option in ("subvol=x", "subvolid=5")
    ]
    + [
        (filesystem, option, "missing member")
        for filesystem in options.MOUNT
        for option in ("degraded", "device=/dev/sda")
    ]
    + [(filesystem, "ro", "must be writable") for filesystem in options.MOUNT]
    + [(filesystem, "X-mount.subdir=x", "subvolume is chosen") for filesystem in options.MOUNT]
    + [("btrfs", option, "could be lost") for option in ("nobarrier", "rescue=all", "usebackuproot", "clear_cache")]
    + [("bcachefs", option, "could be lost") for option in ("norecovery", "fix_errors", "journal_flush_disabled")]
    + [("bcachefs", option, "must be writable") for option in ("read_only", "nochanges")]
    + [("bcachefs", option, "missing member") for option in ("very_degraded", "degraded=yes")]
    + [("btrfs", option, "key of its own") for option in ("compress", "compress=zstd")]
    + [("btrfs", option, "nothing else") for option in ("bind", "remount", "loop")]
    + [
        ("btrfs", option, "read back")
        for option in ("defaults", "nofail", "x-systemd.automount", "X-mount.mkdir", "_netdev")
    ],
)
def test_mount_options_that_would_break_a_promise_are_refused_with_the_reason(filesystem, option, reason):
    with pytest.raises(WrongValueError) as caught:
        options.mount(filesystem)(option)
    assert reason in caught.value.found


@pytest.mark.parametrize("option", ["noatime,ro", "commit=30,subvol=x"])
def test_a_mount_option_hides_no_second_one(option):
    with pytest.raises(WrongValueError, match="one option in each item"):
        options.mount("btrfs")(option)


@pytest.mark.parametrize(
    "option", ["", "nonsense", "noatime=1", "commit", "commit=", "commit=a b", "commit=1\n", "space_cache=v1", 1, None]
)
def test_what_mount_would_refuse_is_refused_before(option):
    with pytest.raises(WrongValueError):
        options.mount("btrfs")(option)
