"""Every prefix of what a provisioning writes, and every single unflushed write dropped: never foreign, always finished.

A guest provisions disks below which QEMU logs each write and flush. From that log the disks are rebuilt as they were
after each write, and looked at here; a part of them is then provisioned to the end on loop devices.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
import writelog
from checks import check_provisioned
from conftest import GUEST_LIMIT, RUNS
from disks import PREFIX, LoopDisk, Machine
from qemu import Drive

from zosstorage.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 4 << 30
TOPOLOGIES = {
    "single": (1, "single", ""),
    "dual": (2, "dual_independent", ""),
    "raid1": (2, "btrfs_raid1", ""),
    "bcachefs": (1, "bcachefs_single", ""),
}
# Every so many states are provisioned to the end; all of them are looked at.
FINISHED_EACH = 12
FINISHED_IN_GUESTS = 6
NOTHING = hashlib.sha256().hexdigest()  # of an image whose every byte is zero


def record(lab, blank, name: str) -> list:
    """The write logs of one provisioning, one a disk."""
    count, topology, _ = TOPOLOGIES[name]
    folder = RUNS / f"log-{name}"
    images = blank(folder, count, SIZE)
    logs = [folder / f"disk{number}.log" for number in range(count)]
    for log in logs:
        log.unlink(missing_ok=True)
        with log.open("wb") as file:
            file.truncate(1 << 30)
    drives = [Drive(image, driver=str(log)) for image, log in zip(images, logs, strict=True)]
    guest = lab.guest(folder.name, drives, "provision run\n", cmdline=f"zosstorage.topology={topology}")
    done = guest.boot(GUEST_LIMIT)
    assert done.values.get("rc") == "0", done.tail()
    return logs


def states(logs: list[list[writelog.Write]]) -> list[list[list[int]]]:
    """Sets of writes that a cut may leave, one list of indices a disk: prefixes in step, and single drops.

    How the writes of two disks fell between each other is not recorded; they ran side by side, so each disk is taken
    through its own log while the other stands at the same part of its own.
    """
    longest = max(len(writes) for writes in logs)
    found = [[list(range(step * len(writes) // longest)) for writes in logs] for step in range(longest + 1)]
    for disk, writes in enumerate(logs):
        for end, lost in writelog.unflushed(writes):
            others = [list(range(end * len(other) // len(writes))) for other in logs]
            others[disk] = [index for index in range(end) if index != lost]
            found.append(others)
    return found


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_every_cut_is_resumed(lab, blank, tmp_path, name, record_property) -> None:
    logs = record(lab, blank, name)
    writes = [writelog.read(log) for log in logs]
    cuts = states(writes)
    verdicts: dict[str, int] = {}
    finished = 0
    replay = Replay(tmp_path, logs, writes, TOPOLOGIES[name][1])
    for number, cut in enumerate(cuts):
        action, told = replay.look(cut)
        verdicts[action] = verdicts.get(action, 0) + 1
        assert action != "refuse", f"state {number} of {len(cuts)}, {[len(part) for part in cut]} writes: {told}"
        if number % FINISHED_EACH == 0 and name != "bcachefs":  # which this kernel need not have
            replay.finish(cut)
            finished += 1
    if name == "bcachefs":
        for cut in cuts[:: len(cuts) // FINISHED_IN_GUESTS]:
            finish_in_a_guest(lab, replay, cut)
            finished += 1
    record_property("cuts", f"{name}: {len(cuts)} states, {verdicts}, {finished} provisioned to the end")
    assert sum(verdicts.values()) == len(cuts) > 100


def finish_in_a_guest(lab, replay: Replay, cut) -> None:
    images = replay.images(cut, "guest")
    script, words = "provision run\nlook\n", f"zosstorage.topology={replay.topology}"
    log = lab.guest(f"finish-{replay.topology}", [Drive(image) for image in images], script, cmdline=words).boot(
        GUEST_LIMIT
    )
    assert log.values.get("rc") == "0", log.tail()
    assert [fs["label"] for fs in json.loads(log.block("report"))["filesystems"]] == ["ZOSBOOT", "ZOSDATA"]


class Replay:
    """Disks rebuilt from write logs, on loop devices."""

    def __init__(self, folder, logs, writes, topology: str) -> None:
        self.folder, self.logs, self.writes, self.topology = folder, logs, writes, topology
        self.mode = {"topology": {"mode": topology}}

    def images(self, cut, name: str) -> list[Path]:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        images = []
        for number, (log, writes, part) in enumerate(zip(self.logs, self.writes, cut, strict=True)):
            image = folder / f"{PREFIX}{os.getpid()}-{name}-{number}.img"
            with image.open("wb") as file:
                file.truncate(SIZE)
            writelog.apply(log, (writes[index] for index in part), image)
            images.append(image)
        return images

    def build(self, cut, name: str) -> Machine:
        disks = [LoopDisk(image) for image in self.images(cut, name)]
        for disk in disks:  # in their order: the first image is the first disk
            disk.attach()
        return Machine(self.folder / name, disks, self.mode)

    def look(self, cut) -> tuple[str, str]:
        """What `plan` says of it: the action, and the whole text.

        Where this machine has no bcachefs, that is all that may be in the way; the verdicts are told then.
        """
        machine = self.build(cut, "look")
        try:
            done = machine("plan", "--json")
            plan = json.loads(done.stdout)
            blank = {disk["path"] for disk in plan["disks"] if disk["verdict"]["kind"] == "blank"}
            for disk in machine.disks:
                assert disk.device not in blank or disk.digest() == NOTHING, (
                    f"{disk.device} is not blank: {done.stdout}"
                )
            kinds = {disk["verdict"]["kind"] for disk in plan["disks"]}
            if plan["error"] and plan["error"]["exit_code"] == ExitCode.TOOL and kinds <= {"blank", "ours"}:
                return " and ".join(sorted(kinds)), ""
            return plan["action"], done.stdout[:4000] + done.stderr
        finally:
            machine.close()

    def finish(self, cut) -> None:
        machine = self.build(cut, "finish")
        try:
            done = machine("run")
            assert done.status == 0, done.stderr
            check_provisioned(machine, self.topology, status=machine.report["status"])
        finally:
            machine.close()


def test_a_log_is_read_and_replayed(tmp_path) -> None:
    """A log written by qemu-io through the filter gives the image that was written."""
    image, log, again = tmp_path / "image", tmp_path / "log", tmp_path / "again"
    for path in (image, log, again):
        with path.open("wb") as file:
            file.truncate(1 << 20)
    node = f"driver=blklogwrites,file.driver=file,file.filename={image},log.driver=file,log.filename={log}"
    words = [
        word
        for command in ("write -P 1 0 4k", "flush", "write -P 2 8k 512", "write -z 0 512", "flush")
        for word in ("-c", command)
    ]
    subprocess.run(["qemu-io", "--image-opts", *words, node], check=True, capture_output=True)
    writes = writelog.read(log)
    assert [(write.offset, write.length, write.flushes) for write in writes if write.length] == [
        (0, 4096, False),
        (8192, 512, False),
        (0, 512, False),
    ]
    writelog.apply(log, writes, again)
    assert again.read_bytes() == image.read_bytes()
    assert [lost for _, lost in writelog.unflushed(writes)] == [0, 2, 3]
