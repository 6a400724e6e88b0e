"""Development sessions; `nox --list` lists them. Arguments after `--` go to the tool that a session runs."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "tests"]
nox.options.reuse_venv = "yes"

HERE = Path(__file__).parent
PYPROJECT = nox.project.load_toml(HERE / "pyproject.toml")
(VERSION,) = re.findall(r'^__version__ = "(.+)"$', (HERE / "zosstorage/__init__.py").read_text("utf-8"), re.MULTILINE)
STATIC_FILE = HERE / f"dist/zosstorage-{VERSION}-x86_64-linux-musl"
APT = "apt-get install -y --no-install-recommends"
# The PATH of an ordinary user lacks the folders of system tools.
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@nox.session
def lint(session: nox.Session) -> None:
    """Check rules and format (ruff), types (mypy, strict) and the shell scripts (shellcheck)."""
    _install(session, "lint")
    session.run("ruff", "check", *(session.posargs or ["."]))
    session.run("ruff", "format", "--check", *(session.posargs or ["."]))
    session.run("mypy")
    for name, (search, *words) in TYPED.items():
        path = os.pathsep.join((str(HERE), *(str(HERE / folder) for folder in search.split())))
        lenient = UNANNOTATED if name in PARTLY_TYPED else ()
        session.run("mypy", f"--cache-dir=.mypy_cache/{name}", *lenient, *words, env={"MYPYPATH": path})
    _need_tools(session, {"shellcheck": ("shellcheck",)})
    session.run("shellcheck", *map(str, _shell_scripts()), external=True)


# These tests may leave out annotations; what they annotate is checked as strictly as everything else.
PARTLY_TYPED = ("loop",)
UNANNOTATED = (
    *("--allow-untyped-defs", "--allow-incomplete-defs", "--allow-untyped-calls", "--allow-untyped-decorators"),
    "--no-check-untyped-defs",
)

# What mypy checks besides the packages: the folders that it searches for modules, then its arguments. Test folders are
# not packages, and a conftest.py in each of them would be the same module to one call, so that each gets its own.
TYPED = {
    "tests": ("tests packaging/shared", "--exclude=^tests/(loop|planning|system)/", "tests"),
    "planning": ("tests tests/planning", "tests/planning"),
    "system": ("tests tests/system", "tests/system"),
    "loop": ("tests tests/loop", "tests/loop"),
    "vm-tests": ("tests tests/loop vm-tests", "vm-tests"),
    "packaging": ("vm-tests packaging/static", "packaging/static"),
    "shared": ("packaging/shared", "packaging/shared"),
    "tools": ("tests tests/loop benchmarks", "benchmarks", "demo", "noxfile.py"),
}


@nox.session
def unit(session: nox.Session) -> None:
    """Run the tests that need no root and no loop device and take at most 3 s each: under a minute in all."""
    _install(session, "test")
    session.run("pytest", *PYTEST, *UNIT, *session.posargs, env=COMPILED)


@nox.session
def sdist(session: nox.Session) -> None:
    """Build the sdist, unpack it, and run the tests of the unit session in it."""
    session.install(*PYPROJECT["build-system"]["requires"])
    folder = Path(session.create_tmp()).resolve() / "sdist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("hatchling", "build", "-t", "sdist", "-d", str(folder))
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder)
    with session.chdir(folder / archive.name.removesuffix(".tar.gz")):
        _install(session, "test")
        session.run("pytest", *PYTEST, *UNIT, *session.posargs, env=COMPILED)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests that need no QEMU, loop devices included, as root. Arguments choose tests and skip the checks."""
    if not session.posargs:
        session.log("this takes about 12 minutes on two processors; `nox -s unit` takes less than one")
        _need_root(session, "or run the tests that need no root: .venv/bin/nox -s unit")
        _need_tools(session, _packages(HERE / "tests/packages"))
    _install(session, "test")
    session.run("pytest", *PYTEST, *session.posargs, env=COMPILED)


@nox.session
def tests_oldest(session: nox.Session) -> None:
    """Run the tests of the session unit with the oldest libraries that pyproject.toml allows."""
    constraints = Path(session.create_tmp()) / "oldest.txt"
    oldest = [requirement.replace(">=", "==") for requirement in PYPROJECT["project"]["dependencies"]]
    constraints.write_text("\n".join(oldest) + "\n", "utf-8")
    _install(session, "test", "--constraint", str(constraints))
    session.run("pytest", *PYTEST, *UNIT, *session.posargs, env=COMPILED)


@nox.session
def demo(session: nox.Session) -> None:
    """Provision two loop devices as root, show the result, and run again; install the system tools that are missing."""
    _need_root(session)
    _provide_tools(session, _packages(HERE / "demo/packages"))
    session.install("-e", ".")
    session.run("python", str(HERE / "demo/run.py"), *session.posargs)


