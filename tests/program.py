"""The program as it is started: this tree's, or the file that ZOSSTORAGE_PROGRAM names (the static one)."""

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
_NAMED = os.environ.get("ZOSSTORAGE_PROGRAM")
PROGRAM = (_NAMED,) if _NAMED else (sys.executable, "-m", "zosstorage")


def call(*argv, **options):
    """Run it to its end, without input; what it printed is text."""
    fixed = {"cwd": TOP, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return subprocess.run([*PROGRAM, *map(str, argv)], check=False, **{**fixed, **options})
