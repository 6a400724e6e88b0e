"""zosstorage in Alpine: its own kernel, busybox, musl, mkinitfs, OpenRC; the static ELF, the hook and the service."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import alpine_images
import packages
import pytest
from alpine_scenarios import ADOPTED, FAILURES, PROVISIONINGS, WORDS, Boot, Failure, Provisioning
from conftest import GUEST_LIMIT, RUNS, USES, Blank, Figures, Record, one_at_a_time
from images import check_blkid, check_table, digest
from qemu import Drive, Guest, Log

MARKER = "kept across boots"


@pytest.fixture(scope="session")
def alpine(roots: dict[str, Path]) -> alpine_images.Images:
    with one_at_a_time():
        try:
            alpine_images.elf()
        except alpine_images.NoElfError as error:
            pytest.fail(str(error), pytrace=False)
        return alpine_images.build(roots["tools"])


class Machine:
    """Data disks and a copy of Alpine's root, booted again and again."""

    def __init__(self, name: str, alpine: alpine_images.Images, blank: Blank, figures: Figures, disks: int = 1) -> None:
        self.name, self.alpine, self.figures = f"alpine-{name}", alpine, figures
        self.folder = RUNS / self.name
        *images, root = blank(self.folder, disks + 1)
        subprocess.run(["cp", "--sparse=always", alpine.root, root], check=True)
        self.data = [Drive(image) for image in images]
        self.drives = [*self.data, Drive(root, "sata")]

    def boot(self, what: str, boot: Boot, stops: str = "", says: tuple[str, ...] = ()) -> Log:
        image = self.alpine.initramfs(boot.image)
        words = f"{WORDS} {boot.words}"
        # One processor: shell scripts have no use for two, and two that wait for each other are slow under TCG.
        one = ["-smp", "1"]
        guest = Guest(self.alpine.kernel, image, self.drives, "", self.folder, words, extra=one)
        ending = {"kill_at": 1.0, "kill_on": stops} if stops else {}
        log = guest.boot(GUEST_LIMIT, says=says, **ending)  # type: ignore[arg-type]
        (self.folder / f"{what}.log").write_text(log.text)
        self.figures(f"{self.name} {what}", log)
        return log


@pytest.mark.parametrize("scenario", PROVISIONINGS, ids=lambda one: one.name)
def test_provisions_and_adopts(
    scenario: Provisioning, alpine: alpine_images.Images, blank: Blank, figures: Figures
) -> None:
    machine = Machine(scenario.name, alpine, blank, figures, scenario.disks)
    filesystems: list[set[str]] = []
    report: dict[str, Any] = {}
    for number, boot in enumerate(scenario.boots, 1):
        log = machine.boot(f"boot-{number}", boot)
        assert log.ended, f"the guest did not finish:\n{log.tail()}"
        report = json.loads(log.block("report"))
        assert (report["status"], report["topology"]) == (boot.status, scenario.topology)
        check_mounts(log, report)
        assert log.values.get("marker") == (MARKER if boot.status == ADOPTED else None)
        if "init=/lab" not in boot.words:
            check_service(log)
        filesystems.append({fs["uuid"] for fs in report["filesystems"]})
    assert all(found == filesystems[0] for found in filesystems)
    for drive, disk in zip(machine.data, report["disks"], strict=True):
        check_table(drive, disk, uefi=False)
        check_blkid(drive, disk, report["filesystems"])


def check_mounts(log: Log, report: dict[str, Any]) -> None:
    """What was mounted in the initramfs is there in the root, by the kernel's word."""
    mounts = {line.split()[4]: line.split() for line in log.block("mountinfo").splitlines()}
    assert {mount["target"] for mount in report["mounts"]} <= {*mounts}
    for name in ("system", "etc", "modules", "vm-meta"):
        fields = mounts[f"/var/cache/{name}"]
        assert (fields[3], fields[fields.index("-") + 1]) == (f"/{name}", "btrfs")


