"""Development sessions; `nox --list` tells them. Arguments behind `--` go to the tool of a session."""

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
STATIC_FILE = HERE / f"dist/zosstorage-{PYPROJECT['project']['version']}-x86_64-linux-musl"
APT = "apt-get install -y --no-install-recommends"
# Where tools live that the PATH of an ordinary user does not name.
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@nox.session
def lint(session: nox.Session) -> None:
    """Rules, format, types, and the shell scripts."""
    _install(session, "lint")
    session.run("ruff", "check", *(session.posargs or ["."]))
    session.run("ruff", "format", "--check", *(session.posargs or ["."]))
    session.run("mypy")
    _need_tools(session, {"shellcheck": ("shellcheck",)})
    session.run("shellcheck", *map(str, _shell_scripts()), external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that runs without QEMU, on loop devices too: as root. Arguments choose tests, without the checks."""
    if not session.posargs:
        _need_root(session, 'or, for what runs without: nox -s tests -- -m "not loop"')
        _need_tools(session, _packages(HERE / "tests/packages"))
    _install(session, "test")
    session.run("pytest", *PYTEST, "--cov", "--cov-report=term", *session.posargs, env=COMPILED)


@nox.session
def tests_oldest(session: nox.Session) -> None:
    """The unit tests with the oldest libraries that pyproject.toml allows."""
    constraints = Path(session.create_tmp()) / "oldest.txt"
    oldest = [requirement.replace(">=", "==") for requirement in PYPROJECT["project"]["dependencies"]]
    constraints.write_text("\n".join(oldest) + "\n", "utf-8")
    _install(session, "test", "--constraint", str(constraints))
    session.run("pytest", *PYTEST, "-m", "not loop", *session.posargs, env=COMPILED)


@nox.session
def demo(session: nox.Session) -> None:
    """Provision two loop devices, look at them, and run again: as root; installs the system tools that are missing."""
    _need_root(session)
    _provide_tools(session, _packages(HERE / "demo/packages"))
    session.install("-e", ".")
    session.run("python", str(HERE / "demo/run.py"), *session.posargs)


@nox.session
def vm(session: nox.Session) -> None:
    """The matrix of topologies on real kernels under QEMU, power cuts, write logs; installs what it needs, as root."""
    _need_root(session)
    _provide_tools(session, _packages(HERE / "vm-tests/packages"))
    _install(session, "test")
    if not session.posargs and not STATIC_FILE.is_file():  # the scenarios with Alpine boot it
        _build_static_file(session)
    chosen = any(Path(word.partition("::")[0]).exists() for word in session.posargs)
    session.run("pytest", *([] if chosen else ["vm-tests"]), "-n", "2", "--dist", "worksteal", "-v", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """How long a run takes beside a shell script and systemd-repart, on loop devices; `-- --rounds 1 --disks 1`."""
    _need_root(session)
    _provide_tools(session, _packages(HERE / "benchmarks/packages"))
    session.install(".")  # a wheel, compiled, as an operator has it
    program = Path(session.bin) / "zosstorage"
    session.run(
        "python", str(HERE / "benchmarks/run.py"), f"--program={program}", *session.posargs, env=_repart(session)
    )


def _repart(session: nox.Session) -> dict[str, str]:
    """Where systemd-repart is: on this machine, or else unpacked, as its package would replace the machine's init."""
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
    """The static file dist/zosstorage-VERSION-x86_64-linux-musl and its tests; installs what it needs, as root."""
    _bundle(session)


@nox.session
def release(session: nox.Session) -> None:
    """As bundle, but from what packaging/static/pins.toml names only, and from nothing that was built earlier."""
    _bundle(session, "--release")


@nox.session
def pins(session: nox.Session) -> None:
    """Write the source package of CPython that Debian offers now into packaging/static/pins.toml."""
    session.run("python", str(HERE / "packaging/static/build.py"), "--renew-pins")


def _bundle(session: nox.Session, *options: str) -> None:
    _need_root(session)
    _provide_tools(session, _packages(HERE / "tests/packages"))
    _install(session, "test")
    _build_static_file(session, *options)
    # Besides its own tests, those of the program as it is started, once more.
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


# One worker for each core; tests of one xdist_group stay with one worker.
PYTEST = ("-n", "auto", "--dist", "loadgroup")
# Tests start the program thousands of times: each start would compile it again where nothing may be kept.
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}


def _install(session: nox.Session, group: str, *constraints: str) -> None:
    session.install("-e", ".", *nox.project.dependency_groups(PYPROJECT, group), *constraints)


def _packages(path: Path) -> dict[str, tuple[str, ...]]:
    """A list of Debian packages: `package: tool tool`, one a line; `#` begins a comment."""
    lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    pairs = [line.partition(":") for line in lines if line]
    return {package: tuple(tools.split()) for package, _, tools in pairs}


def _missing(packages: dict[str, tuple[str, ...]]) -> list[str]:
    """The packages one of whose tools is not on this machine."""
    return [package for package, tools in packages.items() if not all(map(_is_there, tools))]


def _is_there(tool: str) -> bool:
    """A tool on PATH, or a file that a package without tools brings."""
    return Path(tool).is_file() if tool.startswith("/") else bool(shutil.which(tool, path=SEARCHED))


def _need_tools(session: nox.Session, packages: dict[str, tuple[str, ...]]) -> None:
    if missing := _missing(packages):
        session.error(f"system tools are missing; install them with: {APT} {' '.join(missing)}")


def _provide_tools(session: nox.Session, packages: dict[str, tuple[str, ...]]) -> None:
    """Install what is missing, where this is Debian; else say what is."""
    missing = _missing(packages)
    if missing and shutil.which("apt-get"):
        session.run(*APT.split(), *missing, external=True, env={"DEBIAN_FRONTEND": "noninteractive"})
    _need_tools(session, packages)


def _need_root(session: nox.Session, otherwise: str = "") -> None:
    if os.geteuid() != 0:
        again = f"sudo .venv/bin/nox -s {session.name}"
        session.error(f"this session makes loop devices and mounts them; run it as root: {again} {otherwise}".rstrip())


def _shell_scripts() -> list[Path]:
    """The files of the repository that begin with the line of a shell, or are named as its scripts."""
    folders = [HERE / name for name in (".ci", "demo", "packaging", "vm-tests", "benchmarks")]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in files if path.suffix == ".sh" or _SHELL.match(path.read_bytes()[:40])]


# What begins a script: the line of a shell or of OpenRC, or a word to shellcheck (which an APKBUILD has).
_SHELL = re.compile(rb"#!.*\b((ba)?sh|openrc-run)\b|# shellcheck ")
