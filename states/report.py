"""State 6 of 6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.errors import ToolError
from zosstorage.model import Written
from zosstorage.plain import plain
from zosstorage.sha import sha256
from zosstorage.system.files import write_atomic
from zosstorage.system.paths import under
from zosstorage.value import Value, evolve

if TYPE_CHECKING:
    from zosstorage.config.schema import Config
    from zosstorage.model import Facts
    from zosstorage.witness import Look


class Report(Value):
    """Write fstab, if it is enabled, and then the report: what it says is done and synced.

    It must not write a report of anything that was not read back. It holds while the report is the one that was written
    and fstab has its lines.
    """

    config: Config

    @property
    def _path(self) -> Path:
        return Path(self.config.report.path)

    @property
    def _fstab(self) -> Path | None:
        settings = self.config.fstab
        return Path(under(self.config.root, settings.path)) if settings.enabled else None

    def holds(self, facts: Facts) -> bool:
        try:
            text = self._path.read_bytes()
            table = self._fstab.read_text("utf-8", "surrogateescape") if self._fstab else ""
        except OSError:
            return False
        same = sha256(text).hexdigest() == facts.written.sha256
        return same and (not self._fstab or self._has_lines(table, facts))

    def looks(self, facts: Facts) -> list[Look]:  # noqa: ARG002 - the facts say no more than the files
        return [["file", str(path)] for path in (self._path, self._fstab) if path]

    def _has_lines(self, table: str, facts: Facts) -> bool:
        from zosstorage.output import fstab

        return fstab.merged(table, self._lines(facts)) == table

    def work(self, facts: Facts) -> Facts:
        from zosstorage.output import fstab, report

        if self._fstab:
            fstab.update(self._fstab, self._lines(facts))
        document = report.build(facts, str(self._fstab) if self._fstab else None)
        text = json.dumps(plain(document), indent=2) + "\n"
        try:
            write_atomic(self._path, text, 0o644)
        except OSError as error:
            raise ToolError(
                f"{self._path} cannot be written: {error.strerror}", hint="give another --report"
            ) from error
        digest = sha256(text.encode()).hexdigest()
        return evolve(facts, report=Written(str(self._path), digest, document.status, document.fstab))

    def _lines(self, facts: Facts) -> list[str]:
        from zosstorage.output import fstab

        count = len(self.config.mounts.targets)
        return fstab.lines(facts.mounts[-count:], self.config.root)
