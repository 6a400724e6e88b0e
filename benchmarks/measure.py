"""One command, measured."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Sample(NamedTuple):
    """What one run took.

    Attributes:
        wall: milliseconds from start to end.
        cpu: milliseconds of processor time, user and system, of the command and all that it waited for.
        rss: KiB, of the largest of these processes. The kernel counts our own size in, from before the exec.
    """

    wall: float
    cpu: float
    rss: int


def run(argv: list[str], log: Path) -> Sample:
    """Run a command; what it says goes to the file.

    Raises:
        SystemExit: it failed.
    """
    with log.open("wb") as said:
        began = time.monotonic()
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with status {process.returncode}:\n{log.read_text('utf-8')[-2000:]}")
    return Sample(wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss)


def commands(log: Path) -> dict[str, list[float]]:
    """The seconds of every external command, by tool, that a log of zosstorage tells."""
    found: dict[str, list[float]] = {}
    for line in log.read_text("utf-8").splitlines():
        entry = json.loads(line)
        if entry["message"] == "command":
            words = entry["argv"].split()
            name = " ".join(words[:2]) if words[0] == "btrfs" else words[0]
            found.setdefault(name, []).append(entry["seconds"])
    return found
