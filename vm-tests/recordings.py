"""The log of every write of one provisioning of each topology: for what replays it, and for whoever cuts it short.

Recorded once a session; the disks are slow, so that a cut can be put between any two writes of a mkfs.
"""

from __future__ import annotations

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import writelog
from conftest import GUEST_LIMIT, RUNS, Blank, Lab
from qemu import Drive

if TYPE_CHECKING:
    from scenarios import Provisioning

SIZE = 4 << 30
# Writes a second of a disk: some twenty of them while nobody looks would be too many to hit one of.
WRITES_A_SECOND = 30


@dataclass(frozen=True)
class Recording:
    """The write logs, one a disk, and how many entries all had together when the program ended."""

    logs: list[Path]
    entries: int


def slow_drives(blank: Blank, folder: Path, count: int) -> list[Drive]:
    """Blank disks, throttled, each with a write log."""
    images = blank(folder, count, SIZE)
    logs = [image.with_suffix(".log") for image in images]
    for log in logs:
        log.unlink(missing_ok=True)
        with log.open("wb") as file:
            file.truncate(1 << 30)
    return [Drive(image, driver=str(log), throttle=WRITES_A_SECOND) for image, log in zip(images, logs, strict=True)]


def entries(drives: list[Drive]) -> int:
    """Writes and flushes so far, of all disks."""
    return sum(writelog.count(Path(drive.driver)) for drive in drives)


def record(lab: Lab, blank: Blank, session: str, topology: Provisioning) -> Recording:
    """Provision the topology, or take what another worker of this session has recorded."""
    folder = RUNS / f"log-{topology.name}"
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "recording.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(done.read_text()) if done.exists() else {}
        if known.get("session") != session:
            known = {"session": session, **_recorded(lab, blank, folder, topology)}
            done.write_text(json.dumps(known))
    return Recording([Path(log) for log in known["logs"]], known["entries"])


def _recorded(lab: Lab, blank: Blank, folder: Path, topology: Provisioning) -> dict[str, object]:
    drives, seen = slow_drives(blank, folder, topology.disks), 0

    def watch(said: str) -> bool:
        nonlocal seen
        seen = entries(drives) if "@@rc" not in said else seen
        return False

    guest = lab.guest(folder.name, drives, "provision run\n", cmdline=topology.words)
    done = guest.boot(GUEST_LIMIT, watch=watch)
    assert done.values.get("rc") == "0", done.tail()
    return {"logs": [drive.driver for drive in drives], "entries": seen}
