"""The command line is parsed without importing the configuration; tests/test_imports.py checks all other imports."""

import subprocess
import sys
from pathlib import Path

import zosstorage

ROOT = Path(zosstorage.__file__).parent


def test_the_command_line_is_parsed_without_the_configuration() -> None:
    program = "import sys; from zosstorage import cli; cli.parse(['--topology', 'single']); print(*sys.modules)"
    argv = [sys.executable, "-c", program]
    printed = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=ROOT.parent).stdout.split()
    assert "zosstorage.cli" in printed
    assert not [name for name in printed if name.startswith("zosstorage.config")]