def check_service(log: Log) -> None:
    """OpenRC came to its default runlevel, and says that the service was started; the service tells the checkpoint."""
    levels = log.block("rc-status").split("Runlevel: ")
    boot = next(level for level in levels if level.startswith("boot"))
    (line,) = [line for line in boot.splitlines() if "zosstorage" in line]
    assert "started" in line
    assert any(level.startswith("default") for level in levels)
    assert log.values["status"] == "0"
    told = log.block("status")
    assert all(state in told for state in ("discover", "validate", "partition", "format", "mount", "report"))


@pytest.mark.parametrize("scenario", FAILURES, ids=lambda one: one.name)
def test_a_failure_is_told_and_the_policy_followed(
    scenario: Failure, alpine: alpine_images.Images, blank: Blank, figures: Figures
) -> None:
    machine = Machine(scenario.name, alpine, blank, figures)
    (drive,) = machine.data
    if scenario.used:
        USES[scenario.used](drive.image)
    before = digest(drive.image)
    log = machine.boot("refused", scenario.boot, scenario.stops, () if scenario.root else scenario.says)
    missing = [text for text in scenario.says if text not in log.text]
    assert not missing, f"the console does not say {missing}:\n{log.tail()}"
    assert ("root" in log.values, log.ended) == (scenario.root, scenario.root), log.tail()
    assert log.killed == bool(scenario.stops)
    assert not log.block("report")
    assert digest(drive.image) == before


def test_what_an_initramfs_grows_by(alpine: alpine_images.Images, record_property: Record) -> None:
    """The figures, for the summary; and that the program itself is no more than was promised for it."""
    sizes = {name: size / (1 << 20) for name, size in alpine.sizes.items()}
    told = ", ".join(f"{name} {size:.1f} MiB" for name, size in sizes.items())
    record_property("cuts", f"alpine initramfs, compressed: {told}")
    assert sizes["bare"] - sizes["plain"] < 12


def test_the_lines_of_the_readme(alpine: alpine_images.Images, tmp_path: Path) -> None:
    """In Alpine's root, all but apk, which has no network: the same files are in the initramfs as with the package."""
    text = (packages.TOP / "README.md").read_text().partition("### Put it in an Alpine initramfs")[2]
    lines = text.partition("```sh\n")[2].partition("```")[0]
    assert len(lines.splitlines()) <= 10
    tree = tmp_path / "root"
    subprocess.run(["cp", "-a", alpine_images.fetch() / "root", tree], check=True)
    alpine_images.make_nodes(tree)
    (release,) = (tree / "lib/modules").iterdir()
    for name, script in {"apk": 'echo "$@" >/tmp/apk', "uname": f"echo {release.name}"}.items():
        (tree / "usr/local/bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tree / "usr/local/bin" / name).chmod(0o755)
    (tree / "clone/dist").mkdir(parents=True)
    shutil.copy(alpine_images.elf(), tree / "clone/dist")
    shutil.copytree(alpine_images.PACKAGING, tree / "clone/packaging/alpine")
    path = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    subprocess.run(["chroot", tree, "/bin/sh", "-euc", f"cd /clone\n{lines}"], check=True, env=path)
    archive = gzip.decompress((tree / "boot/initramfs-virt").read_bytes())
    names = subprocess.run(["cpio", "-t", "--quiet"], input=archive, capture_output=True, check=True).stdout.decode()
    for name in (
        "usr/sbin/zosstorage",
        "usr/libexec/zosstorage/hook",
        "usr/libexec/zosstorage/rdinit",
        "usr/sbin/sfdisk",
    ):
        assert name in names.split(), name
    assert "/btrfs.ko" in names
    assert (tree / "etc/runlevels/boot/zosstorage").is_symlink()
    depends = subprocess.run(
        ["sh", "-c", f'srcdir=.; . {alpine_images.PACKAGING}/APKBUILD; echo "$depends"'],
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert {"add", "mkinitfs", *depends.split()} == {*(tree / "tmp/apk").read_text().split()}
    shutil.rmtree(tree)
