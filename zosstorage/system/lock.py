"""The lock of a run directory: one zosstorage at a time."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from zosstorage.errors import ConfigError, LockedError
from zosstorage.system.files import open_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def held(run_dir: str | Path) -> Iterator[None]:
    """Hold the lock of a run directory, which is made if it is missing; the kernel releases it when the process ends.

    Raises:
        LockedError: another process has it.
        ConfigError: the run directory cannot be made or written.
    """
    path = Path(run_dir) / "lock"
    with _opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                f"another zosstorage is at work and holds {path}", hint=f"wait for it; fuser {path} names it"
            ) from None
        yield


def _opened(path: Path) -> TextIO:
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        return open(path, "a", opener=open_at_once)
    except OSError as error:
        raise ConfigError(
            f"the run directory {path.parent} cannot be written: {error.strerror}",
            hint="run as root, or give --run-dir",
        ) from error
