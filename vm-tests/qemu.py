"""One guest: its disks, its QEMU command, its serial log, judged by markers on that log and never by an exit code.

A guest prints `@@name value` lines; `@@begin name` to `@@finish name` enclose a text. The last line is `@@end`.
"""

from __future__ import annotations

import functools
import os
import re
import resource
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from initramfs import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OVMF = Path("/usr/share/OVMF")
# `max` without cmpxchg16b: with it, guests double-fault now and then under TCG. Without erms and fsrm the kernel clears
# and copies by eight bytes, not by `rep stosb`, which TCG does byte by byte.
_CPU = "max,-cx16,-erms,-fsrm"
# The kernel's tests of its own ciphers take seconds under TCG and are none of ours. norandmaps: TCG translates code for
# an address, so at random ones every process is translated anew; a page of a program that was started a hundred times
# has thousands of translations then, and each byte that is written to it once it is freed looks through all of them.
_WORDS = "console=ttyS0 quiet loglevel=4 panic=-1 cryptomgr.notests norandmaps"


@dataclass(frozen=True)
class Drive:
    """A disk of a guest: a sparse raw image behind a controller."""

    image: Path
    kind: str = "virtio"  # virtio | nvme | sata | usb
    serial: str = ""
    sector_size: int = 512
    rotation_rate: int = 7200
    driver: str = "raw"  # what sits on the file, for a write log
    throttle: int = 0  # writes a second, 0 for as many as there are


@dataclass
class Log:
    """What a guest said, the seconds that it took, and those that QEMU kept a processor busy."""

    text: str
    seconds: float
    busy: float = 0.0
    killed: bool = False
    retried: int = 0

    @functools.cached_property
    def values(self) -> dict[str, str]:
        return dict(re.findall(r"^@@(?!begin|finish|end)([\w-]+) (.*?)\r?$", self.text, re.MULTILINE))

    def block(self, name: str) -> str:
        found = re.search(rf"^@@begin {name}\r?\n(.*?)^@@finish {name}\r?$", self.text, re.MULTILINE | re.DOTALL)
        return found[1].replace("\r", "") if found else ""

    @property
    def ended(self) -> bool:
        return bool(re.search(r"^@@end\r?$", self.text, re.MULTILINE))

    @property
    def failed_outside(self) -> bool:
        """It stopped before its end, and no program of ours was at work: a panic, or a hang."""
        starts, ends = (len(re.findall(rf"^@@{word} ", self.text, re.MULTILINE)) for word in ("program", "rc"))
        return not self.ended and not self.killed and starts == ends

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.text.splitlines()[-lines:])


