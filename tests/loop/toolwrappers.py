"""Shell wrappers in front of the real tools: they count the calls of a run, and stop or fail one of the calls."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from processes import wait_until

WRAPPED = ("blkid", "wipefs", "sfdisk", "partx", "mkfs.fat", "mkfs.btrfs", "btrfs", "mount", "umount")
_SEARCH = f"{os.environ['PATH']}:/usr/sbin:/sbin:/usr/bin:/bin"

# Each call takes the lowest unused number: mkdir is atomic. A wrapper that outlives a killed test run exits as soon as
# the folder of the calls is gone, because mkdir can then never succeed.
_SCRIPT = """#!/bin/sh
real={real}
call=1
while ! /bin/mkdir {calls}/$call 2>/dev/null; do
    [ -d {calls} ] || exit 1
    call=$((call + 1))
done
echo {name} >{calls}/$call/name
nth=1
while ! /bin/mkdir {calls}/{name}.$nth 2>/dev/null; do
    [ -d {calls} ] || exit 1
    nth=$((nth + 1))
done
if {condition}; then
    {action}
fi
exec "$real" "$@"
"""
# What a wrapper does instead of the call. One that makes the file `stopped` then waits for the test to kill the process
# tree of the run.
ACTIONS = {
    "before": ": >{calls}/stopped; exec /bin/sleep 1000",
    # A shell gives /dev/null as stdin to a background command; descriptor 3 keeps the original stdin.
    "during": 'exec 3<&0; "$real" "$@" <&3 & : >{calls}/stopped; wait; exec /bin/sleep 1000',
    "after": '"$real" "$@"; : >{calls}/stopped; exec /bin/sleep 1000',
    "fail": "echo 'wrapper: failed' >&2; exit 1",
    "fail-after": '"$real" "$@"; echo "wrapper: failed after the call" >&2; exit 1',
    "hang": "exec /bin/sleep 1000",
    "segfault": "kill -SEGV $$",
}


@dataclass
class ToolWrappers:
    """A folder of wrappers to put first on PATH.

    Attributes:
        calls: a folder with one entry for each call of the run (1, 2, …) and one for each call of a tool (partx.1, …).
    """

    folder: Path

    def __post_init__(self) -> None:
        self.calls = self.folder / "calls"

    def install(self, action: str = "", condition: str = "false", tool: str = "") -> dict[str, str]:
        """Write the wrappers, forget earlier calls, and return the environment that puts the wrappers on PATH.

        Args:
            action: a key of ACTIONS, or shell commands in which {calls} is the folder of the calls.
            condition: a shell condition on $call, the number of the call in the run, and $nth, its number among the
                calls of the same tool. Where it is true, the action runs.
            tool: the only tool whose wrapper has the condition; empty for all tools.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.calls.mkdir(parents=True)
        for name in WRAPPED:
            script = _SCRIPT.format(
                real=shutil.which(name, path=_SEARCH),
                name=name,
                calls=self.calls,
                condition=condition if tool in ("", name) else "false",
                action=ACTIONS.get(action, action or ":").format(calls=self.calls),
            )
            path = self.folder / name
            path.write_text(script)
            path.chmod(0o755)
        return {"PATH": f"{self.folder}:{os.environ['PATH']}"}

    def wait_for_stop(self, process: Popen[bytes]) -> bool:
        """Wait until a call stops; False if the run ends before."""
        wait_until(lambda: self.is_stopped() or process.poll() is not None, "no call stops, and the run does not end")
        return self.is_stopped()

    def is_stopped(self) -> bool:
        """Whether a call has stopped and waits to be killed."""
        return (self.calls / "stopped").exists()

    def tool(self, call: int) -> str:
        """The name of the tool that a call of the run started."""
        return (self.calls / str(call) / "name").read_text().strip()

    def reached(self, tool: str, nth: int) -> bool:
        """Whether a tool was called at least so many times."""
        return (self.calls / f"{tool}.{nth}").exists()
