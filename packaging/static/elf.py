"""The ELF file: all modules frozen, and linked with the interpreter."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from interpreter import CFLAGS, LDFLAGS, run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def freeze(home: Path, script: Path, out: Path, folders: Iterable[Path]) -> None:
    """The bytecode of all modules, compiled by this very interpreter."""
    env = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(home / "Lib")}
    argv = [home / "python", script, out, home / "Lib", *folders]
    subprocess.run(argv, env=env, check=True)


def tell(origin: str, work: Path) -> None:
    """Have the program tell what it is built from, in a section that is not loaded: `readelf -p .origin FILE`."""
    text = f'.section .origin,"",@progbits\n.asciz "{origin}"\n.section .note.GNU-stack,"",@progbits\n'
    (work / "origin.S").write_text(text, "utf-8")


def link(home: Path, work: Path, env: dict[str, str]) -> None:
    """The program `zosstorage` in the folder `work`, from its main.c, modules.h, modules.S and origin.S."""
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
