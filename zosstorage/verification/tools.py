"""Runs the tools that `verify` reads the machine with, one after another, through the library sh.

No tool is started by the code that starts those of a run, and none of these calls writes to a disk.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import sh
from attrs import evolve, frozen

from zosstorage.errors import ToolError
from zosstorage.system import executables

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

# sh logs each command line at INFO by itself; `_log` below tells the same once, in the form of this program.
logging.getLogger("sh").setLevel(logging.WARNING)

# BLKID_FILE: blkid reads no cache. LOCK_BLOCK_DEVICE: sfdisk waits for no lock, as it only reads.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "BLKID_FILE": "/dev/null", "LOCK_BLOCK_DEVICE": "0"}


@frozen
class Said:
    """What a tool said.

    Attributes:
        status: its exit status; negative for the signal that ended it.
        stdout: its output, decoded as UTF-8 with surrogate escapes.
        stderr: its messages, in one line.
    """

    status: int
    stdout: str
    stderr: str

    @property
    def failure(self) -> str:
        """Why there is no answer; empty if there is one."""
        if self.status == 0:
            return ""
        return self.stderr or f"exit status {self.status}"


def require(names: Iterable[str]) -> None:
    """Check that the tools are there and are not applets of a multi-call binary, which lack options.

    Raises:
        ToolError: one is missing or an applet.
    """
    for name in names:
        path = _path(name)
        try:
            applet = executables.is_applet(path)
        except OSError as error:
            raise ToolError(f"{path} cannot be read: {error.strerror}", hint="check its permissions") from error
        if applet:
            hint = f"install {executables.package(name)}"
            raise ToolError(f"{path} is an applet of {applet}, which cannot do what verify needs", hint=hint)


def _path(name: str) -> str:
    path = executables.which(name)
    if path is None:
        raise ToolError(f"there is no {name}", hint=f"install {executables.package(name)}")
    return path


class Tools:
    """The tools, each call with the same time limit in seconds."""

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def __call__(self, name: str, *words: str) -> Said:
        """Run a tool to its end; one that exceeds the time limit is killed.

        Raises:
            ToolError: there is no such tool.
        """
        command = sh.Command(_path(name))
        # _tty_out: sh gives a command a terminal by default. _new_session: the group can be killed as a whole.
        # _truncate_exc: sh cuts what it keeps of stderr. _timeout is not used: with it, sh looks only every 0.1 s
        # whether the command has ended.
        running = command(
            *words,
            _bg=True,
            _bg_exc=False,
            _in="",
            _tty_out=False,
            _new_session=True,
            _truncate_exc=False,
            _env={**executables.environment(), **_ENVIRONMENT},
            _ok_code=list(range(256)),
        )
        said = self._within_limit(running)
        log.debug("command", extra={"event": "command", "argv": " ".join((name, *words)), "status": said.status})
        return said

    def _within_limit(self, running: Any) -> Said:
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            _kill(running)

        timer = threading.Timer(self._limit, expire)
        timer.start()
        try:
            said = _ended(running)
        except BaseException:  # Ctrl-C reaches only our own session
            _kill(running)
            raise
        finally:
            timer.cancel()
        if expired.is_set():
            return evolve(said, stderr=f"killed after {self._limit:g} s without an answer")
        return said

    def json(self, name: str, *words: str) -> tuple[Any, str]:
        """The JSON document that a tool prints, and why there is none: one of both."""
        said = self(name, *words)
        if said.failure:
            return None, said.failure
        try:
            return json.loads(said.stdout), ""
        except (ValueError, RecursionError):
            return None, f"{name} printed no JSON"


def _ended(running: Any) -> Said:
    with contextlib.suppress(sh.ErrorReturnCode):  # by a signal: every exit status is in _ok_code
        running.wait()
    process = running.process
    return Said(process.exit_code, _text(process.stdout), " ".join(_text(process.stderr).split()))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _kill(running: Any) -> None:
    try:
        running.kill_group()
    except OSError:  # it has just ended
        return
