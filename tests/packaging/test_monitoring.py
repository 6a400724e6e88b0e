"""The example that writes the metrics of `verify` for node_exporter, and the status of the OpenRC service."""

import os
import subprocess
from pathlib import Path

import pytest
from fakes import FakeTools
from prometheus_client.parser import text_string_to_metric_families

TOP = Path(__file__).parents[2]
SCRIPT = TOP / "packaging/monitoring/verify-metrics"
INITD = TOP / "packaging/alpine/zosstorage.initd"
METRICS = "# HELP zosstorage_verify_ok x\n# TYPE zosstorage_verify_ok gauge\nzosstorage_verify_ok 1\n"


def run(*argv: object, tools: FakeTools) -> int:
    env = {**os.environ, "PATH": f"{tools.bin}:/usr/bin:/bin"}
    return subprocess.run([*map(str, argv)], env=env, capture_output=True, check=False).returncode


@pytest.mark.parametrize("status", [0, 4, 5])
def test_the_file_of_metrics_is_replaced_atomically(fake_tools: FakeTools, tmp_path: Path, status: int) -> None:
    fake_tools("zosstorage", stdout=METRICS, status=status)
    (tmp_path / "zosstorage.prom").write_text("old")
    assert run("/bin/sh", SCRIPT, tmp_path, tools=fake_tools) == status
    assert (tmp_path / "zosstorage.prom").read_text() == METRICS
    assert (tmp_path / "zosstorage.prom").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["zosstorage.prom"]
    assert fake_tools.calls == [["zosstorage", "verify", "--prometheus"]]


def test_without_metrics_a_failure_is_reported(fake_tools: FakeTools, tmp_path: Path) -> None:
    fake_tools("zosstorage", stderr="there is no findmnt\n", status=6)
    (tmp_path / "zosstorage.prom").write_text(METRICS)
    assert run("/bin/sh", SCRIPT, tmp_path, tools=fake_tools) == 6
    (family,) = text_string_to_metric_families((tmp_path / "zosstorage.prom").read_text())
    assert [sample.value for sample in family.samples] == [0]


def test_a_missing_folder_is_an_error(fake_tools: FakeTools, tmp_path: Path) -> None:
    assert run("/bin/sh", SCRIPT, tmp_path / "none", tools=fake_tools) == 1


@pytest.mark.parametrize(
    ("verify", "states", "expected"),
    [
        (0, "done", 0),
        (4, "pending", 3),
        (4, "failed", 32),
        (5, "done", 32),
        (6, "done", 32),
    ],
)
def test_the_status_of_the_service(fake_tools: FakeTools, verify: int, states: str, expected: int) -> None:
    body = f"""case "$*" in *verify*) exit {verify} ;; *--json*) echo '"status": "{states}"' ;; *) echo table ;; esac"""
    fake_tools("zosstorage", body=body)
    assert run("/bin/sh", "-c", f". {INITD}; status", tools=fake_tools) == expected
