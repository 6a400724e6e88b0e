"""What the static file is built from: pinned, verified wherever it comes from, and renewed when Debian replaces it."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # the folder is no package

import build  # noqa: E402 - found by the line above
import fetch  # noqa: E402
import kept  # noqa: E402
import pins  # noqa: E402

PINNED = pins.load(build.PINS)
PYTHON = PINNED["python"]
PROGRAM = Path(os.environ["ZOSSTORAGE_PROGRAM"])
# These build with the interpreter in .cache/static: one at a time.
builds = pytest.mark.xdist_group("builds")


def change(path):
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# The source package of CPython.


@pytest.fixture
def sources(tmp_path):
    """A folder with what .cache/static/sources holds."""
    return Path(shutil.copytree(build.CACHE / "sources", tmp_path / "sources"))


@pytest.fixture
def current(sources):
    """Pins of what the suite offers now, which are the tree's unless these are outdated; `sources` has the files."""
    pinned = {**PYTHON, "files": {"python_0.dsc": ""}}
    return {**PYTHON, "files": fetch.source(pinned, sources, release=False)}


def older(files):
    """The files of a revision that no suite has any more."""
    return {re.sub(r"-[^-]+(?=\.d)", "-0~gone", name): digest for name, digest in files.items()}


@pytest.fixture
def offline(monkeypatch):
    """Whoever asks the suite fails."""

    def refuse(*_):
        raise ConnectionError

    monkeypatch.setattr(fetch, "Suite", refuse)


def test_what_is_kept_and_right_is_not_fetched(sources, offline):
    files = {path.name: kept.sha256(path) for path in sources.iterdir() if path.suffix != ".asc"}
    assert fetch.source({**PYTHON, "files": files}, sources, release=True) == files
    change(next(sources.glob("*.debian.tar.xz")))
    with pytest.raises(ConnectionError):
        fetch.source({**PYTHON, "files": files}, sources, release=True)


def test_a_kept_archive_that_was_changed_is_fetched_again(current, sources):
    (patches,) = sources.glob(f"*{fetch.revision(current['files'])}.debian.tar.xz")
    change(patches)
    assert fetch.source(current, sources, release=True) == current["files"]
    assert kept.sha256(patches) == current["files"][patches.name]


def test_a_fetched_archive_with_another_digest_is_refused(current, sources):
    (name,) = [name for name in current["files"] if ".debian." in name]
    with pytest.raises(SystemExit, match=f"{re.escape(name)} has the SHA-256 digest {current['files'][name]}, not 000"):
        fetch.source({**current, "files": {**current["files"], name: "0" * 64}}, sources, release=False)


def test_what_apt_delivers_is_held_against_the_offer(current, sources, monkeypatch):
    """The suite has another revision, and its archive arrives changed."""
    (patches,) = sources.glob(f"*{fetch.revision(current['files'])}.debian.tar.xz")
    wrong = patches.read_bytes()[:-1]
    patches.unlink()
    monkeypatch.setattr(fetch.Suite, "download", lambda _, folder: (folder / patches.name).write_bytes(wrong))
    with pytest.raises(SystemExit, match="SHA-256"):
        fetch.source({**current, "files": older(current["files"])}, sources, release=False)


def test_a_suite_that_is_not_signed_by_the_archive_is_refused(tmp_path, monkeypatch):
    """Apt is given another key, as if the suite were signed by one that the system does not know."""
    write = Path.write_text
    stanza = "Signed-By: /usr/share/keyrings/debian-archive-removed-keys.gpg\n"

    def with_another_key(path, text, *rest):
        return write(path, re.sub(r"Signed-By: .*\n", stanza, text), *rest)

    monkeypatch.setattr(Path, "write_text", with_another_key)
    with pytest.raises(SystemExit, match=r"NO_PUBKEY"):
        fetch.Suite(PYTHON, tmp_path)


def test_removed_keys_of_the_archive_are_not_trusted(tmp_path):
    removed = Path("/usr/share/keyrings/debian-archive-removed-keys.gpg").read_bytes()
    fetch.Apt(tmp_path, ("trixie",), kind="deb-src")
    trusted = (tmp_path / "debian.gpg").read_bytes()
    assert trusted
    assert removed not in trusted


