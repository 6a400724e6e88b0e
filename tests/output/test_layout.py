"""The picture of a layout: it shows the plan of a topology, in two languages."""

import re

import pytest

from zosstorage.output import layout
from zosstorage.planned import Plan
from zosstorage.planning.example import example
from zosstorage.topologies import TOPOLOGIES, Topology

FORMS = ("mermaid", "dot")


def drawn(name: str, form: str) -> tuple[Plan, str]:
    plan = example(TOPOLOGIES[name])
    return plan, layout.draw(plan, TOPOLOGIES[name], form)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_the_example_has_as_few_disks_as_the_topology_needs(name: str) -> None:
    plan, again = example(TOPOLOGIES[name]), example(TOPOLOGIES[name])
    assert plan == again
    assert (plan.topology, len(plan.disks)) == (name, TOPOLOGIES[name].least)
    assert [one.role.value for one in plan.disks].count("cache") == TOPOLOGIES[name].cache


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_picture_has_each_disk_partition_filesystem_and_mount(name: str, form: str) -> None:
    plan, picture = drawn(name, form)
    for one in plan.disks:
        assert f"{one.disk.path}: {one.role}" in picture
        for part in one.partitions:
            assert re.search(
                rf'^ +{one.disk.name}{part.number} ?\[(label=)?"{part.number}: {part.name}', picture, re.MULTILINE
            )
    assert picture.count("ESP") == picture.count("bios_boot") == len(plan.disks)
    assert picture.count("/var/mounts/UUID") == len(plan.data)
    assert len(re.findall(rf"{plan.data[0].type} ZOSDATA", picture)) == len(plan.data)
    for mount in plan.targets:
        assert picture.count(f'"{mount.target}"') == 1
        assert f"subvolume {mount.subvolume}" in picture


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_each_data_partition_leads_to_its_filesystem(name: str, form: str) -> None:
    plan, picture = drawn(name, form)
    edges = re.findall(r"^  (sd\w+) --?> (fs\d+);?$", picture, re.MULTILINE)
    assert edges == [
        (f"{owner.disk.name}{owner.partitions[-1].number}", f"fs{number}")
        for number, filesystem in enumerate(plan.data, 1)
        for owner in plan.members(filesystem)
    ]


@pytest.mark.parametrize(
    ("row", "title"),
    [
        (TOPOLOGIES["single"], "single: 1 disk"),
        (TOPOLOGIES["btrfs_raid1"], "btrfs_raid1: 2 disks or more"),
        (TOPOLOGIES["bcachefs_2copy"], "bcachefs_2copy: 3 disks or more, 2 copies"),
        (Topology("few", "btrfs", "", data=2, most=4), "few: 2 disks to 4"),
    ],
    ids=lambda value: value.name if isinstance(value, Topology) else "",
)
def test_the_title_has_the_number_of_disks(row: Topology, title: str) -> None:
    assert f'title: "{title}"' in layout.draw(example(row), row, "mermaid")
    assert f'label="{title}"' in layout.draw(example(row), row, "dot")
