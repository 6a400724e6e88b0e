import logging
import os
import shlex
import shutil
import stat
import sys
from pathlib import Path

import pytest

from zosstorage.system import executables
from zosstorage.system.running import LIMIT

sys.path.insert(0, str(Path(__file__).parent))  # support.py: test files are no package


def pytest_addoption(parser):
    parser.addoption("--regenerate", action="store_true", help="write the golden files anew instead of comparing")


@pytest.fixture
def golden(request):
    """Compare text with a golden file; `--regenerate` writes it, and fails the test so that this never goes unseen."""
    written = []

    def check(name, text):
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--regenerate"):
            path.write_text(text, "utf-8")
            written.append(name)
            return
        assert path.exists(), f"{name} is missing: run with --regenerate"
        assert text == path.read_text("utf-8")

    yield check
    if written:
        pytest.fail(f"{', '.join(written)} written anew: read the diff, then run without --regenerate", pytrace=False)


@pytest.fixture(autouse=True)
def _plain_logging():
    """The log as a test finds it: `logs.set_up` changes the packages' loggers for good."""
    loggers = [logging.getLogger(name) for name in ("zosstorage", "states")]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(autouse=True)
def _plain_limit():
    """The time limit of commands as a test finds it."""
    before = LIMIT.seconds
    yield
    LIMIT.seconds = before


class FakeTools:
    """A folder of fake tools, the whole PATH: what was not put there cannot run.

    Every call is recorded: argv and, where asked for, stdin.
    """

    def __init__(self, folder):
        self.bin, self.records = folder / "bin", folder / "records"
        self.bin.mkdir()
        self.records.mkdir()

    def __call__(self, name, *, stdout="", stderr="", status=0, delay=0.0, body="", banner=b""):
        """Put a tool there: what it prints, ends with, how many seconds it takes, and more shell text to run."""
        record = shlex.quote(str(self.records / "calls"))
        stdin = shlex.quote(str(self.records / name))
        lines = [
            "#!/bin/sh",
            f"printf '%s\\000' {shlex.quote(name)} \"$@\" '\n' >> {record}",  # one write: calls may be side by side
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

    def real(self, *names):
        """Let some of the machine's own tools through, by links."""
        for name in names:
            found = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
            assert found, f"this test needs {name}"
            (self.bin / name).symlink_to(found)

    @property
    def calls(self):
        """The argv of every call, in order of their start."""
        path = self.records / "calls"
        records = path.read_bytes().split(b"\0\n\0")[:-1] if path.exists() else []
        return [[os.fsdecode(word) for word in record.split(b"\0")] for record in records]

    def of(self, name):
        return [call for call in self.calls if call[0] == name]

    def stdin(self, name):
        """What each call of a tool was given, in no order."""
        return sorted(path.read_text("utf-8") for path in self.records.glob(f"{name}.*.stdin"))


@pytest.fixture
def fake_tools(tmp_path_factory, monkeypatch):
    """Fake tools as the only ones there are."""
    fakes = FakeTools(tmp_path_factory.mktemp("tools"))
    monkeypatch.setenv("PATH", str(fakes.bin))
    monkeypatch.setattr(executables, "SYSTEM_PATH", "")
    return fakes


class SysfsTree:
    """A sysfs (and /dev/disk, and /sys/firmware) below a folder, built from small tables."""

    def __init__(self, root):
        self.root = root
        (root / "sys/class/block").mkdir(parents=True)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text if isinstance(text, str) else str(text), "utf-8")

    def add(self, name, *, gib=10, number="8:0", partitions=(), links=(), holders=(), slaves=(), **attributes):
        """A whole device. `attributes` are files below its folder, `__` standing for a slash."""
        folder = f"sys/devices/{name}"
        basics = {
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

    def _partition(self, folder, name, number, start, sectors):
        for key, value in (("partition", number), ("start", start), ("size", sectors), ("dev", f"8:{number}")):
            self.write(f"{folder}/{name}/{key}", f"{value}\n")
        (self.root / "sys/class/block" / name).symlink_to(self.root / folder / name)

    def link(self, link, name):
        path = self.root / "dev/disk" / link
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(f"../../{name}")


@pytest.fixture
def sysfs_tree(tmp_path):
    return SysfsTree(tmp_path)
