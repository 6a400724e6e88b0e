"""A provisioned machine held against what other tools than ours see."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
from disks import NAMES, LoopDisk, Machine
from processes import output

from zosstorage.checkpoint import Checkpoint
from zosstorage.output.jsonschema import json_schema
from zosstorage.output.report import Report

MIB = 1 << 20
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


def check_provisioned(
    machine: Machine, topology: str, *, status: str = "provisioned", firmware: str = "bios"
) -> dict[str, Any]:
    """Everything that the contract promises of a provisioned machine; returns the report."""
    report = machine.report
    check_documents(machine)
    assert (report["version"], report["status"], report["topology"]) == (1, status, topology)
    assert report["firmware"] == firmware
    assert [record["status"] for record in machine.checkpoint["states"]] == ["done"] * 6
    tables = {disk.device: _table(disk) for disk in machine.disks}
    used = [disk for disk in report["disks"] if disk["role"] != "unused"]
    for disk in used:
        check_table(tables[disk["path"]], disk, firmware)
    guids = [tables[disk["path"]]["id"] for disk in used]
    guids += [part["uuid"] for disk in used for part in tables[disk["path"]]["partitions"]]
    assert len(set(guids)) == len(guids)
    check_filesystems(machine, report)
    check_mounts(machine, report)
    return report


def check_documents(machine: Machine) -> None:
    """Report and checkpoint by the schemas that `zosstorage schema` prints of them."""
    for kind, document in ((Report, machine.report), (Checkpoint, machine.checkpoint)):
        schema = json_schema(kind, complete=True)
        jsonschema.validate(document, schema, jsonschema.Draft202012Validator)


def _table(disk: LoopDisk) -> dict[str, Any]:
    try:
        table: dict[str, Any] = json.loads(output("sfdisk", "-J", disk.device))["partitiontable"]
    except AssertionError:  # no table: blank
        return {"partitions": []}
    return table


def check_table(table: dict[str, Any], disk: dict[str, Any], firmware: str) -> None:
    sector = disk["sector_size"]
    types = [BIOS_BOOT, ESP, LINUX] if firmware == "bios" else [ESP, LINUX]
    data_name = "zoscache" if disk["role"] == "cache" else "zosdata"
    names = ["zosboot"] * (len(types) - 1) + [data_name]
    parts = table["partitions"]
    assert table["label"] == "gpt"
    assert table["sectorsize"] == sector
    assert [part["type"] for part in parts] == types
    assert [part["name"] for part in parts] == names
    assert all("attrs" not in part for part in parts), "a mark is left"
    assert all(part["start"] * sector % MIB == 0 == part["size"] * sector % MIB for part in parts)
    sizes = {part["type"]: part["size"] * sector for part in parts}
    assert sizes[ESP] == 512 * MIB
    assert sizes.get(BIOS_BOOT, MIB) == MIB
    assert parts[0]["start"] * sector == MIB
    end = (parts[-1]["start"] + parts[-1]["size"]) * sector
    assert disk["size_bytes"] - 2 * MIB <= end <= disk["size_bytes"] - 33 * sector
    reported = [(part["name"], part["type"], part["uuid"], part["start_bytes"]) for part in disk["partitions"]]
    assert reported == [(p["name"], p["type"], p["uuid"].lower(), p["start"] * sector) for p in parts]


def blkid(device: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in output("blkid", "-p", "-o", "export", device).splitlines() if line)


def check_filesystems(machine: Machine, report: dict[str, Any]) -> None:
    for filesystem in report["filesystems"]:
        wanted = (filesystem["type"], filesystem["label"], filesystem["uuid"])
        for device in filesystem["devices"]:
            seen = blkid(device)
            assert (seen["TYPE"], seen["LABEL"], seen["UUID"]) == wanted
            assert filesystem["type"] != "vfat" or seen["VERSION"] == "FAT32"
        if filesystem["type"] == "btrfs":
            _check_btrfs(machine, filesystem)
    labels = [filesystem["label"] for filesystem in report["filesystems"]]
    used = [disk for disk in report["disks"] if disk["role"] != "unused"]
    assert labels.count("ZOSBOOT") == len(used)
    assert set(labels) == {"ZOSBOOT", "ZOSDATA"}
    assert [fs["mountpoint"] for fs in report["filesystems"] if fs["type"] == "vfat"] == [None] * len(used)
    assert [fs["primary"] for fs in report["filesystems"]].count(True) == 1


def _check_btrfs(machine: Machine, filesystem: dict[str, Any]) -> None:
    shown = output("btrfs", "filesystem", "show", "--raw", filesystem["devices"][0])
    assert f"Total devices {len(filesystem['devices'])}" in shown
    assert sorted(re.findall(r"path (\S+)", shown)) == sorted(filesystem["devices"])
    listed = output(*machine.inside("btrfs", "subvolume", "list", filesystem["mountpoint"]))
    names = {line.split(" path ")[1] for line in listed.splitlines()}
    assert names == (set(NAMES) if filesystem["primary"] else set())


def check_mounts(machine: Machine, report: dict[str, Any]) -> None:
    mounts = machine.mounts
    primary = next(fs for fs in report["filesystems"] if fs["primary"])
    data = [fs for fs in report["filesystems"] if fs["type"] != "vfat"]
    assert set(mounts) == {f"/var/cache/{name}" for name in NAMES} | {f"/var/mounts/{fs['uuid']}" for fs in data}
    for name in NAMES:
        fields = mounts[f"/var/cache/{name}"]
        assert fields[3] == f"/{name}"
        assert "noatime" in fields[5].split(",")
        assert fields[fields.index("-") + 1] == "btrfs"
        assert fields[fields.index("-") + 2] in primary["devices"]
    for fs in data:
        fields = mounts[f"/var/mounts/{fs['uuid']}"]
        assert fields[3] == "/"
        assert fields[fields.index("-") + 2] in fs["devices"]
    targets = [mount["target"].removeprefix(str(machine.root)) for mount in report["mounts"]]
    assert targets == [f"/var/mounts/{fs['uuid']}" for fs in data] + [f"/var/cache/{name}" for name in NAMES]
    assert all(mount["source"].startswith("UUID=") for mount in report["mounts"])


def profiles(uuid: str) -> dict[str, list[str]]:
    """The profiles of data and metadata of a mounted btrfs, by the kernel."""
    folder = Path(f"/sys/fs/btrfs/{uuid}/allocation")
    return {
        kind: sorted(entry.name for entry in (folder / kind).iterdir() if entry.is_dir())
        for kind in ("data", "metadata")
    }
