"""Report, state 6 of 6."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from zosstorage.errors import ToolError
from zosstorage.facts import Written
from zosstorage.output import fstab, report
from zosstorage.system.files import read_regular, write_atomic

if TYPE_CHECKING:
    from zosstorage.facts import Facts


@frozen
class Report:
    """Writes fstab, if it is enabled, and then the report, so that all that the report says is already done.

    It must not report anything that was not read back. It holds while the report is unchanged and fstab has its lines.
    """

    path: str

    def holds(self, facts: Facts) -> bool:
        """Return whether the report is unchanged and fstab has its lines."""
        try:
            same = hashlib.sha256(read_regular(Path(self.path))).hexdigest() == facts.written.sha256
            return same and fstab.is_current(facts)
        except OSError:
            return False

    def work(self, facts: Facts) -> Facts:
        """Write fstab and the report.

        Raises:
            ToolError: a file cannot be written.
        """
        fstab.update(facts)
        document = report.build(facts)
        text = report.text(document)
        try:
            write_atomic(Path(self.path), text, 0o644)
        except OSError as error:
            message = f"{self.path} cannot be written: {error.strerror}"
            raise ToolError(message, hint="give another --report") from error
        digest = hashlib.sha256(text.encode()).hexdigest()
        return evolve(facts, report=Written(self.path, digest, document.status, document.fstab))
