"""Every word that an operator may add is put before the real tool and the real kernel."""

import os
import re
import shutil
import subprocess

import pytest

from zosstorage.config import options

# Those of bcachefs stand before the real thing in vm-tests, where it is.
HELP = {"btrfs": ["mkfs.btrfs", "--help"], "vfat": ["mkfs.fat", "--help"]}
VALUES = {
    "commit=": "20",
    "compress-force=": "zstd:3",
    "discard=": "async",
    "fatal_errors=": "panic",
    "max_inline=": "1024",
    "metadata_ratio=": "2",
    "thread_pool=": "3",
}
# The kernel shows these by what it leaves away.
UNSEEN = {"strictatime", "nodiscard"}


@pytest.mark.parametrize("filesystem", HELP)
def test_mkfs_knows_every_word(filesystem):
    if not shutil.which(HELP[filesystem][0]) and not os.environ.get("CI"):
        pytest.skip(f"{HELP[filesystem][0]} is not installed")
    shown = subprocess.run(HELP[filesystem], check=False, capture_output=True, text=True)
    known = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", shown.stdout + shown.stderr))
    assert {option.rstrip("= ") for option in options.MKFS[filesystem]} <= known


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    if os.geteuid() or not shutil.which("mkfs.btrfs"):
        pytest.skip("needs root and mkfs.btrfs")
    path = tmp_path_factory.mktemp("btrfs") / "image"
    path.touch()
    os.truncate(path, 256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", path], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return path


@pytest.mark.loop
@pytest.mark.parametrize("option", options.MOUNT["btrfs"])
def test_the_kernel_takes_and_shows_every_mount_option(image, tmp_path, option):
    written = option + VALUES.get(option, "")
    # In a namespace of its own: one that another test makes meanwhile would copy the mount, and the filesystem would
    # stay mounted with these options under the next one.
    script = 'mount -t btrfs -o "$1" "$2" "$3" && findmnt --noheadings --output OPTIONS --mountpoint "$3"'
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    command = [*private, f"loop,{written}", image, tmp_path]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split(",")
    assert (written in shown) is (written not in UNSEEN)