@nox.session
def vm(session: nox.Session) -> None:
    """Run the matrix of topologies, power losses and write logs on real kernels in QEMU, as root; install the tools."""
    _need_root(session)
    _provide_tools(session, _packages(HERE / "vm-tests/packages"))
    _install(session, "test")
    if not session.posargs and not STATIC_FILE.is_file():  # the Alpine scenarios boot it
        _build_static_file(session)
    chosen = any(Path(word.partition("::")[0]).exists() for word in session.posargs)
    session.run("pytest", *([] if chosen else ["vm-tests"]), "-n", "2", "--dist", "worksteal", "-v", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Time a run against a shell script and systemd-repart on loop devices, for example `-- --rounds 1 --disks 1`."""
    _need_root(session)
    _provide_tools(session, _packages(HERE / "benchmarks/packages"))
    session.install(".")  # a compiled wheel, as an operator installs it
    program = Path(session.bin) / "zosstorage"
    session.run(
        "python", str(HERE / "benchmarks/run.py"), f"--program={program}", *session.posargs, env=_repart(session)
    )


def _repart(session: nox.Session) -> dict[str, str]:
    """Find systemd-repart, or unpack its package here: installing it would replace the init of the machine."""
    if _is_there("systemd-repart"):
        return {"REPART": "systemd-repart"}
    folder = HERE / ".cache/repart"
    if not folder.exists():
        download = Path(session.create_tmp())
        with session.chdir(download):
            session.run("apt-get", "download", "systemd", "libsystemd-shared", external=True)
        for package in download.glob("*systemd*.deb"):
            session.run("dpkg-deb", "-x", str(package), str(folder), external=True)
            package.unlink()
    (program,) = [path for path in folder.glob("**/bin/systemd-repart") if path.is_file()]
    (library,) = folder.glob("**/libsystemd-shared-*.so")
    return {"REPART": str(program), "LD_LIBRARY_PATH": str(library.parent)}


@nox.session
def bundle(session: nox.Session) -> None:
    """Build the static file dist/zosstorage-VERSION-x86_64-linux-musl and test it, as root; install the tools."""
    _bundle(session)


@nox.session
def release(session: nox.Session) -> None:
    """As bundle, but only from the files that packaging/static/pins.toml names, and without earlier builds."""
    _bundle(session, "--release")


@nox.session
def pins(session: nox.Session) -> None:
    """Pin the current Debian source package of CPython in packaging/static/pins.toml."""
    session.run("python", str(HERE / "packaging/static/build.py"), "--renew-pins")


def _bundle(session: nox.Session, *options: str) -> None:
    _need_root(session)
    _provide_tools(session, _packages(HERE / "tests/packages"))
    _install(session, "test")
    _build_static_file(session, *options)
    # Run the tests of the program as a process again, on the static file.
    topologies = [
        f"tests/loop/test_topologies.py::test_{name}" for name in ("step_by_step_equals_run", "one_at_a_time")
    ]
    loop = (*topologies, "tests/loop/test_writes.py")
    started = ("tests/test_cli.py", "tests/test_readme.py", *loop)
    env = {**COMPILED, "ZOSSTORAGE_PROGRAM": str(STATIC_FILE)}
    session.run("pytest", *PYTEST, "packaging/static", *(session.posargs or started), env=env)


def _build_static_file(session: nox.Session, *options: str) -> None:
    _provide_tools(session, _packages(HERE / "packaging/static/packages"))
    session.run("python", str(HERE / "packaging/static/build.py"), *options)


# One worker for each processor; one worker runs all tests of an xdist_group.
PYTEST = ("-n", "auto", "--dist", "loadgroup")
# Without loop devices and long tests. pytest lists what takes longer than 3 s: mark it `slow`, or make it faster.
UNIT = ("-m", "not loop and not slow", "--durations=0", "--durations-min=3")
# The tests start the program thousands of times; without bytecode files, each start would compile it again.
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}


def _install(session: nox.Session, group: str, *constraints: str) -> None:
    session.install("-e", ".", *nox.project.dependency_groups(PYPROJECT, group), *constraints)


def _packages(path: Path) -> dict[str, tuple[str, ...]]:
    """Read a list of Debian packages, one `package: tool tool` on each line; `#` begins a comment."""
    lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    pairs = [line.partition(":") for line in lines if line]
    return {package: tuple(tools.split()) for package, _, tools in pairs}


def _missing(packages: dict[str, tuple[str, ...]]) -> list[str]:
    """List the packages of which a tool is missing on this machine."""
    return [package for package, tools in packages.items() if not all(map(_is_there, tools))]


def _is_there(tool: str) -> bool:
    """Whether a tool is on PATH, or a file that a package without tools contains exists."""
    return Path(tool).is_file() if tool.startswith("/") else bool(shutil.which(tool, path=SEARCHED))


def _need_tools(session: nox.Session, packages: dict[str, tuple[str, ...]]) -> None:
    if missing := _missing(packages):
        session.error(f"system tools are missing; install them with: {APT} {' '.join(missing)}")


def _provide_tools(session: nox.Session, packages: dict[str, tuple[str, ...]]) -> None:
    """Install the missing packages on Debian; elsewhere name them and fail."""
    missing = _missing(packages)
    if missing and shutil.which("apt-get"):
        session.run(*APT.split(), *missing, external=True, env={"DEBIAN_FRONTEND": "noninteractive"})
    _need_tools(session, packages)


def _need_root(session: nox.Session, otherwise: str = "") -> None:
    if os.geteuid() != 0:
        again = f"sudo .venv/bin/nox -s {session.name}"
        session.error(f"this session creates and mounts loop devices; run it as root: {again} {otherwise}".rstrip())


def _shell_scripts() -> list[Path]:
    """List the shell scripts of the repository, by their first line or their name."""
    folders = [HERE / name for name in (".ci", "demo", "packaging", "vm-tests", "benchmarks")]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in files if path.suffix == ".sh" or _SHELL.match(path.read_bytes()[:40])]


# The first line of a script names a shell or OpenRC, or is a directive for shellcheck (as in an APKBUILD).
_SHELL = re.compile(rb"#!.*\b((ba)?sh|openrc-run)\b|# shellcheck ")
