"""How the package `system` starts processes."""

import ast
from pathlib import Path

from zosstorage import system

FILES = sorted(path for folder in system.__path__ for path in Path(folder).glob("*.py"))


def test_processes_are_started_by_popen_in_one_module() -> None:
    """With `preexec_fn`, Popen would fork, which copies our page tables; only `reading` may."""
    forbidden = {"preexec_fn", "posix_spawn", "posix_spawnp", "fork", "forkpty"}
    found = {
        (path.stem, name)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in (getattr(node, "attr", None), getattr(node, "arg", None))
        if name in forbidden
    }
    assert found == {("reading", "fork")}
    calls = [path.stem for path in FILES if "subprocess.Popen(" in path.read_text("utf-8")]
    assert calls == ["run"]
