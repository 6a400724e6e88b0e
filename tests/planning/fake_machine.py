"""A machine for `observe`: its files, tools and kernel are read; its disks, mounts and other devices are fake."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes import FakeTools
from support import config, discovery, disk, observed, uuids

from zosstorage.block import contents, emptiness, sysfs
from zosstorage.config.schema import Config
from zosstorage.errors import ToolError, ZosstorageError
from zosstorage.model import Content, Discovery, Disk, Verdict
from zosstorage.observed import Observations, ObservedDisk
from zosstorage.planned import Plan
from zosstorage.planning import observe as observing
from zosstorage.planning import preflight
from zosstorage.planning.decide import decide, plan_disks
from zosstorage.planning.roles import Target
from zosstorage.system import mountinfo
from zosstorage.system.mountinfo import Mounted


class FakeMachine:
    """A machine on which a plan has no problem: two blank SSDs, all tools, a kernel with all filesystems.

    Attributes:
        proc: the directory that replaces /proc.
        tools: the fake tools.
        disks: the eligible disks.
        verdicts: the verdict on each disk; None for "blank".
        mounts: what is mounted, by target.
        contents: the superblock on each device, or the error of reading it.
    """

    def __init__(self, proc: Path, tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proc, self.tools = proc, tools
        self.disks: list[Disk] = [disk("sda"), disk("sdb")]
        self.verdicts: list[Verdict | None] = [None, None]
        self.mounts: dict[str, Mounted] = {}
        self.contents: dict[str, Content | ToolError | None] = {}
        self.kernel("btrfs", "bcachefs", "vfat")
        for name in (*preflight.PROBERS, *preflight.ALWAYS_NEEDED, "mkfs.fat", "mkfs.btrfs", "btrfs", "bcachefs"):
            tools(name)
        tools("mount", stdout="mount from util-linux 2.41 (libmount 2.41: btrfs)")
        monkeypatch.setattr(mountinfo, "PROC", proc)
        monkeypatch.setattr(mountinfo, "at", self.mounts.get)
        monkeypatch.setattr(emptiness, "observe", self._observe_disks)
        monkeypatch.setattr(sysfs, "devices", lambda: list(self.contents))
        monkeypatch.setattr(contents, "read_here", self._content)

    def _observe_disks(self, disks: Sequence[Disk], _depth: object, _esp_size: object) -> tuple[ObservedDisk, ...]:
        return tuple(observed(one, verdict) for one, verdict in zip(disks, self.verdicts, strict=True))

    def _content(self, device: str) -> Content | None:
        content = self.contents[device]
        if isinstance(content, ToolError):
            raise content
        return content

    def set_disks(self, *pairs: tuple[Disk, Verdict | None]) -> None:
        """Replace the disks; each has a verdict, None for "blank"."""
        self.disks, self.verdicts = [of for of, _ in pairs], [verdict for _, verdict in pairs]

    def kernel(self, *names: str) -> Path:
        """Write and return /proc/filesystems with these filesystems."""
        path = self.proc / "filesystems"
        path.write_text("nodev\tproc\n" + "".join(f"\t{name}\n" for name in names), "ascii")
        return path

    def mounted(self, target: str, source: str) -> None:
        """Add a mount."""
        self.mounts[target] = Mounted("8:1", "/", target, "btrfs", source, frozenset())

    @property
    def discovery(self) -> Discovery:
        """What Discover finds."""
        return discovery(*self.disks)

    def observe(self, settings: Config | None = None) -> Observations:
        """What Validate reads."""
        return observing.observe(self.discovery, settings or config(), trial=True)

    def plan(self, settings: Config | None = None) -> Plan:
        """The plan; raises the refusal with all problems."""
        settings = settings or config()
        return decide(self.observe(settings), settings, new_uuid=uuids())

    def problems(self, settings: Config | None = None) -> list[ZosstorageError]:
        """What prevents the plan, besides the disks."""
        settings = settings or config()
        seen = self.observe(settings)
        targets = [Target(one.disk, emptiness.verdict(one)) for one in seen.disks]
        return preflight.problems(plan_disks(self.discovery, targets, settings, uuids()), seen, settings)
