"""The sources of the static file: they are pinned, verified, and renewed when Debian replaces them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "vm-tests")]  # the folders are not packages

import aptget  # noqa: E402 - found by the line above

import build  # noqa: E402
import buildcache  # noqa: E402
import fetch  # noqa: E402
import interpreter  # noqa: E402
import pins  # noqa: E402

PINNED = pins.load(build.PINS)
PYTHON = PINNED["python"]
PROGRAM = Path(os.environ["ZOSSTORAGE_PROGRAM"])
# Tests that build with the interpreter in .cache/static run one after another.
builds = pytest.mark.xdist_group("builds")
Pins = dict[str, Any]  # of a source package


def change(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# The source package of CPython.


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of .cache/static/sources."""
    return Path(shutil.copytree(build.CACHE / "sources", tmp_path / "sources"))


@pytest.fixture
def current(sources: Path) -> Pins:
    """Pins of the current revision of the suite, whose files are in `sources`; pins.toml has the same if up to date."""
    pinned = {**PYTHON, "files": {"python_0.dsc": ""}}
    return {**PYTHON, "files": fetch.source(pinned, sources, release=False)}


def older(files: dict[str, str]) -> dict[str, str]:
    """The same files with the names of a revision that no suite has."""
    return {re.sub(r"-[^-]+(?=\.d)", "-0~gone", name): digest for name, digest in files.items()}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every access to the suite fails."""

    def refuse(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(fetch, "Suite", refuse)


def test_a_cached_file_with_the_right_digest_is_not_fetched(sources: Path, offline: None) -> None:
    files = {path.name: buildcache.sha256(path) for path in sources.iterdir() if path.suffix != ".asc"}
    assert fetch.source({**PYTHON, "files": files}, sources, release=True) == files
    change(next(sources.glob("*.debian.tar.xz")))
    with pytest.raises(ConnectionError):
        fetch.source({**PYTHON, "files": files}, sources, release=True)


def test_a_cached_archive_that_was_changed_is_fetched_again(current: Pins, sources: Path) -> None:
    (patches,) = sources.glob(f"*{fetch.revision(current['files'])}.debian.tar.xz")
    change(patches)
    assert fetch.source(current, sources, release=True) == current["files"]
    assert buildcache.sha256(patches) == current["files"][patches.name]


def test_a_fetched_archive_with_another_digest_is_refused(current: Pins, sources: Path) -> None:
    (name,) = [name for name in current["files"] if ".debian." in name]
    with pytest.raises(SystemExit, match=f"{re.escape(name)} has the SHA-256 digest {current['files'][name]}, not 000"):
        fetch.source({**current, "files": {**current["files"], name: "0" * 64}}, sources, release=False)


def test_a_replacement_with_another_digest_is_refused(
    current: Pins, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite has another revision than the pinned one, and the downloaded archive differs from its package list."""
    (patches,) = sources.glob(f"*{fetch.revision(current['files'])}.debian.tar.xz")
    wrong = patches.read_bytes()[:-1]
    patches.unlink()
    monkeypatch.setattr(fetch.Suite, "download", lambda _, folder: (folder / patches.name).write_bytes(wrong))
    with pytest.raises(SystemExit, match="SHA-256"):
        fetch.source({**current, "files": older(current["files"])}, sources, release=False)


def test_a_suite_with_a_signature_by_another_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apt gets a keyring without the key that signed the suite."""
    write = Path.write_text
    stanza = "Signed-By: /usr/share/keyrings/debian-archive-removed-keys.gpg\n"

    def with_another_key(path: Path, text: str, *rest: Any) -> int:
        return write(path, re.sub(r"Signed-By: .*\n", stanza, text), *rest)

    monkeypatch.setattr(Path, "write_text", with_another_key)
    with pytest.raises(SystemExit, match=r"NO_PUBKEY"):
        fetch.Suite(PYTHON, tmp_path)


def test_removed_keys_of_the_archive_are_not_trusted(tmp_path: Path) -> None:
    removed = Path("/usr/share/keyrings/debian-archive-removed-keys.gpg").read_bytes()
    aptget.Apt(tmp_path, ("trixie",), kind="deb-src")
    trusted = (tmp_path / "debian.gpg").read_bytes()
    assert trusted
    assert removed not in trusted


@pytest.fixture
def outdated(current: Pins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pin a revision that the suite does not have, and build in a temporary folder; return the path of the program."""
    text = build.PINS.read_text()
    for name, other in zip(PYTHON["files"], older(PYTHON["files"]), strict=True):
        text = text.replace(f'"{name}" = "{PYTHON["files"][name]}"', f'"{other}" = "{"0" * 64}"')
    (tmp_path / "pins.toml").write_text(text)
    for name, path in (("PINS", "pins.toml"), ("WORK", "work"), ("DIST", "dist")):
        monkeypatch.setattr(build, name, tmp_path / path)
    assert fetch.revision(pins.load(build.PINS)["python"]["files"]).endswith("-0~gone")
    return build.DIST / PROGRAM.name


