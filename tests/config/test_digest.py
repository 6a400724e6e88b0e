import hashlib
import os
import subprocess
import sys

import pytest


def digest(merge, arguments="", kernel=""):
    found = merge(arguments, kernel).digest
    assert len(bytes.fromhex(found)) == 32
    return found


def test_the_digest_of_nothing_is_known(merge):
    # A digest that changed between versions would make every checkpoint of a running system worthless.
    assert digest(merge) == hashlib.sha256(b'{"root":"/","settings":{}}').hexdigest()


def test_the_digest_tells_settings_not_their_source(merge, default_file):
    flag = digest(merge, "--topology single --set tools.timeout=5s")
    assert digest(merge, kernel="zosstorage.set=tools.timeout=5s zosstorage.topology=single") == flag
    assert digest(merge, "--topology single", "zosstorage.set=tools.timeout=5s") == flag
    default_file.write_text("# a comment\ntools:\n  timeout: '5s'\ntopology: {mode: single}\nlogging: {}\n")
    assert digest(merge) == flag


@pytest.mark.parametrize("arguments", ["--log-level debug --log-file /l", "--report /r", "--set logging.format=text"])
def test_the_digest_leaves_out_what_provisions_nothing(merge, arguments):
    assert digest(merge, arguments) == digest(merge)


@pytest.mark.parametrize(
    "arguments",
    [
        "--topology auto",
        "--fstab",
        "--no-fstab",
        "--root /m",
        "--include /dev/a",
        "--set report=5",
        "--set tools.timeout=5s",
        "--set devices.include=[]",
        "--run-dir /x",
        "--set mounts.targets.etc=/e",
    ],
)
def test_the_digest_holds_everything_else(merge, arguments):
    assert digest(merge, arguments) != digest(merge)


def test_the_digest_tells_a_number_from_its_text(merge):
    assert digest(merge, "--set run_dir=1") != digest(merge, "--set run_dir=\\'1\\'")


PROGRAM = """
import sys
from zosstorage import cli
from zosstorage.config import sources
sources.DEFAULT_FILE = sys.argv[1]
options = cli.parse(["--topology", "single", "--set", "tools.timeout=5s", "--cmdline", sys.argv[2]])
print(sources.merge(options).digest, sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_merge_without_a_file_imports_none_of_the_slow_libraries(tmp_path):
    cmdline = tmp_path / "cmdline"
    cmdline.write_text("quiet zosstorage.include=/dev/sd* zosstorage.fstab\n")
    argv = [sys.executable, "-c", PROGRAM, str(tmp_path / "none"), str(cmdline)]
    # Coverage would measure the child too, and import what this test looks for.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    printed = subprocess.run(argv, check=True, capture_output=True, text=True, env=env).stdout
    assert "'zosstorage'" in printed
    for name in ("yaml", "attr", "attrs", "cattrs", "dataclasses", "inspect", "difflib"):
        assert f"'{name}'" not in printed
