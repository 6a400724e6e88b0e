"""Draw a plan: its disks with their partitions, the filesystems on them, and where these are mounted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage import text
from zosstorage.model import PartitionKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zosstorage.planned import Plan, PlannedDisk, PlannedFilesystem, PlannedPartition
    from zosstorage.topologies import Topology

_CONTENT = {PartitionKind.BIOS_BOOT: "bios_boot, on BIOS only", PartitionKind.ESP: "ESP"}


@frozen
class _Edge:
    source: str
    target: str
    label: str = ""


@frozen
class _Drawing:
    """What is drawn, whatever the language.

    Attributes:
        disks: the name and the label of each disk, with the names and the labels of its partitions in their order.
        nodes: the names and the labels of filesystems and mount points.
        edges: from partitions to filesystems, and from these to mount points.
    """

    disks: tuple[tuple[str, str, dict[str, str]], ...]
    nodes: dict[str, str]
    edges: tuple[_Edge, ...]


def draw(plan: Plan, topology: Topology, form: str) -> str:
    """Return a plan for a topology as a diagram in the language `mermaid` or `dot`."""
    drawing, title = _drawing(plan), _title(topology)
    return "\n".join(_mermaid(drawing, title) if form == "mermaid" else _dot(drawing, title)) + "\n"


def _title(topology: Topology) -> str:
    disks = f"{topology.least} {'disk' if topology.least == 1 else 'disks'}"
    disks += " or more" if topology.most is None else f" to {topology.most}" if topology.most != topology.least else ""
    copies = f", {topology.replicas} copies" if topology.replicas and topology.shared else ""
    return f"{topology.name}: {disks}{copies}"


def _drawing(plan: Plan) -> _Drawing:
    disks = tuple((one.disk.name, f"{one.disk.path}: {one.role}", _partitions(plan, one)) for one in plan.disks)
    nodes, edges = {}, []
    for number, filesystem in enumerate(plan.data, 1):
        primary = filesystem.uuid == plan.primary
        uuid = "UUID" if len(plan.data) == 1 else f"UUID {number}"
        nodes[f"fs{number}"] = _filesystem(plan, filesystem)
        edges += [_Edge(_node(owner, owner.partitions[-1]), f"fs{number}") for owner in plan.members(filesystem)]
        mounts = [("", _top(filesystem, uuid))]
        mounts += [(f"subvolume {mount.subvolume}", mount.target) for mount in plan.targets if primary]
        for place, (label, target) in enumerate(mounts):
            nodes[f"fs{number}mount{place}"] = target
            edges.append(_Edge(f"fs{number}", f"fs{number}mount{place}", label))
    return _Drawing(disks, nodes, tuple(edges))


def _top(filesystem: PlannedFilesystem, uuid: str) -> str:
    return filesystem.top.target.replace(filesystem.uuid, uuid) if filesystem.top else ""


def _node(owner: PlannedDisk, part: PlannedPartition) -> str:
    return f"{owner.disk.name}{part.number}"


def _partitions(plan: Plan, owner: PlannedDisk) -> dict[str, str]:
    labels = {one.members[0]: f"{one.type} {one.label}" for one in plan.filesystems if not one.top}
    found = {}
    for part in owner.partitions:
        is_data = part.kind is PartitionKind.DATA
        lines = [f"{part.number}: {part.name}", "the rest" if is_data else text.size(part.size_bytes)]
        lines += [] if is_data else [_CONTENT[part.kind]]
        lines += [labels[part.uuid]] if part.uuid in labels else []
        found[_node(owner, part)] = "\n".join(lines)
    return found


def _filesystem(plan: Plan, filesystem: PlannedFilesystem) -> str:
    lines = [f"{filesystem.type} {filesystem.label}"]
    lines += [f"data and metadata: {filesystem.profile}"] if filesystem.profile else []
    lines += ["the primary"] if len(plan.data) > 1 and filesystem.uuid == plan.primary else []
    return "\n".join(lines)


def _mermaid(drawing: _Drawing, title: str) -> Iterator[str]:
    yield from ("---", f"title: {json.dumps(title)}", "---", "flowchart LR")
    for name, label, partitions in drawing.disks:
        yield f"  subgraph {name}[{_broken(label)}]"
        yield from (f"    {node}[{_broken(words)}]" for node, words in partitions.items())
        yield f"    {' ~~~ '.join(partitions)}"
        yield "  end"
    for node, words in drawing.nodes.items():
        yield f"  {node}[{_broken(words)}]" if "mount" in node else f"  {node}[({_broken(words)})]"
    for edge in drawing.edges:
        yield f"  {edge.source} -->{f'|{edge.label}|' if edge.label else ''} {edge.target}"


def _broken(words: str) -> str:
    return '"' + words.replace("\n", "<br>") + '"'


def _dot(drawing: _Drawing, title: str) -> Iterator[str]:
    yield from ("digraph zosstorage {", f"  label={json.dumps(title)};", "  rankdir=LR;", "  node [shape=box];")
    for name, label, partitions in drawing.disks:
        yield f'  subgraph "cluster_{name}" {{'
        yield f"    label={json.dumps(label)};"
        yield from (f"    {node} [label={json.dumps(words)}];" for node, words in partitions.items())
        yield f"    {' -> '.join(partitions)} [style=invis];"
        yield "  }"
    for node, words in drawing.nodes.items():
        yield f"  {node} [label={json.dumps(words)}{'' if 'mount' in node else ', shape=cylinder'}];"
    for edge in drawing.edges:
        yield f"  {edge.source} -> {edge.target}{f' [label={json.dumps(edge.label)}]' if edge.label else ''};"
    yield "}"
