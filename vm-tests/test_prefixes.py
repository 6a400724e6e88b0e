"""Every prefix of what a provisioning writes, and every single unflushed write dropped: never foreign, always finished.

A guest provisions disks below which QEMU logs each write and flush. From that log the disks are rebuilt as they were
after each write, and looked at here. All states of one disk are then provisioned to the end, on loop devices; of the
other topologies a sample, those of bcachefs in guests.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
from typing import TYPE_CHECKING
from unittest import mock

import prefixes
import pytest
import writelog
from checks import check_provisioned
from conftest import GUEST_LIMIT, Blank, Lab, Record
from disks import PREFIX, LoopDisk, Machine
from qemu import Drive
from recordings import SIZE, record
from scenarios import PROVISIONINGS, Provisioning
from writelog import Write

from zosstorage import commands
from zosstorage.__main__ import main
from zosstorage.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

# Every so many states are provisioned to the end; all of them are looked at.
FINISHED_EACH = {"single": 1, "dual": 12, "raid1": 12}
FINISHED_IN_GUESTS = 2
NOTHING = hashlib.sha256().hexdigest()  # of an image whose every byte is zero


@pytest.mark.parametrize("topology", PROVISIONINGS, ids=lambda one: one.name)
def test_every_cut_is_resumed(
    lab: Lab,
    blank: Blank,
    tmp_path: Path,
    testrun_uid: str,
    topology: Provisioning,
    record_property: Record,
) -> None:
    logs = record(lab, blank, testrun_uid, topology).logs
    writes = [writelog.read(log) for log in logs]
    cuts = prefixes.states(writes, SIZE, alone=topology.topology in ("single", "dual_independent"))
    replay = Replay(tmp_path, logs, writes, topology)
    verdicts: dict[str, int] = {}
    for number, cut in enumerate(cuts):
        action, told = replay.look(cut)
        verdicts[action] = verdicts.get(action, 0) + 1
        assert action != "refuse", f"state {number} of {len(cuts)}, {[len(part) for part in cut]} writes: {told}"
    in_guests = topology.fstype == "bcachefs"  # which this kernel need not have
    chosen = cuts[:: len(cuts) // FINISHED_IN_GUESTS if in_guests else FINISHED_EACH[topology.name]]
    for cut in chosen:
        if in_guests:
            finish_in_a_guest(lab, replay, cut)
        else:
            replay.finish(cut)
    said = f"{len(cuts)} states, {verdicts}, {len(chosen)} provisioned to the end"
    record_property("cuts", f"writes of {topology.name}: {said}")


def finish_in_a_guest(lab: Lab, replay: Replay, cut: list[list[int]]) -> None:
    topology = replay.topology
    drives = [Drive(image) for image in replay.images(cut, "guest")]
    guest = lab.guest(f"finish-{topology.name}", drives, "provision run\nlook\n", cmdline=topology.words)
    log = guest.boot(GUEST_LIMIT)
    assert log.values.get("rc") == "0", log.tail()
    labels = [fs["label"] for fs in json.loads(log.block("report"))["filesystems"]]
    assert sorted(labels) == ["ZOSBOOT"] * topology.disks + ["ZOSDATA"]


class Replay:
    """Disks rebuilt from write logs, on loop devices."""

    def __init__(self, folder: Path, logs: list[Path], writes: list[list[Write]], topology: Provisioning) -> None:
        self.folder, self.logs, self.writes, self.topology = folder, logs, writes, topology

    def images(self, cut: list[list[int]], name: str) -> list[Path]:
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

    def build(self, cut: list[list[int]], name: str) -> Machine:
        disks = [LoopDisk(image) for image in self.images(cut, name)]
        for disk in disks:
            disk.attach()
        while disks != sorted(disks, key=lambda disk: disk.number):  # the first image has to be the first disk
            for disk in disks:
                disk.detach()
            for disk in disks:
                disk.attach()
        mode = {"mode": self.topology.topology, "cache": [disks[0].device] if self.topology.cache else []}
        return Machine(self.folder / name, disks, {"topology": mode})

    def look(self, cut: list[list[int]]) -> tuple[str, str]:
        """What `plan` says of it: the action, and the whole text.

        Where this machine has no bcachefs, that is all that may be in the way; the verdicts are told then.
        """
        machine = self.build(cut, "look")
        try:
            said = _plan(machine)
            plan = json.loads(said)
            blank = {disk["path"] for disk in plan["disks"] if disk["verdict"]["kind"] == "blank"}
            for disk in machine.disks:
                assert disk.device not in blank or disk.digest() == NOTHING, f"{disk.device} is not blank: {said}"
            kinds = {disk["verdict"]["kind"] for disk in plan["disks"]}
            if plan["error"] and plan["error"]["exit_code"] == ExitCode.TOOL and kinds <= {"blank", "ours"}:
                return " and ".join(sorted(kinds)), ""
            return plan["action"], said[:4000]
        finally:
            machine.close()

    def finish(self, cut: list[list[int]]) -> None:
        machine = self.build(cut, "finish")
        try:
            done = machine("run")
            assert done.status == 0, done.stderr
            check_provisioned(machine, self.topology.topology, status=machine.report["status"])
        finally:
            machine.close()


def _plan(machine: Machine) -> str:
    """What `plan --json` prints, without a process for each of the many states.

    Nor does it look at this machine's other disks, which it would do for people to read: they are none of the state.
    """
    words = ["--config", str(machine.config), "--root", str(machine.root), "--cmdline", os.devnull]
    others = mock.patch.object(commands, "observe_rejected", return_value=())
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()), others:
        main([*words, "plan", "--json"])
    return out.getvalue()


def test_a_log_is_read_and_replayed(tmp_path: Path) -> None:
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
