"""Starts the program: that of this tree, or the file that ZOSSTORAGE_PROGRAM names (the static build)."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
_NAMED = os.environ.get("ZOSSTORAGE_PROGRAM")
PROGRAM = (_NAMED,) if _NAMED else (sys.executable, "-m", "zosstorage")


def call(*argv: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run the program until it exits, without standard input; its output is text."""
    fixed: dict[str, Any] = {"cwd": TOP, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return subprocess.run([*PROGRAM, *map(str, argv)], check=False, **{**fixed, **options})
