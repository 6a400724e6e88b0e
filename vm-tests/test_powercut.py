"""The power goes: QEMU is killed in the middle of a provisioning, again and again, and the next boot finishes the job.

A kill of QEMU loses what the guest's page cache held. Disks are throttled so that the making of filesystems takes time.
"""

from __future__ import annotations

import json

import pytest
from conftest import GUEST_LIMIT, RUNS
from qemu import Drive

# Name, number of disks, words of the kernel command line.
TOPOLOGIES = {
    "single": (1, "zosstorage.topology=single"),
    "raid1": (2, "zosstorage.topology=btrfs_raid1"),
    "bcachefs": (2, "zosstorage.topology=ssd_hdd_bcachefs zosstorage.set=topology.cache=[/dev/vda]"),
}
POINTS = 8
# Bytes a second: what mkfs and the tables write, some MiB, then takes seconds.
THROTTLE = 2 << 20
SIZE = 8 << 30


@pytest.mark.parametrize("point", range(POINTS))
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_power_cut_is_survived(lab, blank, figures, topology, point) -> None:
    count, words = TOPOLOGIES[topology]
    folder = RUNS / f"cut-{topology}-{point}"
    images = blank(folder, count, SIZE)
    slow = [Drive(image, throttle=THROTTLE) for image in images]
    # Spread over what the provisioning takes from the first write on; the last ones come when it may be over.
    seconds = 0.3 + point * 1.1
    cut = lab.guest(folder.name, slow, "provision run\n", cmdline=words).boot(
        GUEST_LIMIT, kill_at=seconds, kill_on="@@program"
    )
    (folder / "cut.log").write_text(cut.text)
    fast = [Drive(image) for image in images]
    log = lab.guest(
        folder.name, fast, "zosstorage plan >/tmp/plan 2>&1; text plan /tmp/plan; provision run\nlook\n", cmdline=words
    ).boot(GUEST_LIMIT)
    (folder / "after.log").write_text(log.text)
    figures(f"{topology} cut after {seconds:.1f} s", log)
    assert log.ended, log.tail()
    assert log.values["rc"] == "0", f"{log.block('plan')}\n{log.block('log')}"
    report = json.loads(log.block("report"))
    assert report["status"] in ("provisioned", "already_provisioned")
    assert {fs["label"] for fs in report["filesystems"]} == {"ZOSBOOT", "ZOSDATA"}
    assert len(report["disks"]) == count
