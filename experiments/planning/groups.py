"""What a matrix asks of the inventory's groups: that they are there, and have enough nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.errors import HerdError
from core.foreign import one_line
from core.paths import PROJECT_FOLDER
from core.yaml_file import LONGEST_SHOWN, line_of
from experiments.engines.base import GROUP_AXIS, Cell
from experiments.engines.common import taking_part
from experiments.fleet.cluster import CLUSTER, Cluster
from experiments.planning.axes import SYSTEM
from experiments.planning.matrix import Matrix


def refuse_unknown_groups(matrix: Matrix, cells: Iterable[Cell], cluster: Cluster) -> None:
    """See that each group has nodes.

    Raises:
        HerdError: one has none, or the inventory has no such group; with where it is named.
    """
    known = {CLUSTER, *(group for node in cluster.nodes for group in node.groups)}
    for cell in cells:
        if cell.endpoint is None and cell.group not in known:
            raise _unknown(cell.group, _where_named(matrix, cell), known, cluster)
    for group, keys in _in_constraints(matrix):
        if group not in known:
            line = line_of(Path(matrix.file), keys, group)
            raise _unknown(group, f"{matrix.file}, line {line}", known, cluster)


def _in_constraints(matrix: Matrix) -> Iterator[tuple[str, Sequence[str | int]]]:
    """Groups in constraints, and where: a wrong one would leave out no cell, or all of them."""
    for index, constraint in enumerate(matrix.constraints):
        for key, axes in (("when", constraint.when), ("only", constraint.only)):
            for group in axes.get(GROUP_AXIS.name, ()):
                yield str(group), ("constraints", index, key, GROUP_AXIS.name)


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


def _where_named(matrix: Matrix, cell: Cell) -> str:
    """The file and line that name the group of a cell, or the flag."""
    keys: tuple[str, ...] = ("axes", GROUP_AXIS.name)
    file, otherwise = Path(matrix.file), f"--set {GROUP_AXIS.name}"
    if GROUP_AXIS.name not in matrix.axes:
        file = PROJECT_FOLDER / matrix.systems_file
        keys, otherwise = ("systems", str(cell.params[SYSTEM.name]), *keys), str(file)
    line = line_of(file, keys, cell.group)
    return f"{file}, line {line}" if line else otherwise


def refuse_too_many_nodes(cells: Iterable[Cell], cluster: Cluster) -> None:
    """See that for each number of nodes there is a group that has so many.

    Raises:
        HerdError: none has.
    """
    asked: dict[int, dict[str, list[str]]] = {}
    for cell in {(cell.group, cell.nodes): cell for cell in cells}.values():
        nodes = [node.name for node in taking_part(cell, cluster)]
        asked.setdefault(cell.nodes, {})[cell.group] = nodes
    for number in sorted(asked, reverse=True):
        group, names = max(asked[number].items(), key=lambda one: len(one[1]))
        if number > len(names):
            which = "" if len(asked[number]) == 1 else ", the largest that it names,"
            raise HerdError(
                f"Planning: the matrix asks for {number} nodes and the inventory's group "
                f"{group}{which} has {len(names)} ({', '.join(names)}). Add nodes to the "
                f"inventory, or give `--nodes` with numbers up to {len(names)}."
            )
