"""One zosstorage at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zosstorage.errors import ConfigError, LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def held(run_dir: str) -> Iterator[None]:
    """Hold the lock of a run directory; the kernel lets go of it when we end, however we end.

    Raises:
        LockedError: another process has it.
        ConfigError: the run directory cannot be made or written.
    """
    path = f"{run_dir}/lock"
    try:
        os.makedirs(run_dir, mode=0o755, exist_ok=True)  # noqa: PTH103  pathlib would cost a rerun a tenth of its time
        file = open(path, "a")  # noqa: PTH123, SIM115
    except OSError as error:
        raise ConfigError(
            f"the run directory {run_dir} cannot be written: {error.strerror}", hint="run as root, or give --run-dir"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                f"another zosstorage is at work and holds {path}", hint=f"wait for it; fuser {path} names it"
            ) from None
        yield
