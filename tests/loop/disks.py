"""Loop disks and the machine that has them: a mount namespace of its own, a run directory, a reboot.

The devices have numbers of their own (loopdevices.py). This kernel may have no GPT parser: partition nodes come from
the program's own `partx`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import loopdevices
from loopdevices import LoopDevice
from processes import PATIENCE, kill_tree, output, wait_until
from program import PROGRAM, TOP

PREFIX = "zosstorage-test-"
GIB = 1 << 30
NAMES = ("system", "etc", "modules", "vm-meta")


@dataclass
class LoopDisk:
    """A sparse image and the loop device it is attached to."""

    image: Path
    sector_size: int = 512
    read_only: bool = False
    device: str = ""
    loop: LoopDevice | None = None

    def attach(self) -> None:
        """Attach the image; after `pull`, to the same device."""
        if self.loop is None:
            self.loop = loopdevices.reserve(self.image)
        self.loop.attach("--sector-size", str(self.sector_size), *(["--read-only"] if self.read_only else []))
        self.device = self.loop.path

    def forget_partitions(self) -> None:
        """Have the kernel forget them; a mount of a namespace that has just ended holds them for a while."""
        loopdevices.forget_partitions(self.number)

    @property
    def attached(self) -> bool:
        return self.loop is not None and bool(loopdevices.backing_file(self.loop.number))

    def detach(self) -> None:
        """Detach the image, if it is attached, and give up the device."""
        if self.loop is None:
            return
        if self.attached:
            self.forget_btrfs()
            self.forget_partitions()
        self.loop.release()
        self.loop, self.device = None, ""

    def forget_btrfs(self) -> None:
        """Have the kernel forget the btrfs on it: one that has rebooted knows nothing of it."""
        for node in Path(f"/sys/class/block/loop{self.number}").glob("loop*p*"):
            argv = ["btrfs", "device", "scan", "--forget", f"/dev/{node.name}"]
            subprocess.run(argv, capture_output=True, check=False)

    def pull(self) -> None:
        """Detach the image and keep the device, and wait for whoever has it open still."""
        assert self.loop
        self.loop.detach()

    @property
    def number(self) -> int:
        assert self.loop
        return self.loop.number

    @property
    def sectors_written(self) -> int:
        """Of the whole device, as the kernel counts (Documentation/block/stat.rst, the 7th field)."""
        return int(Path(f"/sys/class/block/{Path(self.device).name}/stat").read_text().split()[6])

    def digest(self) -> str:
        if self.device:
            flush(self.device)
        return digest(self.image)

    @contextlib.contextmanager
    def part(self, offset: int, size: int) -> Iterator[str]:
        """A loop device over a part of the disk, for a tool to work on."""
        part = loopdevices.attach(Path(self.device), "--offset", str(offset), "--sizelimit", str(size))
        try:
            yield part.path
        finally:
            flush(part.path)
            part.release()
            output("blockdev", "--flushbufs", self.device)


def flush(device: str) -> None:
    """Have a device's page cache written: closing does that only where nobody else has the node open."""
    handle = os.open(device, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest(image: Path) -> str:
    """SHA-256 of every 4 KiB block that is not zero, and of where it is."""
    found = hashlib.sha256()
    for offset, data in _extents(image):
        for start in range(0, len(data), 4096):
            block = data[start : start + 4096]
            if block.count(0) != len(block):
                found.update((offset + start).to_bytes(8, "little") + block)
    return found.hexdigest()


def _extents(image: Path) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of what is allocated, by pieces of at most 1 MiB."""
    with image.open("rb") as file:
        handle, end, at = file.fileno(), image.stat().st_size, 0
        os.fsync(handle)
        while at < end:
            try:
                at = os.lseek(handle, at, os.SEEK_DATA)
            except OSError:  # nothing but a hole up to the end
                return
            hole = os.lseek(handle, at, os.SEEK_HOLE)
            while at < hole:
                data = os.pread(handle, min(1 << 20, hole - at), at)
                yield at, data
                at += len(data)


@dataclass
class Result:
    """How a command of the program ended."""

    status: int
    stdout: str
    stderr: str


@dataclass
class Machine:
    """Some disks, and a mount namespace in which the program runs; `close` it."""

    folder: Path
    disks: list[LoopDisk]
    settings: dict[str, Any] = field(default_factory=dict)
    holder: subprocess.Popen[bytes] | None = None
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root, self.run_dir = self.folder / "root", self.folder / "run"
        self.log = self.folder / "log"
        self.root.mkdir(exist_ok=True)
        self.boot()

    def boot(self) -> None:
        """Attach the disks and make a new mount namespace."""
        for disk in self.disks:
            if not disk.device:
                disk.attach()
        self.disks.sort(key=lambda disk: disk.number)  # the program's order; a reboot may give other numbers
        holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sleep", "infinity"], start_new_session=True
        )
        self.holder = holder
        wait_until(lambda: _namespace(holder.pid) != _namespace("self"), "no mount namespace was made")

    @property
    def config(self) -> Path:
        """The configuration file, written for the disks as they are attached now."""
        path = self.folder / "config.yaml"
        devices = {"include": [disk.device for disk in self.disks], "exclude": [], "min_size": "1GiB"}
        document = {
            "version": 1,
            "logging": {"format": "text"},
            "validate": {"scan": "signatures"},  # thousands of runs: the sample has tests of its own
            "run_dir": str(self.run_dir),
            "report": {"path": str(self.run_dir / "state.json")},
            **self.settings,
            "devices": devices | self.settings.get("devices", {}),
        }
        new = self.folder / "config.new"
        new.write_text(json.dumps(document))  # JSON is YAML
        return new.rename(path)  # at once: a program that was started before may read it now

    def inside(self, *argv: object) -> list[str]:
        """A command line that runs in the machine's namespace."""
        assert self.holder
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", *map(str, argv)]

    def argv(self, *words: object, before: Sequence[object] = ()) -> list[str]:
        program = [*before, *PROGRAM, "--config", self.config, "--root", self.root]
        return self.inside(*program, "--cmdline", os.devnull, *words)

    def __call__(self, *words: object, env: dict[str, str] | None = None) -> Result:
        done = subprocess.run(
            self.argv(*words),
            cwd=TOP,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(
        self, *words: object, env: dict[str, str] | None = None, before: Sequence[object] = ()
    ) -> subprocess.Popen[bytes]:
        """Start the program in a session of its own, to be killed, by the command `before` it; `log` has its log."""
        with self.log.open("w") as log:
            process = subprocess.Popen(
                self.argv(*words, before=before),
                cwd=TOP,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    @property
    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.run_dir / "state.json").read_text())
        return report

    @property
    def checkpoint(self) -> dict[str, Any]:
        checkpoint: dict[str, Any] = json.loads((self.run_dir / "checkpoint.json").read_text())
        return checkpoint

    @property
    def mounts(self) -> dict[str, list[str]]:
        """The fields of mountinfo by target below the root prefix."""
        lines = output(*self.inside("cat", "/proc/self/mountinfo")).splitlines()
        rows = [line.split(" ") for line in lines]
        return {row[4].removeprefix(str(self.root)): row for row in rows if row[4].startswith(f"{self.root}/")}

    def digests(self) -> list[str]:
        return [disk.digest() for disk in self.disks]

    def shutdown(self) -> None:
        """What a power cut leaves: no mounts, no run directory, no kernel partitions; the page cache is written."""
        if self.holder:
            for target in sorted(self.mounts, key=len, reverse=True):
                subprocess.run(self.inside("umount", f"{self.root}{target}"), check=False, capture_output=True)
            self.holder.kill()
            self.holder.wait()
            self.holder = None
        output("rm", "-rf", self.run_dir)
        for disk in self.disks:
            disk.detach()

    def reboot(self) -> None:
        self.shutdown()
        self.boot()

    def blank(self) -> None:
        """The same disks, as they came."""
        self.shutdown()
        for disk in self.disks:
            size = disk.image.stat().st_size
            with disk.image.open("wb") as file:
                file.truncate(size)
        self.boot()

    def close(self) -> None:
        for process in self.started:  # a test that failed in between left it running
            if process.poll() is None:
                kill_tree(process)
        self.shutdown()
        for disk in self.disks:
            disk.image.unlink(missing_ok=True)


def _namespace(pid: object) -> Path:
    return Path(f"/proc/{pid}/ns/mnt").readlink()
