"""Each scenario on real kernels: provisioned, adopted, adopted again with what was written still there; or refused."""

from __future__ import annotations

import hashlib
import json
import subprocess

import pytest
from conftest import GUEST_LIMIT, RUNS, USES, Blank, Figures, Lab
from images import check_blkid, check_table, digest
from qemu import Drive, Log
from scenarios import MATRIX, Scenario

NAMES = ("system", "etc", "modules", "vm-meta")
MARKER = "kept across boots"


def script(scenario: Scenario, then: str = "") -> str:
    config = f"cat >/config.yaml <<'YAML'\n{scenario.config}YAML\n" if scenario.config else ""
    return f"{config}provision {scenario.arguments} run\n{then}\nlook\n"


FSTAB = "[ ! -e /etc/fstab ] || text fstab /etc/fstab"
WRITE = f"echo '{MARKER}' >/var/cache/system/marker; sync; {FSTAB}"
READ = 'value marker "$(cat /var/cache/system/marker)"'


class Machine:
    """The disks of a scenario, booted again and again."""

    def __init__(self, scenario: Scenario, lab: Lab, blank: Blank, figures: Figures) -> None:
        self.scenario, self.lab, self.figures = scenario, lab, figures
        images = blank(RUNS / scenario.name, len(scenario.disks))
        self.drives = [
            Drive(image, disk.kind, sector_size=disk.sector_size, rotation_rate=disk.rotation_rate)
            for image, disk in zip(images, scenario.disks, strict=True)
        ]
        for drive, disk in zip(self.drives, scenario.disks, strict=True):
            if disk.used:
                USES[disk.used](drive.image)

    def boot(self, what: str, then: str, drives: list[Drive] | None = None, code: int = 0) -> Log:
        scenario = self.scenario
        guest = self.lab.guest(
            scenario.name,
            self.drives if drives is None else drives,
            script(scenario, then),
            kernel=scenario.kernel,
            udev=scenario.udev,
            bcachefs=scenario.bcachefs,
            static=scenario.static,
            uefi=scenario.uefi,
            cmdline=scenario.words,
        )
        log: Log = guest.boot(GUEST_LIMIT)
        (guest.folder / f"{what}.log").write_text(log.text)
        self.figures(f"{scenario.name} {what}", log)
        assert log.ended, f"the guest did not finish:\n{log.tail()}"
        assert log.values["rc"] == str(code), f"exit code {log.values['rc']}:\n{log.block('log')}"
        assert log.values["stdout-bytes"] == "0"
        return log


@pytest.mark.parametrize("scenario", [one for one in MATRIX if not one.code], ids=lambda one: one.name)
def test_provisions_and_adopts(scenario: Scenario, lab: Lab, blank: Blank, figures: Figures) -> None:
    machine = Machine(scenario, lab, blank, figures)
    first = machine.boot("first", WRITE)
    check_report(scenario, first, "provisioned")
    check_guest(scenario, first)
    check_images(scenario, machine, first)
    second = machine.boot("second", READ)
    check_report(scenario, second, "already_provisioned")
    third = machine.boot("third", READ)
    assert third.values["marker"] == second.values["marker"] == MARKER
    assert _filesystems(first) == _filesystems(second) == _filesystems(third)
    for lost in scenario.lose:
        check_loss(scenario, machine, lost)


def _filesystems(log: Log) -> set[tuple[str, bool]]:
    """(UUID, whether it is the primary); kernels may give disks other names at each boot."""
    return {(fs["uuid"], fs["primary"]) for fs in json.loads(log.block("report"))["filesystems"]}


def check_report(scenario: Scenario, log: Log, status: str) -> None:
    report = json.loads(log.block("report"))
    assert (report["status"], report["topology"]) == (status, scenario.topology)
    assert report["firmware"] == ("uefi" if scenario.uefi else "bios")
    roles = {f"ZOS{number:04d}": disk.role for number, disk in enumerate(scenario.disks) if disk.is_target}
    assert {disk["serial"]: disk["role"] for disk in report["disks"]} == roles
    for disk in report["disks"]:
        wanted = "zoscache" if disk["role"] == "cache" else "zosdata"
        assert disk["partitions"][-1]["name"] == wanted, disk["serial"]
    data = [fs for fs in report["filesystems"] if fs["type"] != "vfat"]
    assert {fs["type"] for fs in data} == {scenario.fstype}
    assert all(fs["label"] == "ZOSDATA" for fs in data)


