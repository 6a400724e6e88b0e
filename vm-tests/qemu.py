"""One guest: its disks, its QEMU command, its serial log, judged by markers on that log and never by an exit code.

A guest prints `@@name value` lines; `@@begin name` to `@@finish name` enclose a text. The last line is `@@end`.
"""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from initramfs import pack

OVMF = Path("/usr/share/OVMF")
# `max` without cmpxchg16b: with it, guests double-fault now and then under TCG.
_CPU = "max,-cx16"


@dataclass(frozen=True)
class Drive:
    """A disk of a guest: a sparse raw image behind a controller."""

    image: Path
    kind: str = "virtio"  # virtio | nvme | sata | usb
    serial: str = ""
    sector_size: int = 512
    rotation_rate: int = 7200
    driver: str = "raw"  # what sits on the file, for a write log
    throttle: int = 0  # bytes a second, 0 for none


@dataclass
class Log:
    """What a guest said."""

    text: str
    seconds: float
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
    extra: list[str] = field(default_factory=list)

    def command(self) -> list[str]:
        accel = "kvm" if kvm_works() else "tcg"
        words = ["qemu-system-x86_64", "-machine", "q35", "-accel", accel, "-cpu", _CPU, "-smp", "2"]
        words += ["-m", str(self.memory), "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio"]
        words += ["-kernel", str(self.kernel), "-initrd", str(self._initrd())]
        words += ["-append", f"console=ttyS0 quiet loglevel=4 panic=-1 {self.cmdline}".strip()]
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

    def boot(self, limit: float = 120, *, kill_at: float | None = None, kill_on: str = "") -> Log:
        """Boot it until it powers off; or kill it `kill_at` seconds after a line with `kill_on` was seen.

        A guest that panics or stops outside the program is booted once more, and that is counted.
        """
        log = self._boot(limit, kill_at, kill_on)
        if not log.ended and not log.killed and "@@program" not in log.text:
            again = self._boot(limit, kill_at, kill_on)
            again.retried = 1
            return again
        return log

    def _boot(self, limit: float, kill_at: float | None, kill_on: str) -> Log:
        path = self.folder / "serial.log"
        began = time.monotonic()
        seen: float | None = None
        command = self.command()
        (self.folder / "command").write_text(shlex.join(command) + "\n")  # for whoever wants to see it again
        with path.open("wb") as out:
            guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
            try:
                while guest.poll() is None and time.monotonic() - began < limit:
                    time.sleep(0.02)
                    if kill_at is not None and seen is None and kill_on in path.read_text(errors="replace"):
                        seen = time.monotonic()
                    if seen is not None and time.monotonic() - seen >= (kill_at or 0):
                        break
            finally:
                killed = guest.poll() is None
                guest.kill()
                guest.wait()
        text = path.read_text(errors="replace")
        return Log(text, time.monotonic() - began, killed=killed and seen is not None)


def _drive_words(number: int, drive: Drive) -> list[str]:
    name, serial = f"d{number}", drive.serial or f"ZOS{number:04d}"
    words = ["-blockdev", f"driver=file,node-name={name}f,filename={drive.image},cache.no-flush=on,discard=unmap"]
    raw = f"driver=raw,node-name={name}r,file={name}f,discard=unmap"
    words += ["-blockdev", raw]
    node = f"{name}r"
    if drive.throttle:
        words += ["-object", f"throttle-group,id={name}g,x-bps-total={drive.throttle}"]
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


@functools.cache
def kvm_works() -> bool:
    """Whether KVM runs a guest here: it may be there and hang, so it gets three seconds to say something."""
    if not Path("/dev/kvm").exists():
        return False
    command = ["qemu-system-x86_64", "-machine", "q35,accel=kvm", "-cpu", _CPU, "-m", "64", "-nodefaults", "-nographic"]
    command += ["-chardev", "stdio,id=bios", "-device", "isa-debugcon,iobase=0x402,chardev=bios"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=3, check=False)
        said = done.stdout
    except subprocess.TimeoutExpired as slow:
        said = slow.stdout or b""
    return b"SeaBIOS" in said
