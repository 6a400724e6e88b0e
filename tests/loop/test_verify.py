"""`verify` on real loop disks: green after a run, red for everything that can become untrue, and green again."""

import json
import os
from pathlib import Path

import pytest
from disks import LoopDisk
from processes import output
from prometheus_client.parser import text_string_to_metric_families

TOPOLOGIES = {"single": 1, "dual_independent": 2, "btrfs_raid1": 2}


class Provisioned:
    """A provisioned machine whose promises are broken and repaired."""

    def __init__(self, machine, topology):
        self.machine = machine(TOPOLOGIES[topology], topology={"mode": topology}, fstab={"enabled": True})
        (self.machine.root / "etc").mkdir()
        ran = self.machine("run")
        assert ran.status == 0, ran.stderr
        self.report = self.machine.report
        self.disk = self.report["disks"][-1]
        self.data = next(one for one in self.report["filesystems"] if one["primary"])
        self.top = self.data["mountpoint"]
        self.system = self.report["mounts"][-4]["target"]

    def inside(self, *argv):
        return output(*self.machine.inside(*argv))

    def verify(self):
        """(exit status, document)."""
        done = self.machine("verify", "--json")
        assert done.stdout, done.stderr
        return done.status, json.loads(done.stdout)

    def check_green(self):
        status, document = self.verify()
        assert (status, [check for check in document["checks"] if not check["ok"]]) == (0, [])
        assert document["ok"]
        assert all(one["ok"] for one in (*document["disks"], *document["mounts"]))

    def check_red(self, *failed):
        """Exactly these checks fail: (name, check) pairs. Returns what is seen by check."""
        status, document = self.verify()
        found = {(check["name"], check["check"]): check["seen"] for check in document["checks"] if not check["ok"]}
        assert (status, document["ok"], set(found)) == (5, False, set(failed)), found
        return {check: seen for (_, check), seen in found.items()}

    def peek(self, offset):
        with Path(self.disk["path"]).open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read(512)

    def poke(self, offset, data):
        with Path(self.disk["path"]).open("r+b", buffering=0) as file:
            file.seek(offset)
            file.write(data)
            os.fsync(file.fileno())

    def set_attributes(self, attributes):
        """Those of the data partition, by sfdisk."""
        words = ("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--part-attrs", self.disk["path"])
        output(*words, self.disk["partitions"][-1]["number"], attributes)


@pytest.fixture(params=TOPOLOGIES)
def machine_of_each_topology(machine, request):
    return Provisioned(machine, request.param)


@pytest.fixture
def single(machine):
    return Provisioned(machine, "single")


def test_all_is_true_after_a_run_and_nothing_is_written(machine_of_each_topology):
    one = machine_of_each_topology
    output("sync")
    before = [disk.sectors_written for disk in one.machine.disks]
    one.check_green()
    text = one.machine("verify")
    assert (text.status, text.stderr) == (0, "")
    assert "all ok" in text.stdout
    output("sync")
    assert [disk.sectors_written for disk in one.machine.disks] == before
    assert one.machine("verify", "--report", "/nonexistent").status == 0  # by the checkpoint
    one.machine.reboot()
    assert one.machine("verify").status == 4
    assert one.machine("run").status == 0
    one.report = one.machine.report
    one.check_green()


def test_metrics_are_parsed_by_the_client_of_prometheus(machine_of_each_topology):
    one = machine_of_each_topology
    done = one.machine("verify", "--prometheus")
    assert done.status == 0
    found = {family.name: family.samples for family in text_string_to_metric_families(done.stdout)}
    assert [sample.value for sample in found["zosstorage_verify_ok"]] == [1]
    assert [sample.labels["disk"] for sample in found["zosstorage_disk_ok"]] == [d.device for d in one.machine.disks]
    targets = [mount["target"] for mount in one.report["mounts"]]
    assert [sample.labels["target"] for sample in found["zosstorage_mount_ok"]] == targets
    assert len(found["zosstorage_btrfs_device_errors"]) == 5 * len(one.machine.disks)
    assert found["zosstorage_info"][0].labels["topology"] == one.report["topology"]


