"""What a state found or made, in one sentence."""

import pytest
from support import facts

from zosstorage.facts import STATES
from zosstorage.output import outcome


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("discover", "found 2 eligible disks: /dev/sda (10 GiB), /dev/sdb (10 GiB); 0 rejected; next: validate"),
        ("validate", "planned to create dual_independent: /dev/sda is blank, /dev/sdb is blank; next: partition"),
        ("partition", "wrote 2 tables; there are 4 partitions; next: format"),
        ("format", "made 4 of 4 filesystems; next: mount"),
        ("report", "wrote /run/state.json: provisioned; that was the last state"),
    ],
)
def test_says_what_was_found_or_made_and_what_comes_next(state: str, said: str) -> None:
    assert outcome.text(state, facts()) == f"{state} {said}"


def test_knows_every_state() -> None:
    assert all(outcome.text(state, facts(make=False)) for state in STATES)
