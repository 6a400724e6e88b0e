"""Every word that an operator may add for bcachefs is put before the real tool and a real kernel."""

from __future__ import annotations

import re
import subprocess

from conftest import GUEST_LIMIT, RUNS, Blank, Lab
from qemu import Drive

from zosstorage.config import options

VALUES = {
    "errors=": "continue",
    "gc_reserve_percent=": "10",
    "journal_flush_delay=": "500",
    "journal_reclaim_delay=": "100",
    "root_reserve_percent=": "1",
}
MOUNT = """
mkdir /m
bcachefs format --quiet /dev/vda >/dev/null 2>&1
try() {
    if /usr/bin/mount -t bcachefs -o "$1" /dev/vda /m 2>/tmp/said; then
        value "option-$2" taken
        /usr/bin/umount /m
    else
        value "option-$2" "$(head -1 /tmp/said)"
    fi
}
"""


def test_bcachefs_format_knows_every_word(lab: Lab) -> None:
    root = lab.roots["tools"]
    program = next(path for folder in ("sbin", "bin") if (path := root / "usr" / folder / "bcachefs").exists())
    libraries = str(root / "usr/lib/x86_64-linux-gnu")
    loader = [str(root / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", libraries]
    shown = subprocess.run([*loader, program, "format", "--help"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", shown.stdout + shown.stderr))
    assert {option.rstrip("= ") for option in options.MKFS["bcachefs"]} <= known


def test_the_kernel_takes_every_mount_option_of_bcachefs(lab: Lab, blank: Blank) -> None:
    folder = RUNS / "bcachefs-options"
    (image,) = blank(folder, 1)
    names = [f"{option}{VALUES.get(option, '')}" for option in options.MOUNT["bcachefs"]]
    script = MOUNT + "".join(f"try '{name}' {number}\n" for number, name in enumerate(names))
    log = lab.guest(folder.name, [Drive(image)], script).boot(GUEST_LIMIT)
    assert log.ended, log.tail()
    assert {name: log.values.get(f"option-{number}") for number, name in enumerate(names)} == dict.fromkeys(
        names, "taken"
    )
