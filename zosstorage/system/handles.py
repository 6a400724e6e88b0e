"""The limit of open file descriptors (RLIMIT_NOFILE)."""

from __future__ import annotations

import resource

from zosstorage.errors import ToolError

# Descriptors that a run opens for each disk: at most 16 at once, those of two mkfs with two pipes and a pidfd each, the
# disk itself, its lock and its claim among them; and those that it has anyway.
_PER_DISK, _OTHERS = 16, 64


def require(disks: int) -> None:
    """Raise the soft limit as far as some disks need it.

    Raises:
        ToolError: the hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _OTHERS + _PER_DISK * disks
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ToolError(
            f"at most {hard} files may be open, and {disks} disks need {needed}",
            hint="raise the hard limit of open files (ulimit -Hn)",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
