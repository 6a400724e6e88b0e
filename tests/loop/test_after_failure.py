"""What stays after a run that failed, for operators and monitoring, and what the next success removes."""

import json
import re

import pytest
from checks import check_provisioned
from disks import GIB
from terminal import at_terminal


def spoil(one):
    """Put an ext4 magic on a disk that is blank otherwise, so that the next run is refused."""
    one.disks[-1].detach()
    with one.disks[-1].image.open("r+b") as file:
        file.seek(1080)
        file.write(b"\x53\xef")
    one.disks[-1].attach()


def failure(one):
    return json.loads((one.run_dir / "failure.json").read_text())


@pytest.mark.parametrize("command", ["run", "step"])
def test_a_refused_run_leaves_its_evidence(machine, command):
    one = machine(2, size=6 * GIB, logging={"format": "json"})
    spoil(one)
    done = one(*([command] if command == "run" else ["step", "--until", "validate"]))
    assert done.status == 5
    found = failure(one)
    assert (found["exit_code"], found["state"]) == (5, "validate")
    assert {one.disks[-1].device} == {each["disk"] for each in found["evidence"]}
    assert [each for each in found["evidence"] if each["offset"] is not None]
    assert found["error"] in done.stderr or json.dumps(found["error"])[1:-1] in done.stderr
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"run.begin", "state.begin", "disk.found", "verdict", "command", "evidence", "refused"} <= {
        line["event"] for line in logged
    }
    assert {line["state"] for line in logged if line["event"] in ("verdict", "refused", "evidence")} == {"validate"}
    assert one("status").status == 1


def test_no_report_speaks_for_a_machine_that_failed_later(machine):
    one = machine(1, size=6 * GIB)
    assert one("run").status == 0
    assert one("status").status == 0
    assert not (one.run_dir / "failure.json").exists()
    one.settings["topology"] = {"mode": "btrfs_raid1"}
    assert one("run").status == 5
    assert failure(one)["exit_code"] == 5
    assert not (one.run_dir / "state.json").exists()
    stale = (one.run_dir / "state.json.stale").read_text()
    assert json.loads(stale)["status"] == "provisioned"
    verified = one("verify")
    assert verified.status == 5
    assert "stale" in verified.stdout
    assert one("run").status == 5
    assert (one.run_dir / "state.json.stale").read_text() == stale
    del one.settings["topology"]
    assert one("run").status == 0
    check_provisioned(one, "single", status="already_provisioned")
    assert not (one.run_dir / "failure.json").exists()
    assert not (one.run_dir / "state.json.stale").exists()
    assert one("verify").status == 0


def test_a_step_says_what_it_did_and_what_comes_next(machine):
    one = machine(1, size=6 * GIB, logging={"format": "json"})
    said = []
    for _ in range(6):
        done = one("step")
        assert done.status == 0, done.stderr
        (line,) = [found for found in map(json.loads, done.stderr.splitlines()) if found["event"] == "step.end"]
        said.append(line["message"])
        assert one("status").status == (0 if len(said) == 6 else 4)
    assert [re.search("next: ([a-z]+)|that was the last", line)[1] for line in said] == [
        "validate",
        "partition",
        "format",
        "mount",
        "report",
        None,
    ]


def test_a_plan_at_a_terminal_fits_80_columns(machine):
    one = machine(2, size=6 * GIB, validate={"scan": "sampled"})
    code, shown = at_terminal(*one.argv("plan"), program=())
    assert code == 0
    lines = re.sub(r"\x1b\[\d+m", "", shown).splitlines()
    table = [line for line in lines if not re.match(r"\d\d:\d\d:\d\d ", line)]  # the log is on the terminal too
    # A path of the test is a word that cannot be folded, and only commands have one.
    assert max(map(len, table[: table.index("commands:")])) <= 80
    for disk in one.disks:
        assert [line for line in table if line.startswith(f"{disk.device} ") and line.endswith("blank")]
    assert len([line for line in table if line.strip().startswith("|") and "zosdata btrfs" in line]) == 2
    assert len([line for line in table if re.search(r"read .* of 6 GiB, sampled", line)]) == 2