def test_a_mount_that_is_gone(machine_of_each_topology):
    one = machine_of_each_topology
    one.inside("umount", one.system)
    assert one.check_red((one.system, "mounted")) == {"mounted": "nothing"}
    red = one.machine("verify", "--prometheus").stdout
    assert f'zosstorage_mount_ok{{target="{one.system}"}} 0\n' in red
    assert one.machine("run").status == 0  # repairs it
    one.check_green()


@pytest.mark.parametrize("way", ["remount,bind,ro", "remount,ro"])
def test_a_mount_remounted_read_only(single, way):
    one = single
    one.inside("mount", "-o", way, one.system)
    status, document = one.verify()
    red = [check for check in document["checks"] if not check["ok"]]
    assert (status, {check["check"] for check in red}) == (5, {"read-write"})
    assert one.system in [check["name"] for check in red]
    assert all("kernel log" in check["warning"] for check in red)
    one.inside("mount", "-o", way.replace("ro", "rw"), one.system)
    one.check_green()


@pytest.mark.parametrize("place", ["the target itself", "a directory above it"])
def test_a_target_hidden_under_another_mount(single, place):
    one = single
    over = one.system if place == "the target itself" else one.machine.root / "var/cache"
    one.inside("mount", "-t", "tmpfs", "tmpfs", over)
    status, document = one.verify()
    red = {check["name"]: check["seen"] for check in document["checks"] if not check["ok"]}
    assert (status, len(red)) == (5, 1 if over == one.system else 4)
    assert "tmpfs" in red[one.system]
    one.inside("umount", over)
    one.check_green()


def test_a_deleted_subvolume(machine_of_each_topology):
    one = machine_of_each_topology
    etc = one.report["mounts"][-3]["target"]
    one.inside("umount", etc)
    one.inside("btrfs", "subvolume", "delete", f"{one.top}/etc")
    seen = one.check_red((etc, "mounted"), (one.data["uuid"], "subvolumes"))
    assert seen["subvolumes"] == "system modules vm-meta"
    one.inside("btrfs", "subvolume", "create", f"{one.top}/etc")
    one.inside("mount", "-o", "subvol=etc,noatime", f"UUID={one.data['uuid']}", etc)
    one.check_green()


def test_another_subvolume_at_a_target(single):
    one = single
    one.inside("umount", one.system)
    one.inside("mount", "-o", "subvol=etc,noatime", one.data["devices"][0], one.system)
    assert one.check_red((one.system, "subvolume")) == {"subvolume": "/etc"}


def test_a_mount_without_its_option(single):
    one = single
    one.inside("mount", "-o", "remount,bind,strictatime", one.system)
    assert "noatime" not in one.check_red((one.system, "options"))["options"]


def test_a_changed_label(machine_of_each_topology):
    one = machine_of_each_topology
    one.inside("btrfs", "filesystem", "label", one.top, "OTHER\x1b[2J")
    one.inside("sync")
    assert "OTHER" in one.check_red((one.data["uuid"], "label"))["label"]
    assert "\x1b" not in one.machine("verify").stdout
    one.inside("btrfs", "filesystem", "label", one.top, "ZOSDATA")
    one.inside("sync")
    one.check_green()


def test_an_in_progress_flag_that_is_set_again(machine_of_each_topology):
    one = machine_of_each_topology
    node = one.disk["partitions"][-1]["device"]
    one.set_attributes("GUID:58")
    assert one.check_red((node, "in-progress flag")) == {"in-progress flag": "set"}
    one.set_attributes("")
    one.check_green()
    one.set_attributes("GUID:48")  # another bit
    one.check_green()


@pytest.mark.parametrize("sector", [-1, -33, 1, 2], ids=["backup header", "backup entries", "header", "entries"])
def test_a_damaged_copy_of_the_table(single, sector):
    one = single
    offset = sector * 512 + (one.disk["size_bytes"] if sector < 0 else 0)
    before = one.peek(offset)
    one.poke(offset, bytes([before[0] ^ 1]) + before[1:])
    seen = one.check_red((one.disk["path"], "copies of the table"))
    copy = "backup" if sector < 0 else "primary"
    assert f"The {copy} GPT table is corrupt" in seen["copies of the table"]
    one.poke(offset, before)
    one.check_green()


