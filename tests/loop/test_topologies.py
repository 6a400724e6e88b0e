"""Blank disks to mounted filesystems and back again, on real loop devices, seen by other tools than ours."""

import fcntl
import json
import subprocess

import pytest
from checks import check_provisioned, profiles
from disks import GIB, NAMES
from processes import output

CASES = [
    pytest.param(1, "auto", "single", "bios", 512, id="single-bios-512"),
    pytest.param(1, "single", "single", "uefi", 4096, id="single-uefi-4096"),
    pytest.param(2, "auto", "dual_independent", "uefi", 512, id="dual-uefi-512"),
    pytest.param(2, "dual_independent", "dual_independent", "bios", 4096, id="dual-bios-4096"),
    pytest.param(5, "auto", "dual_independent", "bios", 512, id="dual-five-disks"),
    pytest.param(2, "btrfs_raid1", "btrfs_raid1", "bios", 512, id="raid1-bios-512"),
    pytest.param(2, "btrfs_raid1", "btrfs_raid1", "uefi", 4096, id="raid1-uefi-4096"),
    pytest.param(5, "btrfs_raid1", "btrfs_raid1", "bios", 512, id="raid1-five-disks"),
]


@pytest.mark.parametrize(("count", "mode", "topology", "firmware", "sector_size"), CASES)
def test_provision_rerun_and_second_boot(machine, count, mode, topology, firmware, sector_size):
    one = machine(count, sector_size=sector_size, topology={"mode": mode}, partitions={"firmware": firmware})
    first = one("run")
    assert (first.status, first.stdout) == (0, ""), first.stderr
    report = check_provisioned(one, topology, firmware=firmware)
    if topology == "btrfs_raid1":
        data = next(fs for fs in report["filesystems"] if fs["type"] == "btrfs")
        assert profiles(data["uuid"]) == {"data": ["raid1"], "metadata": ["raid1"]}
    check_rerun(one)
    (one.root / "unseen").touch()
    subprocess.run(one.inside("sh", "-c", f"echo kept >{one.root}/var/cache/system/file; sync"), check=True)
    check_second_boot(one, topology, firmware, report)


def check_rerun(one):
    """The same boot: every state is skipped, and not one sector is written."""
    output("sync")
    before, text = [disk.sectors_written for disk in one.disks], (one.run_dir / "state.json").read_bytes()
    again = one("run")
    assert again.status == 0
    assert "already done in this boot" in again.stderr
    assert "command" not in again.stderr
    output("sync")
    assert [disk.sectors_written for disk in one.disks] == before
    assert (one.run_dir / "state.json").read_bytes() == text


def check_second_boot(one, topology, firmware, report):
    """No run directory, no mounts: the disks say what they are, and what was written is still there."""
    one.reboot()
    before = one.digests()
    planned = one("plan", "--json")
    assert planned.status == 0
    assert json.loads(planned.stdout)["action"] == "adopt"
    assert one.digests() == before
    until = one("step", "--until", "format")
    assert until.status == 0, until.stderr
    assert one.digests() == before, "something was written before the mount"
    assert one("run").status == 0
    again = check_provisioned(one, topology, status="already_provisioned", firmware=firmware)
    assert [fs["uuid"] for fs in again["filesystems"]] == [fs["uuid"] for fs in report["filesystems"]]
    assert output(*one.inside("cat", one.root / "var/cache/system/file")) == "kept\n"


def test_step_by_step_equals_run(machine):
    one = machine(2)
    for number, state in enumerate(("discover", "validate", "partition", "format", "mount", "report"), 1):
        assert one("step").status == 0
        done = [record["name"] for record in one.checkpoint["states"] if record["status"] == "done"]
        assert (len(done), done[-1]) == (number, state)
    check_provisioned(one, "dual_independent")
    assert "already done" in one("step").stderr


def test_options_reach_the_tools(machine):
    btrfs = {
        "compression": "zstd:5",
        "data_profile": "single",
        "metadata_profile": "single",
        "mkfs_options": ["--nodesize", "32768"],
        "mount_options": ["noatime", "nodev", "commit=17"],
    }
    one = machine(1, filesystems={"btrfs": btrfs}, mounts={"targets": {"vm-meta": "/srv/vm meta"}})
    assert one("run").status == 0
    data = next(fs for fs in one.report["filesystems"] if fs["type"] == "btrfs")
    assert profiles(data["uuid"]) == {"data": ["single"], "metadata": ["single"]}
    dump = output("btrfs", "inspect-internal", "dump-super", data["devices"][0])
    assert "nodesize\t\t32768" in dump
    fields = one.mounts["/srv/vm\\040meta"]
    assert fields[3] == "/vm-meta"
    assert {"noatime", "nodev"} <= set(fields[5].split(","))
    assert {"compress=zstd:5", "commit=17"} <= set(fields[-1].split(","))
    assert one("run").status == 0