@builds
def test_a_release_is_refused_when_the_pinned_revision_is_replaced(current: Pins, outdated: Path) -> None:
    new = re.escape(fetch.revision(current["files"]))
    with pytest.raises(
        SystemExit, match=rf"-0~gone, the pinned revision, by {new}, and .*: renew the pins with {fetch.RENEW}$"
    ):
        build.main(["--release"])
    assert not outdated.parent.exists()


@builds
def test_the_file_is_marked_until_the_pins_are_renewed(
    current: Pins, outdated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, marker = fetch.revision(current["files"]), Path(f"{outdated}.unpinned")
    capsys.readouterr()
    build.main([])
    assert re.search(rf"-0~gone, .* by {re.escape(new)}: .* marks the file as unpinned\n", capsys.readouterr().out)
    assert f"python3.13 {new} UNPINNED" in marker.read_text()
    assert f"python3.13 {new} UNPINNED\0".encode() in outdated.read_bytes()
    assert subprocess.run([outdated, "--version"], check=False).returncode == 0

    build.main(["--renew-pins"])
    build.main([])
    assert not marker.exists()
    assert f"python3.13 {new}\0".encode() in outdated.read_bytes()
    if current["files"] == PYTHON["files"]:
        assert outdated.read_bytes() == PROGRAM.read_bytes()


def test_renewing_changes_only_the_files_of_the_source_package(
    current: Pins, outdated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rest() -> list[str]:
        return [line for line in build.PINS.read_text().splitlines() if not line.startswith('"')]

    before = rest()
    build.main(["--renew-pins"])
    new = fetch.revision(current["files"])
    assert re.search(rf" pins python3.13 {re.escape(new)} instead of \S+-0~gone\n$", capsys.readouterr().out)
    assert pins.load(build.PINS) == {**PINNED, "python": current}
    assert rest() == before
    if current["files"] == PYTHON["files"]:
        assert build.PINS.read_text() == (HERE / "pins.toml").read_text()


def test_the_command_in_the_refusal_exists() -> None:
    program, *words = fetch.RENEW.split()
    assert (program, words[0]) == (".venv/bin/nox", "-s")
    assert f"\ndef {words[1]}(session" in (build.TOP / "noxfile.py").read_text()
    assert f"`{fetch.RENEW}`" in (build.TOP / "README.md").read_text()


Package = Callable[..., tuple[dict[str, str], Path, Path]]


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """Function(series, NAME=(strip, old line, new line)…) that makes a small source package for `unpack`.

    It returns the arguments of `unpack`.
    """

    def make(series: str, **patches: tuple[int, str, str]) -> tuple[dict[str, str], Path, Path]:
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree/file").write_text("one\n")
        folder = tmp_path / "debian/patches"
        folder.mkdir(parents=True)
        (folder / "series").write_text(series)
        for name, (strip, old, new) in patches.items():
            where = ("a/file", "b/file") if strip else ("file", "file")
            (folder / name).write_text("--- {}\n+++ {}\n@@ -1 +1 @@\n-{}\n+{}\n".format(*where, old, new))
        for archive, top in (("x_1.orig.tar.xz", "tree"), ("x_1-1.debian.tar.xz", "debian")):
            with tarfile.open(tmp_path / archive, "w:xz") as file:
                file.add(tmp_path / top, top)
        return dict.fromkeys(("x_1-1.dsc", "x_1-1.debian.tar.xz", "x_1.orig.tar.xz"), ""), tmp_path, tmp_path / "out"

    return make


def test_patches_are_applied_in_the_order_of_the_series(package: Package) -> None:
    series = "# z\n\nb\na -p0 # why\n#c\n"
    tree = fetch.unpack(*package(series, a=(0, "two", "three"), b=(1, "one", "two"), c=(1, "three", "four")))
    assert (tree / "file").read_text() == "three\n"
    assert {path.name for path in tree.iterdir()} == {"debian", "file"}


def test_a_patch_that_does_not_apply_ends_the_build(package: Package) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        fetch.unpack(*package("a\n", a=(1, "two", "three")))


def test_the_repository_contains_no_patches() -> None:
    names = {path.name for path in HERE.rglob("*")}
    assert [name for name in names if name.endswith((".patch", ".diff")) or name == "patches"] == []


# Wheels and the cache of builds.


def test_a_cached_wheel_that_was_changed_is_fetched_again(tmp_path: Path) -> None:
    downloads = tmp_path / "wheels"
    downloads.mkdir()
    wheel = Path(shutil.copy(next((build.CACHE / "wheels").glob("six-*.whl")), downloads))
    change(wheel)
    six = PINNED["libraries"]["six"]
    folder = fetch.wheels({"six": six}, "3.13", downloads, tmp_path / "site")
    assert buildcache.sha256(wheel) == six["sha256"]
    assert (folder / "six.py").is_file()


def test_a_wheel_with_another_digest_is_refused(tmp_path: Path) -> None:
    downloads = tmp_path / "wheels"
    downloads.mkdir()
    shutil.copy(next((build.CACHE / "wheels").glob("six-*.whl")), downloads)
    with pytest.raises(subprocess.CalledProcessError):
        fetch.wheels({"six": {**PINNED["libraries"]["six"], "sha256": "0" * 64}}, "3.13", downloads, tmp_path / "site")
    assert not (tmp_path / "site/six.py").exists()


class Build:
    """A build that makes one file in a cached folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *, rebuild: bool = False) -> bool:
        """Provide the folder, and return whether it was filled."""
        calls = []

        def fill(folder: Path) -> None:
            calls.append(folder)
            (folder / "below").mkdir()
            (folder / "below/a file").write_text("content")

        buildcache.cached_folder(self.path, fill, rebuild=rebuild)
        assert (self.path / "below/a file").read_text() == "content"
        return bool(calls)


@pytest.fixture
def cached(tmp_path: Path) -> Build:
    return Build(tmp_path / "cached")


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: change(path / "below/a file"),
        lambda path: (path / "below/a file").unlink(),
        lambda path: (path / buildcache.MANIFEST).unlink(),
    ],
)
def test_an_incomplete_or_changed_folder_is_built_again(
    cached: Build, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cached()
    assert not cached()
    assert capsys.readouterr().out == ""
    harm(cached.path)
    assert cached()
    assert (
        capsys.readouterr().out == f"{cached.path} is incomplete or was changed since it was built: it is built again\n"
    )
    assert not cached()


def test_files_that_are_not_in_the_manifest_are_removed(cached: Build) -> None:
    cached()
    (cached.path / "below/new.py").touch()
    (cached.path / "nowhere").symlink_to("nowhere")
    assert not cached()
    assert {path.name for path in cached.path.rglob("*")} == {buildcache.MANIFEST, "below", "a file"}


def test_a_release_uses_no_earlier_build(cached: Build) -> None:
    cached()
    assert cached(rebuild=True)


def test_sha256sum_reads_the_manifest(cached: Build) -> None:
    cached()
    subprocess.run(["sha256sum", "--check", "--strict", buildcache.MANIFEST], cwd=cached.path, check=True)


def test_a_changed_interpreter_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fakes replace the downloads and the compiler."""
    monkeypatch.setattr(build, "CACHE", tmp_path)
    monkeypatch.setattr(fetch, "wheels", lambda *_: None)
    monkeypatch.setattr(fetch, "unpack", lambda *words: words[-1].mkdir() or words[-1])
    monkeypatch.setattr(interpreter, "build", lambda folder, _: (folder / "library").write_text("library"))
    home, env = build.build_interpreter(PINNED, PYTHON["files"], rebuild=False)
    assert env["CC"].startswith(f"{home.parent}/compiler/")
    change(home / "library")
    assert build.build_interpreter(PINNED, PYTHON["files"], rebuild=False)[0] == home
    assert (home / "library").read_text() == "library"
    other = dict.fromkeys(PYTHON["files"], "0" * 64)
    assert build.build_interpreter(PINNED, other, rebuild=False)[0] != home


# The standard library in the static file.


@builds
def test_the_frozen_library_works_as_in_any_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tree/zosstorage"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(HERE / "probe.py", package / "__main__.py")
    monkeypatch.setattr(build, "TOP", tmp_path / "tree")
    monkeypatch.setattr(build, "WORK", tmp_path / "work")
    files = fetch.source(PYTHON, build.CACHE / "sources", release=False)
    home, env = build.build_interpreter(PINNED, files, rebuild=False)
    frozen = [build.link(home, PINNED, env, "a probe")]
    plain = [sys.executable, "-c", "from zosstorage.__main__ import script; script()"]
    one, other = (
        subprocess.run(argv, capture_output=True, text=True, check=False, cwd=package.parent, timeout=60)
        for argv in (frozen, plain)
    )
    assert (one.stderr, other.stderr) == ("", "")
    assert json.loads(one.stdout) == json.loads(other.stdout)
    results = json.loads(one.stdout)
    assert results["file"] == results["sha256"] == hashlib.sha256(b"data").hexdigest()
    assert all(results["rest"])
