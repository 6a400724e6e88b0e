"""The mkfs arguments and mount options that an operator may add.

These are lists of what is allowed. Each option is known to take a value or not, so no argument can become one more
device to format. An abbreviated option, or one joined with its value, is not mistaken for an allowed one. What mount
would refuse is refused before anything is written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from zosstorage import text
from zosstorage.config.values import WrongItemsError, WrongValueError, a_list, line

if TYPE_CHECKING:
    from collections.abc import Callable

# An option that ends in "=" takes the text after it as its value; one that ends in " " takes the next argument.
MKFS: dict[str, tuple[str, ...]] = {
    "btrfs": (
        *("-n ", "--nodesize ", "--nodesize="),
        *("-O ", "--features ", "--features=", "-R ", "--runtime-features ", "--runtime-features="),
        *("--csum ", "--csum=", "--checksum ", "--checksum=", "-K", "--nodiscard", "-q", "--quiet", "-v", "--verbose"),
    ),
    "bcachefs": (
        *("--block_size=", "--btree_node_size=", "--encoded_extent_max=", "--errors=", "--str_hash="),
        *("--metadata_checksum=", "--data_checksum=", "--background_compression=", "--discard"),
        *("--gc_reserve_percent=", "--root_reserve_percent=", "--inodes_32bit", "--acl"),
        *("--usrquota", "--grpquota", "--prjquota", "-q", "--quiet", "-v", "--verbose"),
    ),
    "vfat": ("-a", "-D ", "-f ", "-h ", "-M ", "-R ", "--codepage=", "-v"),
}
_ANY_MOUNT = (
    *("noatime", "relatime", "strictatime", "nodiratime", "lazytime"),
    *("nodev", "nosuid", "noexec", "nosymfollow", "sync", "dirsync"),
)
MOUNT: dict[str, tuple[str, ...]] = {
    "btrfs": (
        *_ANY_MOUNT,
        *("noacl", "autodefrag", "commit=", "compress-force=", "nodatacow"),
        *("nodatasum", "discard", "discard=", "nodiscard", "enospc_debug", "fatal_errors=", "flushoncommit"),
        *("max_inline=", "metadata_ratio=", "skip_balance", "ssd", "nossd", "ssd_spread"),
        *("space_cache=v2", "thread_pool=", "notreelog", "user_subvol_rm_allowed"),
    ),
    "bcachefs": (
        *_ANY_MOUNT,
        *("discard", "errors=", "gc_reserve_percent=", "inline_data", "inodes_32bit", "journal_flush_delay="),
        *("journal_reclaim_delay=", "promote_whole_extents", "root_reserve_percent=", "verbose"),
        *("usrquota", "grpquota", "prjquota"),
    ),
}

_LABEL = "zosstorage recognises the filesystem by its label"
_UUID = "each filesystem gets a new, unique UUID"
_FORCE = "zosstorage never forces an overwrite"
_OWN_KEY = "it has its own key"
_WHOLE = "the filesystem fills its partition and is empty"
_KEY = "nobody can enter a passphrase at boot"
_TOOL = "it does not make a filesystem"
_FAT = "the ESP is FAT32 with the sector size of its disk"
_DANGER = "it writes outside the partition, or turns off checks of the tool"
_WHY_MKFS: dict[str, dict[str, str]] = {
    "btrfs": {
        **dict.fromkeys(("-f", "--force"), _FORCE),
        **dict.fromkeys(("-L", "--label"), _LABEL),
        **dict.fromkeys(("-U", "--uuid", "--device-uuid"), _UUID),
        **dict.fromkeys(
            ("-d", "--data", "-m", "--metadata", "-M", "--mixed"), _OWN_KEY + ", data_profile or metadata_profile"
        ),
        **dict.fromkeys(("-r", "--rootdir", "--shrink", "-u", "--subvol", "--compress", "-b", "--byte-count"), _WHOLE),
        **dict.fromkeys(("-s", "--sectorsize"), "the kernel cannot mount every sector size"),
        **dict.fromkeys(("-V", "--version", "--help"), _TOOL),
    },
    "bcachefs": {
        **dict.fromkeys(("-f", "--force"), _FORCE),
        **dict.fromkeys(("-L", "--fs_label", "-l", "--label"), _LABEL),
        **dict.fromkeys(("-U", "--uuid"), _UUID),
        **dict.fromkeys(("--replicas", "--metadata_replicas", "--data_replicas"), _OWN_KEY + ", replicas"),
        "--compression": _OWN_KEY,
        **dict.fromkeys(
            ("--foreground_target", "--background_target", "--promote_target", "--metadata_target", "--durability"),
            "the topology decides the purpose of each disk",
        ),
        **dict.fromkeys(("--encrypted", "--passphrase_file", "--no_passphrase"), _KEY),
        **dict.fromkeys(("--fs_size", "--source", "--no_initialize"), _WHOLE),
        **dict.fromkeys(("-h", "--help"), _TOOL),
    },
    "vfat": {
        "-n": _LABEL,
        **dict.fromkeys(("-i", "--invariant"), _UUID),
        **dict.fromkeys(("-F", "-S", "-s", "-r", "-A", "--variant"), _FAT),
        **dict.fromkeys(("-C", "-I", "--mbr", "--offset", "-b", "-c", "-l", "-m"), _DANGER),
        "--help": _TOOL,
    },
}
_USERSPACE = "the kernel does not show it, so the mount cannot be verified"
_LOSS = "it can lose or corrupt data"
_WHY_MOUNT = {
    **dict.fromkeys(("subvol", "subvolid", "X-mount.subdir"), "zosstorage selects the subvolume of each target"),
    **dict.fromkeys(
        ("degraded", "very_degraded", "device"), "zosstorage never mounts a filesystem with a missing member"
    ),
    **dict.fromkeys(("ro", "read_only", "nochanges", "rdonly"), "the mounts must be writable"),
    **dict.fromkeys(("norecovery", "nologreplay", "rescue", "usebackuproot", "recovery", "nobarrier"), _LOSS),
    **dict.fromkeys(("clear_cache", "fsck", "fix_errors", "reconstruct_alloc", "no_splitbrain_check"), _LOSS),
    "journal_flush_disabled": _LOSS,
    **dict.fromkeys(("compress", "compression", "replicas"), _OWN_KEY),
    **dict.fromkeys(("bind", "rbind", "remount", "move", "loop"), "zosstorage only mounts filesystems"),
    **dict.fromkeys(("defaults", "auto", "noauto", "nofail", "user", "users", "owner", "group", "_netdev"), _USERSPACE),
}
_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+^/-]*")
_MKFS_VALUE = re.compile(r"[A-Za-z0-9^][A-Za-z0-9_.:+,^-]*")
# As a value of -O or -R, it makes mkfs.btrfs print its features and exit 0 without making a filesystem.
_LIST_ALL = "list-all"


def mkfs(filesystem: str) -> Callable[[Any], tuple[str, ...]]:
    """Make a parser of the extra arguments for mkfs of that filesystem."""
    known = MKFS[filesystem]

    def parse(value: Any) -> tuple[str, ...]:
        words = a_list(value)
        wrong: list[tuple[int, Any, WrongValueError]] = []
        pending = ""
        for index, word in enumerate(words):
            try:
                pending = _check_mkfs_word(filesystem, line(word), pending)
            except WrongValueError as error:
                wrong.append((index, word, error))
                pending = ""
        if pending and not wrong:
            missing = WrongValueError("a value in the next item", f"'{pending}' without its value")
            wrong.append((len(words) - 1, words[-1], missing))
        if wrong:
            raise WrongItemsError(wrong)
        return tuple(words)

    parse.__doc__ = _listed(known)
    return parse


def _check_mkfs_word(filesystem: str, word: str, pending: str) -> str:
    """Check one argument; return it if its value must be the next argument, else an empty text.

    `pending` is the option whose value this argument must be. Raises WrongValueError.
    """
    if pending:
        return _check_mkfs_value(pending, word)
    known, (name, equals, value) = MKFS[filesystem], word.partition("=")
    if " " in word or (name + equals not in known and word + " " not in known):
        raise _refused(word, _mkfs_reason(filesystem, name), known)
    return _check_mkfs_value(name, value) if equals else word if word + " " in known else ""


def _check_mkfs_value(option: str, value: str) -> str:
    if value == _LIST_ALL or not _MKFS_VALUE.fullmatch(value):
        found = f"'{text.clean(value)}' as the value of {option}"
        raise WrongValueError(f"letters, digits and _.:+,^-, and not {_LIST_ALL}", found)
    return ""


def _mkfs_reason(filesystem: str, name: str) -> str:
    if not name.startswith("-"):
        return "mkfs would use it as one more device"
    reasons = _WHY_MKFS[filesystem]
    short = name if name.startswith("--") else name[:2]  # `-Lx` is `-L` joined with its value
    return reasons.get(name) or reasons.get(short, "")


def mount(filesystem: str) -> Callable[[Any], str]:
    """Make a parser of one mount option of that filesystem."""
    known = MOUNT[filesystem]

    def parse(value: Any) -> str:
        option = line(value)
        name, equals, given = option.partition("=")
        if _VALUE.fullmatch(given) if name + "=" in known and equals else option in known:
            return option
        if "," in option:
            raise WrongValueError("one option in each item of the list", f"'{text.clean(option)}'")
        reason = _USERSPACE if name.lower().startswith("x-") else ""
        raise _refused(option, _WHY_MOUNT.get(name, reason), known)

    return parse


def _refused(word: str, reason: str, known: tuple[str, ...]) -> WrongValueError:
    why = f", refused because {reason}" if reason else ""
    return WrongValueError(_listed(known), f"'{text.clean(word)}'{why}")


def _listed(known: tuple[str, ...]) -> str:
    return text.one_of(dict.fromkeys(option.rstrip("= ") for option in known))
