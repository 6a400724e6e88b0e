"""Writes the files that are made from the tables of the program: `python packaging/shared/generate.py`.

The man page, the completions of three shells and the JSON Schemas are checked in, and installed with the program.
"""

from __future__ import annotations

from pathlib import Path

import completions
import manpage
from zosstorage import cli, commands

TOP = Path(__file__).resolve().parents[2]


def files() -> dict[Path, str]:
    """The content of each generated file, by its path in the repository."""
    shells = Path("packaging/completions")
    return {
        Path("docs/zosstorage.8"): manpage.page(),
        shells / "zosstorage.bash": completions.bash(),
        shells / "_zosstorage": completions.zsh(),
        shells / "zosstorage.fish": completions.fish(),
        **{Path(f"schemas/{name}.json"): commands.schema_text(name) for name in cli.DOCUMENTS},
    }


def main() -> None:
    """Write all of them."""
    for path, text in files().items():
        (TOP / path).parent.mkdir(exist_ok=True)
        (TOP / path).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
