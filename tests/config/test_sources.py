"""The four sources of the configuration: precedence, merging and origins."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zosstorage import cli
from zosstorage.config import load as loading
from zosstorage.config import sources
from zosstorage.config.load import Loaded
from zosstorage.config.show import origins
from zosstorage.errors import ConfigError, ExitCode, UnimplementedError

# From the lowest source to the highest; each sets its own value of one key.
RANKS = ["default file", "--config", "flag", "zosstorage.config", "word"]
MODES = dict(
    zip(RANKS, ["single", "dual_independent", "btrfs_raid1", "bcachefs_single", "bcachefs_2copy"], strict=True)
)


@pytest.mark.parametrize(
    "given", [given for count in range(6) for given in itertools.combinations(RANKS, count)], ids="+".join
)
def test_the_highest_source_wins(
    load: Callable[..., Loaded], default_file: Path, tmp_path: Path, given: tuple[str, ...]
) -> None:
    arguments, kernel = [], ""
    for source in given:
        text = f"topology: {{mode: {MODES[source]}}}\n"
        named = tmp_path / f"{source}.yaml"
        if source == "default file":
            default_file.write_text(text)
        elif source == "flag":
            arguments += ["--topology", MODES[source]]
        elif source == "word":
            kernel += f" zosstorage.topology={MODES[source]}"
        else:
            named.write_text(text)
            arguments += ["--config", str(named)] if source == "--config" else []
            kernel += f' zosstorage.config="{named}"' if source == "zosstorage.config" else ""
    loaded = load(arguments, kernel)
    expected = {
        "default file": f"{default_file}:1",
        "--config": f"{tmp_path}/--config.yaml:1",
        "flag": "command line --topology",
        "zosstorage.config": f"{tmp_path}/zosstorage.config.yaml:1",
        "word": "kernel command line zosstorage.topology",
    }
    assert loaded.config.topology.mode == (MODES[given[-1]] if given else "auto")
    assert origins(loaded)["topology.mode"] == (expected[given[-1]] if given else "default")


def test_maps_merge_and_lists_replace(load: Callable[..., Loaded], default_file: Path, tmp_path: Path) -> None:
    default_file.write_text("devices: {min_size: 1GiB, include: [/dev/sda, /dev/sdb], expect: {ssd: 1}}\n")
    named = tmp_path / "named.yaml"
    named.write_text("devices:\n  include: [/dev/sdc]\n  expect:\n    hdd: 2\n")
    loaded = load(["--config", str(named)])
    devices = loaded.config.devices
    assert (devices.min_size, devices.include) == (1 << 30, ("/dev/sdc",))
    assert (devices.expect.count, devices.expect.ssd, devices.expect.hdd) == (None, 1, 2)
    assert origins(loaded)["devices.include"] == f"{named}:2"
    assert origins(loaded)["devices.expect.hdd"] == f"{named}:4"
    assert origins(loaded)["devices.expect.ssd"] == f"{default_file}:1"
    assert origins(loaded)["devices.expect.count"] == "default"


@pytest.mark.parametrize(
    ("arguments", "kernel", "key", "value"),
    [
        ("--log-level debug", "zosstorage.log_level=debug", "logging.level", "debug"),
        ("--log-format text", "zosstorage.log_format=text", "logging.format", "text"),
        ("--log-file /l", "zosstorage.log_file=/l", "logging.file", "/l"),
        ("--fstab", "zosstorage.fstab", "fstab.enabled", True),
        ("--no-fstab", "zosstorage.no_fstab", "fstab.enabled", False),
        ("--report /r", "zosstorage.report=/r", "report.path", "/r"),
        ("--run-dir /d", "zosstorage.run_dir=/d", "run_dir", "/d"),
        ("--root /m", "zosstorage.root=/m", "root", "/m"),
        ("--topology single", "zosstorage.topology=single", "topology.mode", "single"),
        (
            "--include /dev/a --include /dev/b",
            "zosstorage.include=/dev/a,/dev/b",
            "devices.include",
            ("/dev/a", "/dev/b"),
        ),
        ("--exclude /dev/a", "zosstorage.exclude=/dev/a", "devices.exclude", ("/dev/a",)),
        ("--set tools.timeout=5s", "zosstorage.set=tools.timeout=5s", "tools.timeout", 5.0),
    ],
)
def test_every_flag_is_also_a_kernel_parameter(
    load: Callable[..., Loaded], arguments: str, kernel: str, key: str, value: Any
) -> None:
    for loaded, source in (
        (load(arguments), "command line --"),
        (load(kernel=kernel), "kernel command line zosstorage."),
    ):
        found = loaded.config
        for part in key.split("."):
            found = getattr(found, part)
        assert found == value
        assert origins(loaded)[key].startswith(source)


def test_the_last_setting_of_a_source_wins_in_any_form(load: Callable[..., Loaded]) -> None:
    assert load("--set topology.mode=single --topology auto").config.topology.mode == "auto"
    assert load("--topology auto --set topology.mode=single").config.topology.mode == "single"
    kernel = "zosstorage.topology=single zosstorage.set=topology.mode=auto zosstorage.topology=btrfs_raid1"
    assert load(kernel=kernel).config.topology.mode == "btrfs_raid1"


def test_set_merges_maps(load: Callable[..., Loaded]) -> None:
    loaded = load(["--topology", "single", "--set", "devices={expect: {count: 1}}", "--set", "devices.expect.ssd=1"])
    assert (loaded.config.devices.expect.count, loaded.config.devices.expect.ssd) == (1, 1)
    assert loaded.config.devices.min_size == 4 << 30


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("logging.file=", ("logging", "file"), None),
        ("logging.file=null", ("logging", "file"), None),
        ("logging.file=/a b", ("logging", "file"), "/a b"),
        ("logging.file='/a'", ("logging", "file"), "/a"),
        ("partitions.esp_size=34603008", ("partitions", "esp_size"), 33 << 20),
        ("devices.exclude=[]", ("devices", "exclude"), ()),
        ("devices.include=[/dev/sda, '/dev/s d']", ("devices", "include"), ("/dev/sda", "/dev/s d")),
        ("mounts.targets.vm-meta=/v", ("mounts", "targets", "vm_meta"), "/v"),
        ("tools.timeout=1.5", ("tools", "timeout"), 1.5),
    ],
)
def test_set_reads_yaml(load: Callable[..., Loaded], assignment: str, key: tuple[str, ...], value: Any) -> None:
    found = load(["--set", assignment]).config
    for part in key:
        found = getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("topology.mod=single", "command line --set: topology.mod: unknown key (did you mean mode?)"),
        ("topology=single", "command line --set: topology: found the text 'single'; allowed: a mapping of keys"),
        ("topology.mode.x=1", "command line --set: topology.mode: found a mapping; allowed: auto"),
        ("root=/mnt", "command line --set: root: unknown key"),
        ("devices.include=[/dev/a", "command line --set: devices.include: invalid YAML"),
        ("devices.include=[/dev/a, 5]", "command line --set: devices.include[1]: found the number 5"),
        ("devices={min_size: 1GiB, min_size: 2GiB}", "command line --set: devices.min_size: duplicate key"),
        ("logging.file=*x", "command line --set: logging.file: invalid YAML"),
        (".".join("a" * 5000) + "=1", "command line --set: a.a.a"),
        ("fstab.enabled=yes", "command line --set: fstab.enabled: found the text 'yes'; allowed: true or false"),
    ],
)
def test_reports_a_wrong_set(load: Callable[..., Loaded], assignment: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(["--set", assignment])
    assert caught.value.message.startswith(expected)


def test_reports_a_mistake_that_a_higher_source_overrides(load: Callable[..., Loaded], default_file: Path) -> None:
    default_file.write_text("topology: 5\n")
    with pytest.raises(ConfigError, match="topology: found the number 5"):
        load("--topology single")


def test_accepts_a_contradiction_that_a_higher_source_resolves(load: Callable[..., Loaded], default_file: Path) -> None:
    default_file.write_text("topology: {mode: single, cache: [/dev/sda]}\n")
    with pytest.raises(ConfigError, match="has no cache disks"):
        load()
    assert load("--topology ssd_hdd_bcachefs").config.topology.cache == ("/dev/sda",)


def test_a_contradiction_between_sources_names_both(load: Callable[..., Loaded], default_file: Path) -> None:
    default_file.write_text("topology: {cache: [/dev/sda]}\n")
    with pytest.raises(ConfigError) as caught:
        load("--topology single")
    assert caught.value.message.startswith(
        f"command line --topology, {default_file}:1: topology.mode, topology.cache: "
    )


def test_reports_the_mistakes_of_all_sources_at_once(
    load: Callable[..., Loaded], default_file: Path, tmp_path: Path
) -> None:
    default_file.write_text("a: 1\nversion: 1\nversion: 1\n")
    named = tmp_path / "named.yaml"
    named.write_text("b: 1\n")
    with pytest.raises(ConfigError) as caught:
        load(["--config", str(named), "--set", "c=1"], "zosstorage.d=1 zosstorage.set=e=1 zosstorage.root=x")
    starts = [
        f"{default_file}:3: version: duplicate key",
        f"{default_file}:1: a: unknown key",
        f"{named}:1: b: unknown key",
    ]
    starts += ["command line --set: c: unknown key", "kernel command line: zosstorage.d is not a known parameter"]
    starts += [
        "kernel command line zosstorage.set: e: unknown key",
        "kernel command line zosstorage.root: found the text 'x'",
    ]
    assert len(caught.value.problems) == len(starts)
    assert all(problem.startswith(start) for problem, start in zip(caught.value.problems, starts, strict=True))
    assert caught.value.exit_code is ExitCode.CONFIG


@pytest.mark.parametrize("kernel", ["zosstorage.bogus", "zosstorage.topology", "zosstorage.on_failure=halt"])
def test_refuses_a_wrong_kernel_parameter(load: Callable[..., Loaded], kernel: str) -> None:
    with pytest.raises(ConfigError):
        load(kernel=kernel)


def test_refuses_a_duplicate_key(load: Callable[..., Loaded], default_file: Path) -> None:
    default_file.write_text("run_dir: /a\nrun_dir: /b\n")
    with pytest.raises(ConfigError, match="duplicate key"):
        load()


def test_force_on_the_kernel_command_line_is_unimplemented(load: Callable[..., Loaded]) -> None:
    with pytest.raises(UnimplementedError) as caught:
        load("--config /nonexistent", "zosstorage.bogus zosstorage.force")
    assert caught.value.exit_code is ExitCode.UNIMPLEMENTED


def test_the_default_file_may_be_missing_and_a_named_one_may_not(load: Callable[..., Loaded]) -> None:
    assert load().config.topology.mode == "auto"
    for arguments, kernel, named_by in (
        (["--config", "/nonexistent.yaml"], "", "command line --config"),
        ([], "zosstorage.config=/nonexistent.yaml", "kernel command line zosstorage.config"),
    ):
        with pytest.raises(ConfigError, match=r"/nonexistent.yaml: cannot be read: No such file") as caught:
            load(arguments, kernel)
        assert caught.value.hint == f"the file was named by {named_by}"


def test_refuses_a_file_that_cannot_be_read(load: Callable[..., Loaded], default_file: Path) -> None:
    default_file.mkdir()
    for arguments in ([], ["--config", str(default_file)], ["--config", "/x\0y"]):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(arguments)


def test_refuses_a_kernel_command_line_that_cannot_be_read(default_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"kernel command line: cannot read .*: No such file") as caught:
        loading.load(cli.parse(["--cmdline", str(tmp_path / "none")]))
    assert caught.value.hint == "mount /proc, or name a file with --cmdline"


def test_without_proc_there_are_no_kernel_parameters(default_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "KERNEL_FILE", "/nonexistent/cmdline")
    assert loading.load(cli.parse([])).config.topology.mode == "auto"


def test_reads_the_kernel_command_line_from_its_default_path(
    default_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "KERNEL_FILE", str(tmp_path))
    with pytest.raises(
        ConfigError, match=f"kernel command line: cannot read {tmp_path}: it is not a regular file but a dir"
    ):
        loading.load(cli.parse([]))
    (tmp_path / "cmdline").write_text("quiet zosstorage.topology=single\n")
    monkeypatch.setattr(sources, "KERNEL_FILE", str(tmp_path / "cmdline"))
    assert loading.load(cli.parse([])).config.topology.mode == "single"


def test_reads_the_kernel_command_line_from_the_named_file(default_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cmdline"
    path.write_bytes(b'root=/dev/\xff "zosstorage.report=/run/a b"\n')
    assert loading.load(cli.parse(["--cmdline", str(path)])).config.report.path == "/run/a b"


def test_refuses_bytes_that_are_not_text_in_our_parameters(default_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cmdline"
    path.write_bytes(b"zosstorage.report=/run/\xff\n")
    with pytest.raises(ConfigError, match=r"zosstorage\.report: report\.path: found the text"):
        loading.load(cli.parse(["--cmdline", str(path)]))


def test_refuses_a_relative_path_in_a_kernel_parameter(load: Callable[..., Loaded]) -> None:
    with pytest.raises(ConfigError, match=r"zosstorage\.report: report\.path: .*an absolute path"):
        load(kernel="zosstorage.report=state.json")


def test_every_key_has_an_origin(load: Callable[..., Loaded]) -> None:
    loaded = load("--root /mnt")
    assert origins(loaded)["root"] == "command line --root"
    assert origins(loaded)["mounts.targets.vm-meta"] == "default"
    assert len(origins(loaded)) == 41
