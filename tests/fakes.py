"""Replacements for the machine that tests run on: fake tools and a fake sysfs."""

import os
import shlex
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path


class FakeTools:
    """A directory of fake tools, which is the whole PATH: a tool that is not in it cannot run.

    It records each call: the argument vector and the standard input.
    """

    def __init__(self, folder: Path) -> None:
        self.bin, self.records = folder / "bin", folder / "records"
        self.bin.mkdir()
        self.records.mkdir()

    def __call__(
        self,
        name: str,
        *,
        stdout: str = "",
        stderr: str = "",
        status: int = 0,
        delay: float = 0.0,
        body: str = "",
        banner: bytes = b"",
    ) -> Path:
        """Add a tool: it prints `stdout` and `stderr` after `delay` seconds, runs `body` in sh and exits with `status`.

        `banner` is appended to the file, for code that searches an executable for text.
        """
        record = shlex.quote(str(self.records / "calls"))
        stdin = shlex.quote(str(self.records / name))
        lines = [
            "#!/bin/sh",
            f"printf '%s\\000' {shlex.quote(name)} \"$@\" '\n' >> {record}",  # one write, as calls may be concurrent
            f"/bin/cat > {stdin}.$$.stdin",
            f"/bin/sleep {delay}" if delay else ":",
            f"printf '%s' {shlex.quote(stdout)}",
            f"printf '%s' {shlex.quote(stderr)} >&2",
            body or ":",
            f"exit {status}",
        ]
        path = self.bin / name
        path.write_bytes("\n".join(lines).encode() + b"\n" + banner)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def real(self, *names: str) -> None:
        """Make tools of the machine available, as symbolic links."""
        for name in names:
            found = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
            assert found, f"this test needs {name}"
            (self.bin / name).symlink_to(found)

    @property
    def calls(self) -> list[list[str]]:
        """The argument vector of each call, in the order in which the calls started."""
        path = self.records / "calls"
        records = path.read_bytes().split(b"\0\n\0")[:-1] if path.exists() else []
        return [[os.fsdecode(word) for word in record.split(b"\0")] for record in records]

    def of(self, name: str) -> list[list[str]]:
        """The calls of one tool."""
        return [call for call in self.calls if call[0] == name]

    def stdin(self, name: str) -> list[str]:
        """The standard input of each call of a tool, sorted by its text."""
        return sorted(path.read_text("utf-8") for path in self.records.glob(f"{name}.*.stdin"))


class SysfsTree:
    """A directory with the files of sysfs, /dev/disk and /sys/firmware that describe some block devices."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "sys/class/block").mkdir(parents=True)

    def write(self, path: str, text: object) -> None:
        """Write a file below the root."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(text), "utf-8")

    def add(
        self,
        name: str,
        *,
        gib: float = 10,
        number: str = "8:0",
        partitions: Iterable[tuple[str, int, int, int]] = (),
        links: Iterable[str] = (),
        holders: Iterable[str] = (),
        slaves: Iterable[str] = (),
        **attributes: object,
    ) -> None:
        """Add a whole device.

        A partition is (kernel name, number, start, size), in sectors. `attributes` are files below the directory of
        the device, with `__` for a slash; None removes a file.
        """
        folder = f"sys/devices/{name}"
        basics: dict[str, object] = {
            "dev": number,
            "size": int(gib * 2**30) // 512,
            "ro": 0,
            "removable": 0,
            "queue__logical_block_size": 512,
            "queue__rotational": 0,
            "diskseq": 7,
        }
        for key, value in (basics | attributes).items():
            if value is not None:
                self.write(f"{folder}/{key.replace('__', '/')}", f"{value}\n")
        for partition in partitions:
            self._partition(folder, *partition)
        for kind, names in (("holders", holders), ("slaves", slaves)):
            for other in names:
                self.write(f"{folder}/{kind}/{other}", "")
        (self.root / "sys/class/block" / name).symlink_to(self.root / folder)
        for link in links:
            self.link(link, name)

    def _partition(self, folder: str, name: str, number: int, start: int, sectors: int) -> None:
        for key, value in (("partition", number), ("start", start), ("size", sectors), ("dev", f"8:{number}")):
            self.write(f"{folder}/{name}/{key}", f"{value}\n")
        (self.root / "sys/class/block" / name).symlink_to(self.root / folder / name)

    def link(self, link: str, name: str) -> None:
        """Add a link below /dev/disk to the node of a device."""
        path = self.root / "dev/disk" / link
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(f"../../{name}")
