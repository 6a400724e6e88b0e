"""Checks every allowed option with the real tool and the real kernel."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from zosstorage.config import options

# The options of bcachefs are checked in vm-tests, where bcachefs is available.
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
# The kernel does not show these; they are the absence of another option.
UNSEEN = {"strictatime", "nodiscard"}


@pytest.mark.parametrize("filesystem", HELP)
def test_mkfs_knows_every_allowed_option(filesystem: str) -> None:
    if not shutil.which(HELP[filesystem][0]) and not os.environ.get("CI"):
        pytest.skip(f"{HELP[filesystem][0]} is not installed")
    shown = subprocess.run(HELP[filesystem], check=False, capture_output=True, text=True)
    known = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", shown.stdout + shown.stderr))
    assert {option.rstrip("= ") for option in options.MKFS[filesystem]} <= known


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid() or not shutil.which("mkfs.btrfs"):
        pytest.skip("needs root and mkfs.btrfs")
    path = tmp_path_factory.mktemp("btrfs") / "image"
    path.touch()
    os.truncate(path, 256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", path], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return path


@pytest.mark.loop
@pytest.mark.parametrize("option", options.MOUNT["btrfs"])
def test_the_kernel_accepts_and_shows_every_allowed_mount_option(image: Path, tmp_path: Path, option: str) -> None:
    written = option + VALUES.get(option, "")
    # A private mount namespace: a namespace that another test creates at the same time would copy the mount and keep
    # the filesystem mounted with these options.
    script = 'mount -t btrfs -o "$1" "$2" "$3" && findmnt --noheadings --output OPTIONS --mountpoint "$3"'
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    command = [*private, f"loop,{written}", str(image), str(tmp_path)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split(",")
    assert (written in shown) is (written not in UNSEEN)
