"""Somebody acts on the disk right before or after any command of a run: what they put there is kept, or is refused.

docs/rationale.md, "What cannot be kept", lists the moments at which a run cannot see an act in time.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from disks import GIB, Machine
from toolwrappers import ToolWrappers

UUID = "5eed5eed-0000-4000-8000-000000000001"
BYTES = "precious bytes of somebody else"
FAR = GIB + (100 << 20)  # in the data partition, where neither a superblock nor a new tree lies
# Acts on the ESP ($esp), the data partition ($data) or the disk ($disk), as far as the node is there. The last command
# of each succeeds only if the act did.
ACTS = {
    "mkfs on the disk": f"mkfs.ext4 -q -F -E nodiscard -U {UUID} $disk",
    "mkfs on the data partition": f"mkfs.ext4 -q -F -E nodiscard -U {UUID} $data",
    "mkfs on the ESP": f"mkfs.ext4 -q -F -E nodiscard -U {UUID} $esp",
    "raw write": f"printf '{BYTES}' | dd of=$disk bs=1M seek={FAR >> 20} conv=notrunc,fsync",
    "mount of the data partition": "mkdir -p $there && mount $data $there && cp $given $there/file && umount $there",
}
MOMENTS = {
    "before": "{act}",
    "after": '"$real" "$@"; status=$?; {act}; exit $status',
}
# Right before a command that makes a filesystem, the run has let go of the partition so that the command can open it.
# mkfs.fat does not look at what is there; mkfs.btrfs does, and refuses.
LOST = {("mkfs on the ESP", "before", "mkfs.fat"), ("mkfs on the ESP", "before", "mkfs.btrfs")}


class Scenario:
    """A blank machine, a run on it, and an act of somebody at one command of the run."""

    def __init__(self, machine: Callable[..., Machine], tmp_path: Path) -> None:
        self.one = machine(size=2 * GIB, partitions={"firmware": "bios"})
        self.wrappers, self.there = ToolWrappers(tmp_path / "wrappers"), tmp_path / "there"
        self.given, self.acted = tmp_path / "given", tmp_path / "acted"
        self.given.write_text(BYTES)
        self.disk = self.one.disks[0]

    def commands(self) -> list[str]:
        """The commands of a run, in order."""
        assert self.one("run", env=self.wrappers.install()).status == 0
        numbers = sorted(int(path.name) for path in self.wrappers.calls.iterdir() if path.name.isdigit())
        return [self.wrappers.tool(number) for number in numbers]

    def run(self, act: str, moment: str, call: int) -> bool:
        """Whether somebody acted at a command of a run on the blank disk."""
        self.one.blank()
        self.acted.unlink(missing_ok=True)
        node = self.disk.device
        names = f"disk={node}; esp={node}p2; data={node}p3; there={self.there}; given={self.given}"
        # What it prints is not the command's output.
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        text = f"{{ {names}; {path}; {act} && : >{self.acted}; }} >/dev/null 2>&1 </dev/null"
        action = MOMENTS[moment].replace("{act}", text.replace("{", "{{").replace("}", "}}"))
        self.one("run", env=self.wrappers.install(action, f"[ $call = {call} ]"))
        return self.acted.exists()

    def kept(self, act: str) -> bool:
        """Whether what somebody put there is still there."""
        node = {"ESP": f"{self.disk.device}p2", "partition": f"{self.disk.device}p3", "disk": self.disk.device}
        if act == "raw write":
            with self.disk.image.open("rb") as image:
                image.seek(FAR)
                return image.read(len(BYTES)) == BYTES.encode()
        where = node[act.rsplit(maxsplit=1)[-1]]
        if act.startswith("mkfs"):
            return uuid(where) == UUID
        read = (
            f"mkdir -p {self.there} && mount -o ro {where} {self.there} && cat {self.there}/file; umount {self.there}"
        )
        return (
            subprocess.run(self.one.inside("sh", "-c", read), capture_output=True, check=False).stdout == BYTES.encode()
        )


def uuid(node: str) -> str:
    """The UUID of the ext4 on a node, by its superblock."""
    found = subprocess.run(["dumpe2fs", "-h", node], capture_output=True, text=True, check=False).stdout
    return next((line.split()[-1] for line in found.splitlines() if line.startswith("Filesystem UUID")), "")


# After a command is before the next one, but where commands run side by side.
@pytest.mark.parametrize(
    ("act", "moment"), [*((act, "before") for act in ACTS), ("mkfs on the data partition", "after")]
)
def test_an_act_at_any_command_is_kept(machine, tmp_path, act, moment):
    scenario = Scenario(machine, tmp_path)
    commands, acts = scenario.commands(), 0
    begin = commands.index("partx") if act.endswith(("partition", "ESP")) else 0  # no partition has a node before
    for call, tool in enumerate(commands[begin:], begin + 1):
        if not scenario.run(ACTS[act], moment, call):
            continue
        acts += 1
        first = scenario.kept(act)
        again = scenario.one("run")
        if not (first and scenario.kept(act)):
            assert (act, moment, tool) in LOST, f"{act} {moment} command {call}, {tool}: {again.status}: {again.stderr}"
    assert acts, "nothing was tried"
