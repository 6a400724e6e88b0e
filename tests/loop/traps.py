"""Wrappers in front of the real tools: they count the calls of a run, and spring a trap at one of them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import Popen

WRAPPED = ("blkid", "wipefs", "sfdisk", "partx", "mkfs.fat", "mkfs.btrfs", "btrfs", "mount", "umount")
_SEARCH = f"{os.environ['PATH']}:/usr/sbin:/sbin:/usr/bin:/bin"

# A call takes the first number that nobody has: mkdir is atomic. `springs` decides, then a trap does its work:
# "now" asks the test to kill the whole tree, and the wrapper waits for that.
_SCRIPT = """#!/bin/sh
real={real}
call=1
while ! /bin/mkdir {calls}/$call 2>/dev/null; do call=$((call + 1)); done
echo {name} >{calls}/$call/name
mine=1
while ! /bin/mkdir {calls}/{name}.$mine 2>/dev/null; do mine=$((mine + 1)); done
if {springs}; then
    {trap}
fi
exec "$real" "$@"
"""
TRAPS = {
    "before": ": >{calls}/now; exec /bin/sleep 1000",
    # Its stdin by another handle: a shell gives /dev/null to what it starts in the background.
    "during": 'exec 3<&0; "$real" "$@" <&3 & : >{calls}/now; wait; exec /bin/sleep 1000',
    "after": '"$real" "$@"; : >{calls}/now; exec /bin/sleep 1000',
    "fail": "echo 'trap: no' >&2; exit 1",
    "fail-after": '"$real" "$@"; echo "trap: done, but no" >&2; exit 1',
    "hang": "exec /bin/sleep 1000",
    "segfault": "kill -SEGV $$",
}


@dataclass
class Traps:
    """A folder of wrappers to put first on PATH.

    Attributes:
        calls: a folder with a folder for each call, numbered from 1.
    """

    folder: Path

    def __post_init__(self) -> None:
        self.calls = self.folder / "calls"

    def set(self, trap: str = "", springs: str = "false", tool: str = "") -> dict[str, str]:
        """Make the wrappers anew; the environment that puts them in front.

        `trap` is one of TRAPS, or the text of another. `springs` is a shell condition over $call (of the run) and
        $mine (of this tool), for `tool` or for all of them.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.calls.mkdir(parents=True)
        for name in WRAPPED:
            real = shutil.which(name, path=_SEARCH)
            text = TRAPS.get(trap, trap or ":").format(calls=self.calls)
            condition = springs if tool in ("", name) else "false"
            script = _SCRIPT.format(real=real, name=name, calls=self.calls, springs=condition, trap=text)
            path = self.folder / name
            path.write_text(script)
            path.chmod(0o755)
        return {"PATH": f"{self.folder}:{os.environ['PATH']}"}

    def spring(self, process: Popen[bytes]) -> bool:
        """Wait for a trap that asks for a kill; False where the run ends before."""
        now = self.calls / "now"
        wait_until(lambda: now.exists() or process.poll() is not None, "no trap sprang, and the run does not end")
        return now.exists()

    def name(self, call: int) -> str:
        """The tool of a call that sprang."""
        return (self.calls / str(call) / "name").read_text().strip()

    def reached(self, tool: str, mine: int) -> bool:
        """Whether there were so many calls of a tool."""
        return (self.calls / f"{tool}.{mine}").exists()
