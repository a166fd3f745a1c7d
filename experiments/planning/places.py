"""The axis `on` with its words spelled out: which machines a cell takes, by their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from core.record import Scalar
from experiments.engines.base import (
    EACH,
    EACH_ROOT,
    FIRST,
    GROUP_AXIS,
    GROUPS_AXIS,
    ON_AXIS,
    PLUS,
    Axis,
    Cell,
)
from experiments.engines.common import taking_part
from experiments.fleet.cluster import CLUSTER, Cluster

Params = Mapping[str, Scalar]


def placed(params: Params, cluster: Cluster | None) -> Iterator[dict[str, Scalar]]:
    """The combination on each place that its value of `on` stands for, with its number of nodes.

    Args:
        params: axis name to value.
        cluster: the nodes; without it, or where the group has none of them, a word that stands for
            names stays.
    """
    written = str(params.get(ON_AXIS.name, FIRST))
    number = _nodes_of_groups(params)
    if written == FIRST:
        yield dict(params) if number is None else {**params, "nodes": number}
        return
    group = str(params.get(GROUP_AXIS.name, CLUSTER))
    nodes = cluster.nodes if cluster else ()
    names = [node.name for node in nodes if group == CLUSTER or group in node.groups]
    for on in _spelled(written, names) or [written]:
        yield {**params, ON_AXIS.name: on, "nodes": on.count(PLUS) + 1}


def _nodes_of_groups(params: Params) -> int | None:
    """How many nodes all deployments at once take; None for a single one."""
    number, _, size = str(params.get(GROUPS_AXIS.name, "")).partition("x")
    return int(number) * int(size) if size else None


def number_problem(params: Params, fixed: Params) -> tuple[Axis, str] | None:
    """Find that a cell is on another number of nodes than it may be.

    Args:
        params: of the cell, with names on the axis `on`.
        fixed: what its system fixes; empty where it is of none.

    Returns:
        The axis that says so, and a sentence; None if the numbers agree.
    """
    named = str(params.get(ON_AXIS.name, FIRST))
    taken, given = _nodes_of_groups(params), params["nodes"]
    if taken is not None and taken != given:
        return GROUPS_AXIS, (
            f"The axis groups has {params[GROUPS_AXIS.name]}, which takes {_nodes(taken)}, and "
            f"axis on has {named} for it, which is {given}: name as many nodes, or limit the axes "
            "with `constraints`."
        )
    fixed_number = fixed.get("nodes", given)
    if fixed_number == given:
        return None
    axis = GROUPS_AXIS if named == FIRST else ON_AXIS
    return axis, (
        f"The system {fixed['system']} runs on {_nodes(fixed_number)}, and axis {axis.name} has "
        f"{params[axis.name]} for it, which is {given}: take as many nodes as the system has, or "
        "limit the axis to other systems with `constraints`."
    )


def _nodes(number: Scalar) -> str:
    return f"{number} {'node' if number == 1 else 'nodes'}"


def _spelled(written: str, names: Sequence[str]) -> list[str]:
    """A value of `on` with the names of a group in place of a word."""
    if written == EACH:
        return list(names)
    if written == EACH_ROOT:
        return [PLUS.join((root, *(n for n in names if n != root))) for root in names]
    return [written]


def each_place_once(cells: Iterable[Cell], cluster: Cluster) -> tuple[Cell, ...]:
    """Without cells that name just the nodes, in order, that another takes as the first ones."""
    cells = tuple(cells)
    firsts = {
        (_rest(cell), tuple(node.name for node in taking_part(cell, cluster)))
        for cell in cells
        if cell.endpoint is None and not cell.on
    }
    return tuple(cell for cell in cells if not cell.on or (_rest(cell), cell.on) not in firsts)


def _rest(cell: Cell) -> tuple[tuple[str, Scalar], ...]:
    return tuple((name, value) for name, value in cell.params.items() if name != ON_AXIS.name)
