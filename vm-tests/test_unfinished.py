"""A person uses a bcachefs that is not finished: it is left alone; one that holds nothing but ours is finished."""

from __future__ import annotations

import pytest
from conftest import GUEST_LIMIT, RUNS, Blank, Lab
from images import digest
from qemu import Drive, Log

WORDS = {
    "bcachefs_single": (1, "zosstorage.topology=bcachefs_single"),
    "ssd_hdd_bcachefs": (2, "zosstorage.topology=ssd_hdd_bcachefs zosstorage.set=topology.cache=[/dev/vda]"),
}
MOUNT = "mkdir /m; /usr/bin/mount -t bcachefs $(echo /dev/vd?3 | tr ' ' :) /m; cd /m"
UNMOUNT = "cd /; /usr/bin/umount /m"
# Power is lost: nothing is unmounted, and the journal has what was synced.
POWER_LOSS = "sync; echo @@end; echo b >/proc/sysrq-trigger"
FILE = "echo mine >/m/file"
USED = {
    "file": (f"{FILE}; {UNMOUNT}", "a file or directory 'file'"),
    "file and power loss": (f"{FILE}; {POWER_LOSS}", "a file or directory 'file'"),
    "file in a subvolume": (
        f"bcachefs subvolume create /m/etc; echo mine >/m/etc/hosts; {UNMOUNT}",
        "a file or directory 'hosts'",
    ),
}
UNUSED = {
    "mounted": UNMOUNT,
    "power loss": POWER_LOSS,
    "subvolumes and power loss": f"bcachefs subvolume create /m/system; bcachefs subvolume create /m/etc; {POWER_LOSS}",
}


class Machine:
    """Disks whose run stopped after Format, and what a person did then."""

    def __init__(self, lab: Lab, blank: Blank, topology: str, use: str, then: str) -> None:
        count, self.words = WORDS[topology]
        self.lab, self.name = lab, f"unfinished-{topology}-{use.replace(' ', '-')}"
        self.drives = [Drive(image) for image in blank(RUNS / self.name, count)]
        log = self.boot(f"provision step --until format\n{MOUNT}\n{then}\n")
        assert log.values["rc"] == "0", log.tail()

    def boot(self, script: str) -> Log:
        guest = self.lab.guest(self.name, self.drives, script, cmdline=self.words)
        log = guest.boot(GUEST_LIMIT)
        assert log.ended, log.tail()
        return log


@pytest.mark.parametrize(
    ("topology", "use"), [*(("bcachefs_single", use) for use in USED), ("ssd_hdd_bcachefs", "file and power loss")]
)
def test_a_bcachefs_that_a_person_has_used_is_left_alone(lab: Lab, blank: Blank, topology: str, use: str) -> None:
    then, told = USED[use]
    machine = Machine(lab, blank, topology, use, then)
    before = [digest(drive.image) for drive in machine.drives]
    log = machine.boot("provision run\nlook\n")
    assert log.values["rc"] == "5", log.tail()
    assert told in log.block("log")
    assert [digest(drive.image) for drive in machine.drives] == before


@pytest.mark.parametrize("use", UNUSED)
def test_a_bcachefs_that_holds_nothing_is_finished(lab: Lab, blank: Blank, use: str) -> None:
    machine = Machine(lab, blank, "ssd_hdd_bcachefs", use, UNUSED[use])
    log = machine.boot("provision run\nlook\n")
    assert log.values["rc"] == "0", log.tail()
