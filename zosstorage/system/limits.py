"""How long one external command, or a flush of the disks, may take: set once, from the configuration."""

from __future__ import annotations


class _Limits:
    """`timeout` in seconds."""

    timeout = 600.0


LIMITS = _Limits()
