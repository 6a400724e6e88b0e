"""The short way of a rerun in the same boot: see that nothing changed since all was done, and end.

Imports no more than it needs: that is what such a run takes its time for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zosstorage import witness
from zosstorage.cli import STATES
from zosstorage.system import lock

if TYPE_CHECKING:
    from zosstorage.config.sources import Merged
    from zosstorage.machine import Provisioner


def still_done(merged: Merged) -> bool:
    """Whether an earlier run of this boot did all of this, and nothing has changed since; if so, the log says it.

    Raises:
        LockedError: another zosstorage is at work.
    """
    logging = merged.values.get("logging", {})
    usual = isinstance(logging, dict) and logging.items() <= witness.LOGGING.items()
    # Who says what an earlier run was told, and was right, makes no mistake: nothing is wrong with the run directory.
    kept = witness.kept(merged.run_dir, merged.told) if usual and os.geteuid() == 0 else None
    if kept is None:
        return False
    with lock.held(merged.run_dir):
        if not witness.holds(kept):
            return False
        witness.tell(STATES)
    return True


def keep(provisioner: Provisioner, merged: Merged) -> None:
    """For `still_done`: what is seen while all states hold. Without it the next run asks them all.

    Two looks, the same, and every state's word between them: what changes meanwhile is not kept.
    """
    from zosstorage.system.files import write_atomic

    run_dir = provisioner.path.parent
    try:
        looks = provisioner.looks()
        seen = witness.document(str(run_dir), merged.told, looks)
        if provisioner.all_hold() and seen == witness.document(str(run_dir), merged.told, looks):
            write_atomic(run_dir / witness.FILE, seen, 0o600)
    except (OSError, LookupError) as error:
        import logging

        logging.getLogger(__name__).debug("nothing kept for a quick rerun", extra={"reason": str(error)})
