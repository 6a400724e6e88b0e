"""Link the ELF file: the interpreter with the bytecode of all modules."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from interpreter import CFLAGS, LDFLAGS, run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def freeze(home: Path, script: Path, out: Path, folders: Iterable[Path]) -> None:
    """Compile all modules to bytecode by the interpreter that will run them, the one in the folder `home`."""
    env = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(home / "Lib")}
    argv = [home / "python", script, out, home / "Lib", *folders]
    subprocess.run(argv, env=env, check=True)


def write_origin(origin: str, work: Path) -> None:
    """Write the source of a section `.origin`, which is not loaded at runtime: `readelf -p .origin FILE` prints it."""
    text = f'.section .origin,"",@progbits\n.asciz "{origin}"\n.section .note.GNU-stack,"",@progbits\n'
    (work / "origin.S").write_text(text, "utf-8")


def link(home: Path, work: Path, env: dict[str, str]) -> None:
    """Link the program `zosstorage` in the folder `work` from main.c, modules.h, modules.S and origin.S in it."""
    argv = [
        *(*env["CC"].split(), *CFLAGS.split(), f"-I{home}/Include", f"-I{home}", "main.c"),
        *(
            "modules.S",
            "origin.S",
            f"{home}/libpython3.13.a",
            *sorted(map(str, (home / "Modules/_hacl").glob("*.a"))),
            *LDFLAGS.split(),
        ),
        *("-Wl,--gc-sections", "-lm", "-o", "zosstorage"),
    ]
    run(argv, work, env)
