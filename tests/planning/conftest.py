import sys
from pathlib import Path

import pytest
from support import config, discovery, disk, observed, uuids

from zosstorage.block import emptiness, sysfs
from zosstorage.errors import ToolError
from zosstorage.planning import observe as observing
from zosstorage.planning import preflight
from zosstorage.planning.decide import decide, plan_disks
from zosstorage.planning.roles import Target
from zosstorage.system import mountinfo
from zosstorage.system.mountinfo import Mounted

sys.path.insert(0, str(Path(__file__).parent))  # machines.py: test files are no package


class Observed:
    """A machine as `observe` finds it, with nothing in the way: two blank SSDs, every tool, every filesystem."""

    def __init__(self, proc, tools, monkeypatch):
        self.proc, self.tools = proc, tools
        self.disks = [disk("sda"), disk("sdb")]
        self.verdicts = [None, None]
        self.mounts = {}
        self.carried = {}
        self.kernel("btrfs", "bcachefs", "vfat")
        for name in ("blkid", "wipefs", *preflight.ALWAYS_NEEDED, "mkfs.fat", "mkfs.btrfs", "btrfs", "bcachefs"):
            tools(name)
        tools("mount", stdout="mount from util-linux 2.41 (libmount 2.41: btrfs)")
        monkeypatch.setattr(mountinfo, "PROC", proc)
        monkeypatch.setattr(mountinfo, "at", self.mounts.get)
        monkeypatch.setattr(emptiness, "observe", self._disks)
        monkeypatch.setattr(sysfs, "devices", lambda: list(self.carried))
        monkeypatch.setattr(observing, "read_content", self._content)

    def _disks(self, disks, _depth, _esp_size):
        return tuple(observed(one, verdict) for one, verdict in zip(disks, self.verdicts, strict=True))

    def _content(self, device):
        if isinstance(self.carried[device], ToolError):
            raise self.carried[device]
        return self.carried[device]

    def has(self, *pairs):
        """Other disks, each with the verdict on it (None: blank)."""
        self.disks, self.verdicts = ([*column] for column in zip(*pairs, strict=True))

    def kernel(self, *names):
        """What /proc/filesystems says; returns the file."""
        path = self.proc / "filesystems"
        path.write_text("nodev\tproc\n" + "".join(f"\t{name}\n" for name in names), "ascii")
        return path

    def mounted(self, target, source):
        self.mounts[target] = Mounted("8:1", "/", target, "btrfs", source, frozenset())

    @property
    def found(self):
        return discovery(*self.disks)

    def observe(self, settings=None):
        return observing.observe(self.found, settings or config())

    def plan(self, settings=None):
        """The plan, or the refusal with everything that is in the way."""
        settings = settings or config()
        return decide(self.observe(settings), settings, new_uuid=uuids())

    def problems(self, settings=None):
        """Each thing that is in the way of the plan."""
        settings = settings or config()
        seen = self.observe(settings)
        targets = [Target(one.disk, emptiness.verdict(one)) for one in seen.disks]
        return preflight.problems(plan_disks(self.found, targets, settings, uuids()), seen, settings)


@pytest.fixture
def machine(fake_tools, tmp_path_factory, monkeypatch):
    """A machine that is read for real but for its disks, its mounts and what other devices carry."""
    return Observed(tmp_path_factory.mktemp("proc"), fake_tools, monkeypatch)