def check_guest(scenario: Scenario, log: Log) -> None:
    """What the guest's own tools say: the mounts are subvolumes, by the kernel's word."""
    mounts = {line.split()[4]: line.split() for line in log.block("mountinfo").splitlines()}
    for name in NAMES:
        fields = mounts[f"/var/cache/{name}"]
        assert fields[3] == f"/{name}"
        assert "noatime" in fields[5].split(",")
        assert fields[fields.index("-") + 1] == scenario.fstype
        assert set(scenario.shows) <= set(fields[-1].split(","))
    assert ('"level": "INFO"' in log.block("log")) == ("log_level=warn" not in scenario.words)
    check_fstab(scenario, log)
    if scenario.fstype == "bcachefs":
        check_bcachefs(scenario, log)
    for disk in json.loads(log.block("report"))["disks"]:
        for part in disk["partitions"]:
            seen = log.block(f"blkid-{part['device'].removeprefix('/dev/')}")
            wanted = {"zosboot": "LABEL=ZOSBOOT", "zosdata": "LABEL=ZOSDATA", "zoscache": "LABEL=ZOSDATA"}[part["name"]]
            assert part["type"].startswith("21686148") or wanted in seen


def check_bcachefs(scenario: Scenario, log: Log) -> None:
    """Replicas and targets, as the superblock of each member says by the filesystem's own tool."""
    tiered = any(disk.role == "cache" for disk in scenario.disks)
    wanted = {
        "data_replicas": "2" if scenario.topology == "bcachefs_2copy" else "1",
        "foreground_target": "ssd" if tiered else "none",
        "promote_target": "ssd" if tiered else "none",
        "background_target": "hdd" if tiered else "none",
    }
    for disk in json.loads(log.block("report"))["disks"]:
        node = disk["partitions"][-1]["device"].removeprefix("/dev/")
        fields = (line.partition(":") for line in log.block(f"super-{node}").splitlines())
        seen = {name.strip().lower(): value.strip() for name, _, value in fields}
        assert {name: seen.get(name) for name in wanted} == wanted, node
        group = {"cache": "ssd", "backing": "hdd"}.get(disk["role"], "")
        assert log.values[f"label-{node}"].partition(".")[0] == group, node


def check_fstab(scenario: Scenario, log: Log) -> None:
    """It is written when the scenario asks for it, for the four subvolumes, and the report says where."""
    asked = "zosstorage.fstab" in scenario.words.split()
    assert json.loads(log.block("report"))["fstab"] == ("/etc/fstab" if asked else None)
    lines = [line.split() for line in log.block("fstab").splitlines()]
    assert [line[1] for line in lines] == [f"/var/cache/{name}" for name in NAMES if asked]
    assert all(line[0].startswith("UUID=") for line in lines)


def check_images(scenario: Scenario, machine: Machine, log: Log) -> None:
    """What the host's tools say of the raw images."""
    report = json.loads(log.block("report"))
    by_serial = {disk["serial"]: disk for disk in report["disks"]}
    for number, (disk, drive) in enumerate(zip(scenario.disks, machine.drives, strict=True)):
        if not disk.is_target:
            assert digest(drive.image) == digest_of_blank()
            continue
        reported = by_serial[f"ZOS{number:04d}"]
        check_table(drive, reported, uefi=scenario.uefi)
        check_blkid(drive, reported, report["filesystems"])


def digest_of_blank() -> str:
    return hashlib.sha256().hexdigest()


def check_loss(scenario: Scenario, machine: Machine, lost: int) -> None:
    """A member is missing: refused, nothing written; a person can mount what is left degraded, read-only."""
    left = [drive for number, drive in enumerate(machine.drives) if number != lost]
    before = [digest(drive.image) for drive in left]
    log = machine.boot(f"missing-{lost}", "", left, code=5)
    assert "never mounted degraded" in log.block("log")
    assert [digest(drive.image) for drive in left] == before
    if scenario.degraded:
        nodes = [f"/dev/vd{letter}3" for letter, _ in zip("abc", left, strict=False)]
        source = ":".join(nodes) if scenario.fstype == "bcachefs" else nodes[0]
        # A read-only mount of bcachefs writes superblocks, but with nochanges.
        options = "ro,degraded,nochanges" if scenario.fstype == "bcachefs" else "ro,degraded"
        mount = f"mkdir /m; /usr/bin/mount -t {scenario.fstype} -o {options} {source} /m"
        log = machine.boot(f"degraded-{lost}", f'{mount} && value kept "$(cat /m/system/marker)"', left, code=5)
        assert log.values["kept"] == MARKER
        assert [digest(drive.image) for drive in left] == before


@pytest.mark.parametrize("scenario", [one for one in MATRIX if one.code], ids=lambda one: one.name)
def test_refuses(scenario: Scenario, lab: Lab, blank: Blank, figures: Figures) -> None:
    machine = Machine(scenario, lab, blank, figures)
    before = [digest(drive.image) for drive in machine.drives]
    log = machine.boot("refused", "", code=scenario.code)
    assert all(word in log.block("log") for word in scenario.says), log.block("log")
    assert log.block("report") == ""
    assert [digest(drive.image) for drive in machine.drives] == before


def test_tools_are_here() -> None:
    for tool in ("qemu-system-x86_64", "sfdisk", "blkid", "cpio", "zstd", "xz"):
        subprocess.run(["sh", "-c", f"command -v {tool}"], check=True, stdout=subprocess.DEVNULL)
