import hashlib
import json
import stat
from pathlib import Path

import pytest
from attrs import evolve
from support import facts

from states.report import Report
from zosstorage.errors import ToolError
from zosstorage.facts import Facts


@pytest.fixture
def state(tmp_path: Path) -> Report:
    return Report(f"{tmp_path}/run/state.json")


@pytest.fixture
def known(tmp_path: Path) -> Facts:
    """The facts before Report, with fstab enabled."""
    return evolve(facts(root=f"{tmp_path}/root", fstab="/etc/fstab"), report=None)


LINES = [f"/var/cache/{name} btrfs subvol={name},noatime 0 0" for name in ("system", "etc", "modules", "vm-meta")]


def test_the_report_is_written(state: Report, known: Facts, tmp_path: Path) -> None:
    done = state.work(known)
    path = tmp_path / "run/state.json"
    found = json.loads(path.read_text("utf-8"))
    assert (found["version"], found["status"], found["fstab"]) == (1, "provisioned", f"{tmp_path}/root/etc/fstab")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert done.written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (done.written.report, done.written.status) == (str(path), "provisioned")


def test_fstab_has_the_subvolumes_only(state: Report, known: Facts, tmp_path: Path) -> None:
    state.work(known)
    lines = (tmp_path / "root/etc/fstab").read_text("utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == LINES
    assert all(line.startswith(f"UUID={known.mounted.primary} ") for line in lines)


def test_works_without_fstab(state: Report, tmp_path: Path) -> None:
    done = state.work(evolve(facts(root=f"{tmp_path}/root"), report=None))
    assert not (tmp_path / "root/etc/fstab").exists()
    assert done.written.fstab is None
    assert state.holds(done)


def test_fstab_is_written_before_the_report(state: Report, known: Facts, tmp_path: Path) -> None:
    (tmp_path / "root/etc/fstab").mkdir(parents=True)
    with pytest.raises(ToolError, match="root/etc/fstab cannot be written"):
        state.work(known)
    assert not (tmp_path / "run/state.json").exists()


def test_names_a_report_that_cannot_be_written(state: Report, known: Facts, tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")
    with pytest.raises(ToolError) as caught:
        state.work(known)
    assert "--report" in caught.value.hint


def test_holds_while_the_report_is_the_one_that_was_written(state: Report, known: Facts, tmp_path: Path) -> None:
    done = state.work(known)
    assert state.holds(done)
    path = tmp_path / "run/state.json"
    path.write_text(path.read_text("utf-8") + " ", "utf-8")
    assert not state.holds(done)
    path.unlink()
    assert not state.holds(done)


@pytest.mark.parametrize("change", ["remove", "edit"])
def test_holds_while_fstab_has_its_lines(state: Report, known: Facts, tmp_path: Path, change: str) -> None:
    done = state.work(known)
    path = Path(tmp_path / "root/etc/fstab")
    path.write_text("# more\n" + path.read_text("utf-8"), "utf-8")
    assert state.holds(done)
    if change == "remove":
        path.unlink()
    else:
        path.write_text(path.read_text("utf-8").replace("subvol=etc", "subvol=x"), "utf-8")
    assert not state.holds(done)


def test_the_primary_is_the_one_that_was_mounted(state: Report, known: Facts, tmp_path: Path) -> None:
    """The plan may name no primary."""
    other = known.plan.data[1].uuid
    plan = evolve(known.plan, primary=None)
    known = evolve(known, validate=evolve(known.validated, plan=plan), mount=evolve(known.mounted, primary=other))
    done = state.work(known)
    lines = (tmp_path / "root/etc/fstab").read_text("utf-8").splitlines()
    assert all(line.startswith(f"UUID={other} ") for line in lines)
    assert state.holds(done)


def test_a_later_run_writes_a_new_report(state: Report, known: Facts) -> None:
    first = state.work(known)
    again = state.work(evolve(first, report=None))
    assert again.written.report == first.written.report
