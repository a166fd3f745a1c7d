"""What a matrix asks of the inventory: that its groups and machines are there, and are enough."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.errors import HerdError
from core.foreign import one_line
from core.yaml_file import LONGEST_SHOWN, line_of
from experiments.engines.base import (
    EACH,
    EACH_ROOT,
    FIRST,
    GROUP_AXIS,
    ON_AXIS,
    PLUS,
    Axis,
    Cell,
)
from experiments.engines.common import taking_part
from experiments.fleet.cluster import CLUSTER, Cluster
from experiments.planning.axes import LONGEST_NAMES
from experiments.planning.matrix import Matrix
from experiments.planning.named import where_named


def refuse_unknown_groups(matrix: Matrix, cells: Iterable[Cell], cluster: Cluster) -> None:
    """See that each group has nodes.

    Raises:
        HerdError: one has none, or the inventory has no such group; with where it is named.
    """
    known = {CLUSTER, *(group for node in cluster.nodes for group in node.groups)}
    for cell in cells:
        if cell.endpoint is None and cell.group not in known:
            raise _unknown(cell.group, _where_named(matrix, cell, GROUP_AXIS), known, cluster)
    for group, where in _in_constraints(matrix, GROUP_AXIS):
        if group not in known:
            raise _unknown(group, where, known, cluster)


def refuse_unknown_machines(matrix: Matrix, cells: Sequence[Cell], cluster: Cluster) -> None:
    """See that each node that the axis `on` names is there, in the group of its cell.

    Raises:
        HerdError: one is not, with where it is named; or the name of a node reads as something else
            on this axis.
    """
    there = {node.name: node.groups for node in cluster.nodes}
    named = [
        (value, where) for value, where in _in_constraints(matrix, ON_AXIS) if value not in _WORDS
    ]
    if named or any(cell.on for cell in cells):
        _refuse_ambiguous(there)
    for on, where in named:
        _require_there(on.split(PLUS), where, list(there), f"the inventory's group {CLUSTER}")
    for cell in cells:
        if len(str(cell.params.get(ON_AXIS.name, ""))) > LONGEST_NAMES:
            raise HerdError(
                f"{_where_named(matrix, cell, ON_AXIS)}: a cell names {cell.nodes} nodes, whose "
                f"names have more than the {LONGEST_NAMES} characters that a run keeps of a "
                "value. Name fewer, or limit the cells to a smaller group."
            )
        if cell.on:
            nodes = [n for n, groups in there.items() if cell.group in (CLUSTER, *groups)]
            group = f"the inventory's group {cell.group}"
            _require_there(cell.on, _where_named(matrix, cell, ON_AXIS), nodes, group)


_WORDS = (FIRST, EACH, EACH_ROOT)


def _refuse_ambiguous(names: Iterable[str]) -> None:
    for name in names:
        if PLUS in name or name in _WORDS:
            raise HerdError(
                f"Planning: the axis {ON_AXIS.name} cannot name the node "
                f"{one_line(name, LONGEST_SHOWN)}, because it joins names with `{PLUS}`, and "
                f"{', '.join(_WORDS)} are words of it. Rename the node in the inventory, or leave "
                "the axis out."
            )


def _require_there(names: Iterable[str], where: str, nodes: Sequence[str], group: str) -> None:
    for name in names:
        if name not in nodes:
            near = difflib.get_close_matches(name[:LONGEST_SHOWN], [*nodes, *_WORDS], n=1)
            meant = f"; did you mean {near[0]}?" if near else "."
            raise HerdError(
                f"{where}: {group} has no node {one_line(name, LONGEST_SHOWN)}{meant} Its nodes "
                f"are {', '.join(nodes)}. The axis {ON_AXIS.name} takes their names, joined with "
                f"`{PLUS}`, or {FIRST}, {EACH} or {EACH_ROOT}."
            )


def _in_constraints(matrix: Matrix, axis: Axis) -> Iterator[tuple[str, str]]:
    """Values of an axis in constraints, and where: a wrong one would leave out no cell, or all."""
    for index, constraint in enumerate(matrix.constraints):
        for key, axes in (("when", constraint.when), ("only", constraint.only)):
            for value in map(str, axes.get(axis.name, ())):
                line = line_of(Path(matrix.file), ("constraints", index, key, axis.name), value)
                yield value, f"{matrix.file}, line {line}"


def _unknown(group: str, where: str, known: Iterable[str], cluster: Cluster) -> HerdError:
    return HerdError(
        f"{where}: {_what_it_is(group, cluster)}. The groups that have some are "
        f"{', '.join(sorted(known))}."
    )


def _what_it_is(group: str, cluster: Cluster) -> str:
    shown = one_line(group, LONGEST_SHOWN)
    if any(node.name == group for node in cluster.nodes):
        return (
            f"{shown} is a node and no group. Put it into a separate group in the inventory, and "
            "name that group"
        )
    return f"the inventory has no group {shown} with nodes of the cluster"


def _where_named(matrix: Matrix, cell: Cell, axis: Axis) -> str:
    return where_named(matrix.file, matrix.systems_file, matrix.axes, axis.name, cell.params)


def refuse_too_many_nodes(cells: Iterable[Cell], cluster: Cluster) -> None:
    """See that for each number of nodes there is a group that has so many.

    Raises:
        HerdError: none has.
    """
    asked: dict[int, dict[str, list[str]]] = {}
    firsts = [cell for cell in cells if not cell.on]
    in_groups = {cell.nodes for cell in firsts if cell.groups}
    for cell in {(cell.group, cell.nodes): cell for cell in firsts}.values():
        nodes = [node.name for node in taking_part(cell, cluster)]
        asked.setdefault(cell.nodes, {})[cell.group] = nodes
    for number in sorted(asked, reverse=True):
        group, names = max(asked[number].items(), key=lambda one: len(one[1]))
        if number > len(names):
            also = ", and `groups` that take no more" if number in in_groups else ""
            which = "" if len(asked[number]) == 1 else ", the largest that it names,"
            raise HerdError(
                f"Planning: the matrix asks for {number} nodes and the inventory's group "
                f"{group}{which} has {len(names)} ({', '.join(names)}). Add nodes to the "
                f"inventory, or give `--nodes` with numbers up to {len(names)}{also}."
            )
