"""Compile all modules that the program imports to bytecode, in one file.

The interpreter that will run the bytecode runs this script: `python freeze.py OUT LIBRARY FOLDER…`. It writes
OUT/modules.bin, the bytecode; OUT/modules.S, which includes it; and OUT/modules.h, the table of the modules. The script
follows every import of the program, also inside functions, except imports of the modules in EXCLUDED.
"""

from __future__ import annotations

import _imp
import ast
import marshal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Where the search begins: all modules of the program, and the modules that the interpreter itself imports by name.
PACKAGES = ("zosstorage", "states")
ROOTS = (
    *("warnings", "threading", "traceback", "linecache", "importlib", "io", "codecs"),
    *(f"encodings.{name}" for name in ("aliases", "ascii", "latin_1", "unicode_escape", "utf_8", "utf_8_sig")),
    *(f"encodings.utf_{size}{order}" for size in (16, 32) for order in ("", "_le", "_be")),
)
# Imported only by code that the program never runs: `python -m`, documentation, tests, networks, archives, other
# operating systems.
EXCLUDED = frozenset(
    """
    _pydatetime _pydecimal _pylong _pyrepl antigravity asyncio.windows_events asyncio.windows_utils bdb bz2 cattr
    cattrs.preconf.bson cattrs.preconf.cbor2 cattrs.preconf.msgpack cattrs.preconf.msgspec cattrs.preconf.orjson
    cattrs.preconf.tomlkit cattrs.preconf.ujson cmd code codeop concurrent.futures.process ctypes curses dbm decimal
    doctest email encodings.mbcs ensurepip fractions ftplib getopt http idlelib importlib.readers
    importlib.resources lzma mimetypes multiprocessing netrc nturl2path optparse pdb pickletools pip plistlib
    profile pstats pydoc pydoc_data pyrepl pythonjsonlogger.msgspec pythonjsonlogger.orjson readline rlcompleter
    site smtplib socketserver ssl statistics tarfile test tkinter transitions.experimental
    transitions.extensions.diagrams_pygraphviz unittest urllib.request webbrowser winreg xml xmlrpc yaml.cyaml
    zipfile zipimport
    """.split()  # noqa: SIM905 - easier to read than a list of strings
)
# Modules that other modules add to sys.modules.
ALIASES = frozenset(("collections.abc", "os.path"))


class Closure:
    """All modules that are reached by imports, by name."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self.found: dict[str, Path] = {}
        self.needed: set[tuple[str, str]] = set()
        frozen = _imp._frozen_module_names()  # type: ignore[attr-defined]  # noqa: SLF001 - no public function lists them
        self.present = {*frozen, *sys.builtin_module_names}

    def add(self, name: str) -> None:
        """Add a module, its parent packages, and the modules that it imports."""
        parent = name.rpartition(".")[0]
        if parent:
            self.add(parent)
        if name in self.found or is_excluded(name) or (parent and parent not in self.found):
            return
        path = self.locate(name)
        if path is None:
            return
        self.found[name] = path
        tree = ast.parse(path.read_bytes())
        package = name if path.name == "__init__.py" else parent
        for imported in imports(ast.walk(tree), package):
            self.add(imported)
        self.needed |= {(modules[0], name) for node in tree.body if (modules := sorted(imports([node], package)))}

    def missing(self) -> list[str]:
        """List the modules that an added module imports at its top level, and that were not added."""
        known = self.present | set(self.found) | ALIASES
        return [f"{name}, which {user} imports" for name, user in sorted(self.needed) if name not in known]

    def locate(self, name: str) -> Path | None:
        base = name.replace(".", "/")
        candidates = [folder / f"{base}{tail}" for folder in self.folders for tail in ("/__init__.py", ".py")]
        return next((path for path in candidates if path.is_file()), None)


def modules(folders: list[Path]) -> list[str]:
    """List every module of the program's own packages."""
    paths = [(folder, path) for folder in folders for package in PACKAGES for path in (folder / package).rglob("*.py")]
    names = [str(path.relative_to(folder).with_suffix("")).removesuffix("/__init__") for folder, path in paths]
    return [name.replace("/", ".") for name in sorted(names)]


def is_excluded(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[: end + 1]) in EXCLUDED for end in range(len(parts)))


def imports(nodes: Iterable[ast.AST], package: str) -> set[str]:
    """Return the names that import statements in a module of `package` may import; for `from a import b`, a and a.b."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, (above, node.module)))
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


def write(out: Path, library: Path, found: dict[str, Path], present: set[str]) -> None:
    blob, rows = bytearray(), []
    for name, path in sorted(found.items()):
        if name in present:
            continue
        is_package = path.name == "__init__.py"
        shown = f"{name.replace('.', '/')}{'/__init__' if is_package else ''}.py"
        where = f"python{sys.version_info.major}.{sys.version_info.minor}/" if path.is_relative_to(library) else ""
        code = marshal.dumps(compile(path.read_bytes(), where + shown, "exec", dont_inherit=True, optimize=0))
        rows.append(f'    {{"{name}", modules_blob + {len(blob)}, {len(code)}, {int(is_package)}}},')
        blob += code
    (out / "modules.bin").write_bytes(blob)
    (out / "modules.S").write_text(
        '.section .rodata\n.global modules_blob\n.balign 16\nmodules_blob:\n.incbin "modules.bin"\n'
        '.section .note.GNU-stack,"",@progbits\n'
    )
    (out / "modules.h").write_text(
        "extern const unsigned char modules_blob[];\nstatic const struct _frozen modules[] = {\n"
        + "\n".join(rows)
        + "\n    {0},\n};\n"
    )


def main() -> None:
    out, library, *folders = map(Path, sys.argv[1:])
    closure = Closure([*folders, library])
    for name in (*ROOTS, *modules(folders)):
        closure.add(name)
    if missing := closure.missing():
        raise SystemExit(f"freeze.py excludes {'; '.join(missing)}")
    write(out, library, closure.found, closure.present)
    print(len(closure.found), "modules")


if __name__ == "__main__":
    main()
