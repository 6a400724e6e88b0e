"""The short way of a rerun in the same boot: see that nothing changed since all was done, and end.

Imports no more than it needs: that is what such a run takes its time for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zosstorage import lock, witness
from zosstorage.cli import STATES

if TYPE_CHECKING:
    from zosstorage.config.sources import Merged
    from zosstorage.machine import Provisioner


def still_done(merged: Merged) -> bool:
    """Whether an earlier run of this boot did all of this, and nothing has changed since; if so, the log says it.

    Raises:
        LockedError: another zosstorage is at work.
    """
    run_dir, logging = merged.run_dir, merged.values.get("logging", {})
    usual = isinstance(logging, dict) and logging.items() <= witness.LOGGING.items()
    if not usual or os.geteuid() != 0 or not os.path.exists(f"{run_dir}/{witness.FILE}"):  # noqa: PTH110
        return False
    with lock.held(run_dir):
        if not witness.holds(run_dir, merged.told):
            return False
        witness.tell(STATES)
    return True


def keep(provisioner: Provisioner, merged: Merged) -> None:
    """For `still_done`: what is seen while all states hold. Without it the next run asks them all.

    The look comes first: what changes after it is either told by a state, or seen by the next run.
    """
    from zosstorage.files import write_atomic

    run_dir = provisioner.path.parent
    try:
        seen = witness.document(str(run_dir), merged.told, provisioner.looks())
        if provisioner.all_hold():
            write_atomic(run_dir / witness.FILE, seen, 0o600)
    except OSError as error:
        import logging

        logging.getLogger(__name__).debug("nothing kept for a quick rerun", extra={"reason": str(error)})