@pytest.fixture
def outdated(current, tmp_path, monkeypatch):
    """Pins of a revision that the suite has no more, and a folder of its own for what is built: the program's path."""
    text = build.PINS.read_text()
    for name, other in zip(PYTHON["files"], older(PYTHON["files"]), strict=True):
        text = text.replace(f'"{name}" = "{PYTHON["files"][name]}"', f'"{other}" = "{"0" * 64}"')
    (tmp_path / "pins.toml").write_text(text)
    for name, path in (("PINS", "pins.toml"), ("WORK", "work"), ("DIST", "dist")):
        monkeypatch.setattr(build, name, tmp_path / path)
    assert fetch.revision(pins.load(build.PINS)["python"]["files"]).endswith("-0~gone")
    return build.DIST / PROGRAM.name


@builds
def test_a_release_is_refused_when_the_pinned_revision_is_replaced(current, outdated):
    new = re.escape(fetch.revision(current["files"]))
    with pytest.raises(
        SystemExit, match=rf"-0~gone, which is pinned, by {new}, and .*: renew the pins by {fetch.RENEW}$"
    ):
        build.main(["--release"])
    assert not outdated.parent.exists()


@builds
def test_the_file_is_marked_until_the_pins_are_renewed(current, outdated, capsys):
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


def test_renewed_pins_are_those_of_the_suite_and_the_rest_stays(current, outdated, capsys):
    def rest():
        return [line for line in build.PINS.read_text().splitlines() if not line.startswith('"')]

    before = rest()
    build.main(["--renew-pins"])
    new = fetch.revision(current["files"])
    assert re.search(rf" pins python3.13 {re.escape(new)} instead of \S+-0~gone\n$", capsys.readouterr().out)
    assert pins.load(build.PINS) == {**PINNED, "python": current}
    assert rest() == before
    if current["files"] == PYTHON["files"]:
        assert build.PINS.read_text() == (HERE / "pins.toml").read_text()


def test_the_command_that_the_refusal_names_is_there():
    program, *words = fetch.RENEW.split()
    assert (program, words[0]) == (".venv/bin/nox", "-s")
    assert f"\ndef {words[1]}(session" in (build.TOP / "noxfile.py").read_text()
    assert f"`{fetch.RENEW}`" in (build.TOP / "README.md").read_text()


@pytest.fixture
def package(tmp_path):
    """A small source package: function(series, patches) → the arguments of unpacked()."""

    def make(series, **patches):
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


def test_the_series_is_applied_in_its_order(package):
    series = "# z\n\nb\na -p0 # why\n#c\n"
    tree = fetch.unpacked(*package(series, a=(0, "two", "three"), b=(1, "one", "two"), c=(1, "three", "four")))
    assert (tree / "file").read_text() == "three\n"
    assert {path.name for path in tree.iterdir()} == {"debian", "file"}


def test_a_patch_that_does_not_apply_ends_the_build(package):
    with pytest.raises(subprocess.CalledProcessError):
        fetch.unpacked(*package("a\n", a=(1, "two", "three")))


def test_nothing_of_others_is_in_the_tree():
    names = {path.name for path in HERE.rglob("*")}
    assert [name for name in names if name.endswith((".patch", ".diff")) or name == "patches"] == []


# Wheels, and what an earlier build left.


def test_a_kept_wheel_that_was_changed_is_fetched_again(tmp_path):
    downloads = tmp_path / "wheels"
    downloads.mkdir()
    wheel = Path(shutil.copy(next((build.CACHE / "wheels").glob("six-*.whl")), downloads))
    change(wheel)
    six = PINNED["libraries"]["six"]
    folder = fetch.wheels({"six": six}, "3.13", downloads, tmp_path / "site")
    assert kept.sha256(wheel) == six["sha256"]
    assert (folder / "six.py").is_file()