def test_a_table_that_is_gone(single):
    one = single
    for sector in (0, 1):
        one.poke(sector * 512, bytes(512))
    status, document = one.verify()
    assert status == 5
    red = {(check["name"], check["check"]) for check in document["checks"] if not check["ok"]}
    assert (one.disk["path"], "table") in red
    assert {(part["device"], "entry in the table") for part in one.disk["partitions"]} <= red


def unplug(disk: LoopDisk) -> str:
    """Pull a disk, and have the kernel forget its btrfs; returns its node."""
    disk.forget_btrfs()
    disk.pull()
    return disk.device


def plug(disk: LoopDisk) -> None:
    """Attach a disk at the same node, with its partitions."""
    disk.attach()
    output("partx", "--update", disk.device)


def test_a_detached_member(machine):
    one = Provisioned(machine, "btrfs_raid1")
    kept, lost = one.machine.disks
    mounts = [(mount["target"], mount["options"]) for mount in one.report["mounts"]]
    for target, _ in reversed(mounts):
        one.inside("umount", target)
    node = one.disk["partitions"][-1]["device"]
    device = unplug(lost)
    for target, options in mounts:
        one.inside("mount", "-o", f"{options},degraded", f"{kept.device}p{node[-1]}", target)
    status, document = one.verify()
    red = {(check["name"], check["check"]): check["seen"] for check in document["checks"] if not check["ok"]}
    assert status == 5
    assert "1 missing" in red[one.data["uuid"], "members"]
    assert device in {name for name, _ in red}
    states = {disk["path"]: disk["ok"] for disk in document["disks"]}
    assert states == {kept.device: True, device: False}
    for target, _ in reversed(mounts):
        one.inside("umount", target)
    plug(lost)
    output("btrfs", "device", "scan", *one.data["devices"])
    for target, options in mounts:
        one.inside("mount", "-o", options, f"UUID={one.data['uuid']}", target)
    one.check_green()


def test_a_disk_that_is_gone_and_comes_back(machine):
    one = Provisioned(machine, "dual_independent")
    lost, second = one.machine.disks[1], one.report["filesystems"][-1]
    one.inside("umount", second["mountpoint"])
    unplug(lost)
    status, document = one.verify()
    red = {(check["name"], check["check"]) for check in document["checks"] if not check["ok"]}
    assert status == 5
    assert {(second["mountpoint"], "mounted"), (second["uuid"], "UUID"), (second["uuid"], "members")} <= red
    plug(lost)
    assert one.machine("run").status == 0  # mounts it again
    one.check_green()


def test_an_edited_line_of_fstab(machine_of_each_topology):
    one = machine_of_each_topology
    fstab = one.machine.root / "etc/fstab"
    before = fstab.read_text()
    for edited, seen in (
        (before.replace("subvol=system,noatime", "subvol=system,ro"), "ro"),
        (before.replace("UUID=", "#UUID=", 1), "no line"),
        (before + "/dev/sdz1 /var/cache/system ext4 defaults 0 0\n", "/dev/sdz1"),
    ):
        fstab.write_text(edited)
        assert seen in one.check_red((str(fstab), "line for /var/cache/system"))["line for /var/cache/system"]
    fstab.unlink()
    assert len([c for c in one.verify()[1]["checks"] if not c["ok"]]) == 4
    fstab.write_text(f"# a comment\n\n/dev/sdz1 /srv ext4 defaults 0 0\n{before}")
    one.check_green()


def test_only_a_stale_report(single):
    one = single
    path = one.machine.run_dir / "state.json"
    path.rename(f"{path}.stale")
    (one.machine.run_dir / "checkpoint.json").unlink()
    assert one.check_red((f"{path}.stale", "report"))
    path.write_text("{")
    damaged = one.machine("verify")
    assert (damaged.status, damaged.stdout) == (5, "")
    assert "cannot be read" in damaged.stderr
