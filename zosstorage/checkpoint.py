"""checkpoint.json: saves what each state found or made, and decides whether a later run may use it."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any, Literal

from attrs import define, evolve, field, frozen

from zosstorage import __version__
from zosstorage.converter import structure, unstructure
from zosstorage.errors import ConfigError, UsageError, ZosstorageError
from zosstorage.facts import STATES, Facts
from zosstorage.system.files import read_regular, write_atomic
from zosstorage.system.mountinfo import PROC

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

VERSION = 1
Status = Literal["done", "failed", "pending"]


@frozen
class Failure:
    """Why a state failed."""

    message: str
    hint: str
    exit_code: int


@define
class StateRecord:
    """A state in the checkpoint; times are in RFC 3339, in UTC; `facts` is what the state found or made."""

    name: str
    status: Status = "pending"
    started: str | None = None
    finished: str | None = None
    seconds: float | None = None
    error: Failure | None = None
    facts: Any = None


def _all_pending() -> list[StateRecord]:
    return [StateRecord(name) for name in STATES]


@define
class Checkpoint:
    """The checkpoint: which states are done, and their facts.

    Attributes:
        version: the version of the document format.
        boot_id: the boot in which it was written (/proc/sys/kernel/random/boot_id).
        config_digest: SHA-256 of the settings that decide what is made.
        program: the version of the program that wrote it.
        digest: SHA-256 of everything else in the file: a plan that was edited by hand must not be carried out.
        states: the states, in the order of the state machine.
    """

    version: int = field(default=VERSION, metadata={"schema": {"enum": [VERSION]}})
    boot_id: str = ""
    config_digest: str = ""
    program: str = ""
    digest: str = field(default="", eq=False)
    states: list[StateRecord] = field(factory=_all_pending)

    def record(self, name: str) -> StateRecord:
        """Return the record of a state."""
        return next(record for record in self.states if record.name == name)

    @property
    def completed(self) -> int:
        """The number of states, counted from the first one, that are done."""
        names = [record.status for record in self.states]
        return next((number for number, status in enumerate(names) if status != "done"), len(names))

    def facts(self) -> Facts:
        """Return the facts of the completed states.

        Raises:
            ValueError: the records cannot be read as facts.
        """
        known = {record.name: record.facts for record in self.states[: self.completed]}
        if None in known.values():
            raise ValueError("a state that is done has no facts")
        try:
            return structure(known, Facts)
        except Exception as error:  # cattrs raises many types of exceptions
            raise ValueError(f"its facts cannot be read: {error}") from error

    def forget(self, start: str) -> None:
        """Set a state and all later ones to pending."""
        number = STATES.index(start)
        self.states[number:] = [StateRecord(name) for name in STATES[number:]]


def boot_id() -> str:
    """Return the UUID of this boot; empty if /proc is not mounted."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def load(path: Path) -> Checkpoint | None:
    """Read the checkpoint of an earlier run; None if there is no file.

    Raises:
        ValueError: it is not a file or not a checkpoint, is damaged or larger than 16 MiB, or was edited.
        OSError: the file cannot be read.
    """
    try:
        data = read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EFBIG):
            raise
        raise ValueError(f"it is damaged: {error.strerror}") from error
    try:
        found = structure(json.loads(data.decode("utf-8")), Checkpoint)
    except Exception as error:  # the cause does not matter: the file cannot be used
        raise ValueError(f"it is damaged: {type(error).__name__}") from error
    if found.version != VERSION or tuple(record.name for record in found.states) != STATES:
        raise ValueError(f"it is not a checkpoint of version {VERSION}")
    if found.digest != _digest(found):
        raise ValueError("it was changed after it was saved")
    return found


def _digest(checkpoint: Checkpoint) -> str:
    """Return the SHA-256, in hex, of a checkpoint without its own digest."""
    text = json.dumps(unstructure(evolve(checkpoint, digest="")), sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint with its digest; only root can read the file.

    Raises:
        ConfigError: the run directory cannot be written.
    """
    sealed = evolve(checkpoint, digest=_digest(checkpoint))
    try:
        write_atomic(path, json.dumps(unstructure(sealed)) + "\n", 0o600)
    except OSError as error:
        raise ConfigError(
            f"the checkpoint {path} cannot be written: {error.strerror}", hint="give another --run-dir, on a tmpfs"
        ) from error


def unusable(path: Path, error: ValueError | OSError) -> ZosstorageError:
    """Return the error for a checkpoint that cannot be loaded or removed, with a hint."""
    if isinstance(error, PermissionError):
        return UsageError(f"{path} cannot be reached: {error.strerror}", hint="run it as root")
    hint = "move it away, or name another directory with --run-dir"
    if isinstance(error, OSError):
        return ConfigError(f"{path} is not a usable checkpoint: {error.strerror}", hint=hint)
    if isinstance(error.__cause__, OSError):
        return ZosstorageError(f"{path} cannot be read: {error}", hint=hint)
    return ZosstorageError(f"{path} cannot be read: {error}", hint="remove it with zosstorage reset")


def trusted(path: Path, config_digest: str) -> Checkpoint:
    """Return the checkpoint if boot, configuration and program are the same; else log why and return an empty one."""
    fresh = Checkpoint(boot_id=boot_id(), config_digest=config_digest, program=__version__)
    try:
        found = load(path)
    except (ValueError, OSError) as error:
        _untrusted(path, str(error))
        return fresh
    if found is None:
        return fresh
    for what, then, now in (
        ("boot", found.boot_id, fresh.boot_id),
        ("configuration", found.config_digest, fresh.config_digest),
        ("version of the program", found.program, fresh.program),
    ):
        if then != now or not now:
            _untrusted(path, f"it is from another {what}")
            return fresh
    return found


def _untrusted(path: Path, reason: str) -> None:
    extra = {"event": "checkpoint.untrusted", "path": str(path), "reason": reason}
    log.warning("checkpoint not trusted, starting at discover", extra=extra)
