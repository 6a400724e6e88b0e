"""A machine that is all it should be stays so, whatever its checkpoint was made to forget."""

import pytest
from checks import check_provisioned
from disks import GIB
from processes import output

STATES = ("discover", "validate", "partition", "format", "mount", "report")
FIRST_LOOK = STATES[:4]  # what they made is there already: the disks decide, and are recognised


def written(one):
    output("sync")
    return [disk.sectors_written for disk in one.disks]


@pytest.mark.parametrize("state", STATES)
def test_a_run_after_a_reset_writes_nothing(machine, state):
    one = machine(2, size=2 * GIB, topology={"mode": "btrfs_raid1"})
    first = one("run")
    assert first.status == 0, first.stderr
    report, mounts, before = check_provisioned(one, "btrfs_raid1"), one.mounts, written(one)
    assert one("reset", "--from", state).status == 0
    statuses = [record["status"] for record in one.checkpoint["states"]]
    kept = STATES.index(state)
    assert statuses == ["done"] * kept + ["pending"] * (6 - kept)
    again = one("run")
    assert again.status == 0, again.stderr
    assert written(one) == before
    assert one.mounts == mounts
    status = "already_provisioned" if state in FIRST_LOOK else "provisioned"
    found = check_provisioned(one, "btrfs_raid1", status=status)
    assert {**found, "timestamp": "", "status": ""} == {**report, "timestamp": "", "status": ""}