@dataclass
class Guest:
    """A guest to boot; `scenario` is the shell script that its init runs."""

    kernel: Path
    initramfs: Path
    drives: list[Drive]
    scenario: str
    folder: Path
    cmdline: str = ""
    uefi: bool = False
    memory: int = 640
    cpus: int = 1  # under TCG two of them cost more in waiting for each other than they save
    extra: list[str] = field(default_factory=list)

    def command(self) -> list[str]:
        machine = "q35" if any(drive.kind == "sata" for drive in self.drives) else "q35,sata=off"
        words = [
            "qemu-system-x86_64",
            "-machine",
            machine,
            "-accel",
            accelerator(),
            "-cpu",
            _CPU,
            "-smp",
            str(self.cpus),
        ]
        words += ["-m", str(self.memory), "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio"]
        words += ["-kernel", str(self.kernel), "-initrd", str(self._initrd())]
        words += ["-append", f"{_WORDS} {self.cmdline}".strip()]
        if self.uefi:
            words += self._firmware()
        if any(drive.kind == "usb" for drive in self.drives):
            words += ["-device", "qemu-xhci"]
        for number, drive in enumerate(self.drives):
            words += _drive_words(number, drive)
        return words + self.extra

    def _firmware(self) -> list[str]:
        variables = self.folder / "OVMF_VARS_4M.fd"
        if not variables.exists():
            shutil.copy(OVMF / "OVMF_VARS_4M.fd", variables)
        code = f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF / 'OVMF_CODE_4M.fd'}"
        return ["-drive", code, "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]

    def _initrd(self) -> Path:
        """The shared image with the scenario in a small archive behind it."""
        tree, image = self.folder / "scenario.tree", self.folder / "initrd"
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        (tree / "scenario").write_text(self.scenario)
        pack(tree, self.folder / "scenario.cpio")
        image.write_bytes(self.initramfs.read_bytes() + (self.folder / "scenario.cpio").read_bytes())
        return image

    def boot(
        self,
        limit: float,
        *,
        kill_at: float | None = None,
        kill_on: str = "",
        watch: Callable[[str], bool] | None = None,
        says: Iterable[str] = (),
    ) -> Log:
        """Boot it until it powers off; or kill it as soon as `watch`, given all it has said, says so.

        `kill_at` and `kill_on`: kill it so many seconds after a line with these words was seen.

        A guest that panics or hangs while no program of ours is at work is booted once more, from the disks as they
        were before, and that is counted. `says`: what one says that has done all it should, and prints no `@@end`.
        """
        stop = watch or (_Alarm(kill_at, kill_on) if kill_at is not None else _never)
        saved = self._saved()
        log = self._boot(limit, stop)
        wanted = tuple(says)
        if log.failed_outside and not (wanted and all(text in log.text for text in wanted)):
            (self.folder / "failed.log").write_text(log.text)
            for drive, copy in zip(self.drives, saved, strict=True):
                _copy(copy, drive.image)
            log = self._boot(limit, stop)
            log.retried = 1
        for copy in saved:
            copy.unlink()
        return log

    def _saved(self) -> list[Path]:
        copies = [self.folder / f"before{number}.img" for number in range(len(self.drives))]
        for drive, copy in zip(self.drives, copies, strict=True):
            _copy(drive.image, copy)
        return copies

    def _boot(self, limit: float, stop: Callable[[str], bool]) -> Log:
        path = self.folder / "serial.log"
        command = self.command()
        (self.folder / "command").write_text(shlex.join(command) + "\n")  # for whoever wants to see it again
        began, before, killed = time.monotonic(), _busy(), False
        with path.open("wb") as out:
            guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
            try:
                while guest.poll() is None and not killed and time.monotonic() - began < limit:
                    time.sleep(0.02)
                    killed = stop(path.read_text(errors="replace"))
            finally:
                killed = killed and guest.poll() is None
                guest.kill()
                guest.wait()
        return Log(path.read_text(errors="replace"), time.monotonic() - began, _busy() - before, killed=killed)


def _never(_said: str) -> bool:
    return False


@dataclass
class _Alarm:
    """Goes off so many seconds after some words were seen."""

    seconds: float
    words: str
    seen: float | None = None

    def __call__(self, said: str) -> bool:
        if self.seen is None and self.words in said:
            self.seen = time.monotonic()
        return self.seen is not None and time.monotonic() - self.seen >= self.seconds


def _busy() -> float:
    """Seconds of a processor that children of this process have used; it has but one guest at a time."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _copy(image: Path, to: Path) -> None:
    subprocess.run(["cp", "--sparse=always", image, to], check=True)


def _drive_words(number: int, drive: Drive) -> list[str]:
    name, serial = f"d{number}", drive.serial or f"ZOS{number:04d}"
    words = ["-blockdev", f"driver=file,node-name={name}f,filename={drive.image},cache.no-flush=on,discard=unmap"]
    raw = f"driver=raw,node-name={name}r,file={name}f,discard=unmap"
    words += ["-blockdev", raw]
    node = f"{name}r"
    if drive.throttle:
        words += ["-object", f"throttle-group,id={name}g,x-iops-write={drive.throttle}"]
        words += ["-blockdev", f"driver=throttle,node-name={name}t,throttle-group={name}g,file={node}"]
        node = f"{name}t"
    if drive.driver != "raw":
        words += ["-blockdev", f"driver=file,node-name={name}l,filename={drive.driver}"]
        words += [
            "-blockdev",
            f"driver=blklogwrites,node-name={name}w,file={node},log={name}l,log-super-update-interval=1",
        ]
        node = f"{name}w"
    sizes = f",logical_block_size={drive.sector_size},physical_block_size={max(drive.sector_size, 512)}"
    device = {
        "virtio": f"virtio-blk-pci,drive={node},serial={serial}{sizes}",
        "nvme": f"nvme,drive={node},serial={serial}{sizes}",
        "sata": f"ide-hd,bus=ide.{number},drive={node},serial={serial},rotation_rate={drive.rotation_rate}",
        "usb": f"usb-storage,drive={node},serial={serial},removable=on",
    }[drive.kind]
    return [*words, "-device", device]


def accelerator() -> str:
    """What QEMU runs guests by. KVM only where it is asked for: one that runs the firmware can hang in the kernel."""
    return os.environ.get("ZOSSTORAGE_VM_ACCEL", "tcg")
