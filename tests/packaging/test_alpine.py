"""The Alpine package: its fields, what it installs, and that it agrees with what the preflight asks for."""

import subprocess
from pathlib import Path

import pytest

from zosstorage import __version__, verify
from zosstorage.config.choices import OnFailure
from zosstorage.filesystems import bcachefs, btrfs, vfat
from zosstorage.planning import preflight
from zosstorage.system import executables

TOP = Path(__file__).parents[2]
ALPINE = TOP / "packaging/alpine"
SCRIPTS = ("hook", "rdinit", "zosstorage.initd", "zosstorage.confd", "APKBUILD")
NEEDED_BY_VERIFY = {*verify.TOOLS, *btrfs.TOOLS}
NEEDED = {*preflight.PROBERS, *preflight.ALWAYS_NEEDED, *btrfs.TOOLS, *vfat.TOOLS}


def apkbuild(script: str, *arguments: str | Path) -> str:
    command = ["sh", "-euc", f'srcdir=.; . "$0"; {script}', str(ALPINE / "APKBUILD"), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def feature(kind: str) -> list[str]:
    lines = (ALPINE / f"zosstorage.{kind}").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_one(name: str) -> None:
    subprocess.run(["sh", "-n", ALPINE / name], check=True)


@pytest.mark.parametrize("field", ["pkgname", "pkgrel", "pkgdesc", "url", "arch", "license", "depends", "subpackages"])
def test_fields(field: str) -> None:
    assert apkbuild(f'echo "${field}"')


def test_the_version_is_that_of_the_program() -> None:
    assert apkbuild('echo "$pkgver"') == __version__


def test_what_the_preflight_names_is_depended_on() -> None:
    depends = apkbuild('echo "$depends"').split()
    assert {executables._PACKAGES[name][0] for name in NEEDED | NEEDED_BY_VERIFY} | {"kmod"} == {*depends}


def test_every_source_is_there_or_built() -> None:
    built = {f"zosstorage-{__version__}-x86_64-linux-musl", "LICENSE"}
    here = {path.name for path in ALPINE.iterdir()} - {"APKBUILD"}
    assert {*apkbuild('echo "$source"').split()} == here | built


def test_what_is_installed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for file in (*ALPINE.iterdir(), TOP / "LICENSE"):
        (source / file.name).write_bytes(file.read_bytes())
    (source / f"zosstorage-{__version__}-x86_64-linux-musl").write_text("the program")
    apkbuild("srcdir=$1 builddir=$1 pkgdir=$2; package", source, target)
    assert (target / "usr/sbin/zosstorage").read_text() == "the program"
    programs = ("usr/sbin/zosstorage", "usr/libexec/zosstorage/hook", "usr/libexec/zosstorage/rdinit")
    for name in (*programs, "etc/init.d/zosstorage"):
        assert (target / name).stat().st_mode & 0o777 == 0o755, name
    for name in ("system", "etc", "modules", "vm-meta"):
        assert (target / "var/cache" / name).is_dir()
    assert (target / "etc/mkinitfs/features.d/zosstorage.files").exists()
    for path in feature("files")[:3]:  # ours; the tools are other packages'
        assert (target / path.lstrip("/")).exists(), path


def test_the_initramfs_gets_every_tool() -> None:
    names = {Path(path).name for path in feature("files")}
    assert NEEDED | {*bcachefs.TOOLS} <= names


def test_the_configuration_tells_the_policies() -> None:
    told = (ALPINE / "zosstorage.confd").read_text()
    assert all(policy in told for policy in OnFailure)
    hook = (ALPINE / "hook").read_text()
    assert all(f"{policy})" in hook or f"{policy} |" in hook for policy in OnFailure)
