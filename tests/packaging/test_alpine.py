"""The Alpine package: its fields, the files that it installs, and that it has the tools that the preflight needs."""

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
def test_every_script_has_valid_syntax(name: str) -> None:
    subprocess.run(["sh", "-n", ALPINE / name], check=True)


@pytest.mark.parametrize("field", ["pkgname", "pkgrel", "pkgdesc", "url", "arch", "license", "depends", "subpackages"])
def test_the_apkbuild_sets_every_field(field: str) -> None:
    assert apkbuild(f'echo "${field}"')


def test_the_package_has_the_version_of_the_program() -> None:
    assert apkbuild('echo "$pkgver"') == __version__


def test_the_package_depends_on_the_packages_of_all_tools() -> None:
    depends = apkbuild('echo "$depends"').split()
    assert {executables._PACKAGES[name][0] for name in NEEDED | NEEDED_BY_VERIFY} | {"kmod"} == {*depends}


def test_every_source_exists_or_is_built() -> None:
    built = {f"zosstorage-{__version__}-x86_64-linux-musl", "LICENSE"}
    here = {path.name for path in ALPINE.iterdir()} - {"APKBUILD"}
    assert {*apkbuild('echo "$source"').split()} == here | built


def test_the_package_installs_files_with_their_modes(tmp_path: Path) -> None:
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
    for path in feature("files")[:3]:  # the files of this package; the tools are in other packages
        assert (target / path.lstrip("/")).exists(), path


def test_the_mkinitfs_feature_has_every_tool() -> None:
    names = {Path(path).name for path in feature("files")}
    assert NEEDED | {*bcachefs.TOOLS} <= names


def test_configuration_and_hook_have_every_policy() -> None:
    confd = (ALPINE / "zosstorage.confd").read_text()
    assert all(policy in confd for policy in OnFailure)
    hook = (ALPINE / "hook").read_text()
    assert all(f"{policy})" in hook or f"{policy} |" in hook for policy in OnFailure)
