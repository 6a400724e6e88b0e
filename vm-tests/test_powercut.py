"""The power goes: QEMU is killed in the middle of a provisioning, again and again, and the next boot finishes the job.

A kill of QEMU loses what the guest's page cache held, and what a slow disk had not taken yet. Where to cut is counted
in writes, not in seconds: a loaded machine takes its time, and a cut has to fall between the first and the last.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import GUEST_LIMIT, RUNS, Blank, Figures, Lab, Record
from qemu import Drive, Log
from recordings import entries, record, slow_drives
from scenarios import PROVISIONINGS, Provisioning

CUT = [one for one in PROVISIONINGS if one.name in ("single", "raid1", "tiered")]
POINTS = 4
# So many of them come before the marks are cleared, at the earliest.
LEFT_UNFINISHED = 2


@pytest.mark.parametrize("point", range(POINTS))
@pytest.mark.parametrize("topology", CUT, ids=lambda one: one.name)
def test_a_power_cut_is_survived(
    lab: Lab,
    blank: Blank,
    figures: Figures,
    record_property: Record,
    testrun_uid: str,
    topology: Provisioning,
    point: int,
) -> None:
    whole = record(lab, blank, testrun_uid, topology).entries
    at = max(1, int((point + 0.5) * whole / POINTS))
    folder = RUNS / f"cut-{topology.name}-{point}"
    slow = slow_drives(blank, folder, topology.disks)
    guest = lab.guest(folder.name, slow, "provision run\n", cmdline=topology.words)
    cut = guest.boot(GUEST_LIMIT, watch=lambda _said: entries(slow) >= at)
    (folder / "cut.log").write_text(cut.text)
    reached = entries(slow)
    for drive in slow:
        Path(drive.driver).unlink()
    assert cut.killed, f"{at} of {whole} writes were never reached:\n{cut.tail()}"
    assert "@@program" in cut.text
    assert "@@rc" not in cut.text, f"the program had ended after {reached} of {whole} writes"
    fast = [Drive(drive.image) for drive in slow]
    log = lab.guest(folder.name, fast, "provision run\nlook\n", cmdline=topology.words).boot(GUEST_LIMIT)
    (folder / "after.log").write_text(log.text)
    figures(f"{topology.name} cut at {at} of {whole} writes", log)
    found = verdicts(log)
    said = f"{reached} of {whole} writes, the next boot saw {' and '.join(found)}"
    record_property("cuts", f"cut-{topology.name}-{point}: {said}")
    check_finished(log, topology)
    assert len(found) == topology.disks
    assert point == 0 or set(found) != {"blank"}, "nothing had been written"
    if point < LEFT_UNFINISHED:
        assert json.loads(log.block("report"))["status"] == "provisioned"


def verdicts(log: Log) -> list[str]:
    """What Validate says of each disk."""
    lines = [json.loads(line) for line in log.block("log").splitlines() if line.startswith("{")]
    return [line["kind"] for line in lines if line["message"] == "verdict"]


def check_finished(log: Log, topology: Provisioning) -> None:
    assert log.ended, log.tail()
    assert log.values["rc"] == "0", log.block("log")
    report = json.loads(log.block("report"))
    assert report["status"] in ("provisioned", "already_provisioned")
    assert {fs["label"] for fs in report["filesystems"]} == {"ZOSBOOT", "ZOSDATA"}
    assert len(report["disks"]) == topology.disks