def test_a_wheel_with_another_digest_is_refused(tmp_path):
    downloads = tmp_path / "wheels"
    downloads.mkdir()
    shutil.copy(next((build.CACHE / "wheels").glob("six-*.whl")), downloads)
    with pytest.raises(subprocess.CalledProcessError):
        fetch.wheels({"six": {**PINNED["libraries"]["six"], "sha256": "0" * 64}}, "3.13", downloads, tmp_path / "site")
    assert not (tmp_path / "site/six.py").exists()


@pytest.fixture
def made(tmp_path):
    """Function(**options) → whether the folder was filled; a later one that finds it intact does not fill it."""

    def make(**options):
        calls = []

        def fill(folder):
            calls.append(folder)
            (folder / "below").mkdir()
            (folder / "below/a file").write_text("content")

        kept.folder(make.path, fill, **options)
        assert (make.path / "below/a file").read_text() == "content"
        return bool(calls)

    make.path = tmp_path / "made"
    return make


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: change(path / "below/a file"),
        lambda path: (path / "below/a file").unlink(),
        lambda path: (path / kept.MANIFEST).unlink(),
    ],
)
def test_a_folder_that_is_not_as_its_build_left_it_is_made_again(made, harm, capsys):
    assert made()
    assert not made()
    assert capsys.readouterr().out == ""
    harm(made.path)
    assert made()
    assert capsys.readouterr().out == f"{made.path} is incomplete or not as its build left it: it is built again\n"
    assert not made()


def test_files_that_its_build_did_not_leave_are_removed(made):
    made()
    (made.path / "below/new.py").touch()
    (made.path / "nowhere").symlink_to("nowhere")
    assert not made()
    assert {path.name for path in made.path.rglob("*")} == {kept.MANIFEST, "below", "a file"}


def test_a_release_uses_nothing_that_was_built_earlier(made):
    made()
    assert made(anew=True)


def test_the_manifest_is_one_that_sha256sum_reads(made):
    made()
    subprocess.run(["sha256sum", "--check", "--strict", kept.MANIFEST], cwd=made.path, check=True)


def test_the_interpreter_is_built_again_if_it_is_not_the_same_any_more(tmp_path, monkeypatch):
    """With stand-ins for what takes long."""
    monkeypatch.setattr(build, "CACHE", tmp_path)
    monkeypatch.setattr(fetch, "wheels", lambda *_: None)
    monkeypatch.setattr(fetch, "unpacked", lambda *words: words[-1].mkdir() or words[-1])
    monkeypatch.setattr(build.interpreter, "build", lambda folder, _: (folder / "library").write_text("library"))
    home, env = build.python(PINNED, PYTHON["files"], anew=False)
    assert env["CC"].startswith(f"{home.parent}/compiler/")
    change(home / "library")
    assert build.python(PINNED, PYTHON["files"], anew=False)[0] == home
    assert (home / "library").read_text() == "library"
    other = dict.fromkeys(PYTHON["files"], "0" * 64)
    assert build.python(PINNED, other, anew=False)[0] != home


# What the program imports works in this interpreter.


@builds
def test_the_library_works_frozen_as_it_does_in_any_python(tmp_path, monkeypatch):
    package = tmp_path / "tree/zosstorage"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(HERE / "probe.py", package / "__main__.py")
    monkeypatch.setattr(build, "TOP", tmp_path / "tree")
    monkeypatch.setattr(build, "WORK", tmp_path / "work")
    files = fetch.source(PYTHON, build.CACHE / "sources", release=False)
    home, env = build.python(PINNED, files, anew=False)
    frozen = [build.link(home, PINNED, env, "a probe")]
    plain = [sys.executable, "-c", "from zosstorage.__main__ import script; script()"]
    one, other = (
        subprocess.run(argv, capture_output=True, text=True, check=False, cwd=package.parent, timeout=60)
        for argv in (frozen, plain)
    )
    assert (one.stderr, other.stderr) == ("", "")
    assert json.loads(one.stdout) == json.loads(other.stdout)
    told = json.loads(one.stdout)
    assert told["file"] == told["sha256"] == hashlib.sha256(b"data").hexdigest()
    assert all(told["rest"])