def test_fstab_is_kept_and_extended(machine):
    one = machine(1, fstab={"enabled": True})
    table = one.root / "etc/fstab"
    table.parent.mkdir()
    table.write_text("# mine\nUUID=1 / ext4 defaults 0 1")
    assert one("run").status == 0
    uuid = next(fs["uuid"] for fs in one.report["filesystems"] if fs["primary"])
    ours = [f"UUID={uuid} /var/cache/{name} btrfs subvol={name},noatime 0 0" for name in NAMES]
    assert table.read_text().splitlines() == ["# mine", "UUID=1 / ext4 defaults 0 1", *ours]
    assert one.report["fstab"] == str(table)
    one.reboot()
    before = table.stat()
    assert one("run").status == 0
    assert (table.stat().st_mtime_ns, table.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    seen = output("findmnt", "--tab-file", table, "--noheadings", "--raw", "--output", "SOURCE,TARGET,FSTYPE,OPTIONS")
    assert seen.splitlines()[1:] == [line.removesuffix(" 0 0") for line in ours]


@pytest.mark.parametrize("kind", ["blank", "foreign"])
def test_an_extra_disk_beside_a_complete_system_is_left_alone(machine, tmp_path, kind):
    one = machine(1)
    assert one("run").status == 0
    one.shutdown()
    extra = machine(1).disks[0]
    if kind == "foreign":
        output("mkfs.ext4", "-q", extra.device)
    before = extra.digest()
    one.boot()
    one.settings = {"devices": {"include": [one.disks[0].device, extra.device]}}
    done = one("run")
    assert done.status == 0, done.stderr
    roles = {disk["path"]: disk["role"] for disk in one.report["disks"]}
    assert roles == {one.disks[0].device: "data", extra.device: "unused"}
    assert one.report["status"] == "already_provisioned"
    assert extra.digest() == before


CONTRADICTIONS = {
    "topology": ({"topology": {"mode": "btrfs_raid1"}}, "topology.mode is btrfs_raid1"),
    "firmware": ({"partitions": {"firmware": "uefi"}}, "firmware is uefi"),
    "esp": ({"partitions": {"esp_size": "256MiB"}}, "268435456"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_refused_and_explained(machine, name):
    settings, told = CONTRADICTIONS[name]
    one = machine(2)
    assert one("run").status == 0
    one.reboot()
    before, one.settings = one.digests(), settings
    done = one("run")
    assert done.status == 5
    assert told in done.stderr
    assert "hint=" in done.stderr
    assert one.digests() == before
    assert not (one.run_dir / "state.json").exists()


def test_a_missing_member_is_refused(machine):
    one = machine(3, topology={"mode": "btrfs_raid1"})
    assert one("run").status == 0
    one.shutdown()
    lost = one.disks.pop()
    one.boot()
    before = one.digests()
    done = one("run")
    assert done.status == 5
    assert "3 devices" in done.stderr
    assert "never mounted degraded" in done.stderr
    assert one.digests() == before
    lost.image.unlink()


def test_a_copied_disk_is_refused(machine):
    one, other = machine(1), machine(1)
    assert one("run").status == 0
    one.shutdown()
    other.shutdown()
    output("cp", "--sparse=always", one.disks[0].image, other.disks[0].image)
    one.boot()
    other.boot()
    device = other.disks[0].device
    before = [*one.digests(), *other.digests()]
    one.settings = {"devices": {"include": [one.disks[0].device, device]}}
    done = one("run")
    assert done.status == 5
    assert "copy of another" in done.stderr
    one.settings = {}
    output("partx", "--add", device)
    refused = one("run")
    assert refused.status == 5
    assert f"{device}p3 carries a copy" in refused.stderr
    assert [*one.digests(), *other.digests()] == before


def test_expectations_and_no_disk(machine):
    one = machine(1, size=2 * GIB, devices={"expect": {"count": 2}})
    done = one("run")
    assert done.status == 4
    assert "devices.expect.count is 2, found 1" in done.stderr
    one.settings = {"devices": {"min_size": "3GiB"}}
    done = one("run")
    assert done.status == 4
    assert f"{one.disks[0].device} (too small: {2 * GIB} bytes" in done.stderr
    assert one.disks[0].image.stat().st_blocks == 0
    assert not (one.run_dir / "state.json").exists()


def test_one_at_a_time(machine):
    one = machine(1)
    one.run_dir.mkdir()
    with (one.run_dir / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = one("run")
    assert done.status == 7
    assert "another zosstorage" in done.stderr
    assert one.disks[0].image.stat().st_blocks == 0
