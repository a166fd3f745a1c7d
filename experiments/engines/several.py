"""Several deployments of one cell at once (axis `groups`), each on nodes that no other has.

Each is a cell by itself, on some of the nodes by name. So engines know nothing of the axis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from collect.workloads import Benchmark
from experiments.engines.base import GROUPS_AXIS, ON_AXIS, PLUS, Cell, Deployment
from experiments.engines.common import taking_part, too_few_nodes
from experiments.engines.engine import Engine
from experiments.fleet.cluster import Cluster


def deployed_cells(cell: Cell, cluster: Cluster) -> tuple[Cell, ...]:
    """Return the cell of each deployment, on its own nodes by name; of one, the cell itself.

    Nodes are taken in the order of the cell: the first ones are those of the first deployment.
    """
    if cell.groups is None:
        return (cell,)
    number, size = cell.groups
    names = [node.name for node in taking_part(cell, cluster)]
    params = {name: value for name, value in cell.params.items() if name != GROUPS_AXIS.name}
    return tuple(
        replace(
            cell,
            params={
                **params,
                "nodes": size,
                ON_AXIS.name: PLUS.join(names[index * size : (index + 1) * size]),
            },
        )
        for index in range(number)
    )


def obstacle(engine: Engine, cell: Cell, cluster: Cluster) -> str | None:
    """Why a cell cannot run, one sentence, which `check` of a deployment gives; None if it can."""
    if cell.groups is None:
        return engine.check(cell, cluster)
    return (
        _unmeasurable(cell)
        or too_few_nodes(cell, cluster)
        or next(
            filter(None, (engine.check(one, cluster) for one in deployed_cells(cell, cluster))),
            None,
        )
    )


def _unmeasurable(cell: Cell) -> str | None:
    if not isinstance(cell.workload, Benchmark):
        return (
            f"axis groups measures only the workload benchmark, and this is {cell.workload.kind}: "
            "leave the axis out, or limit it with `constraints`"
        )
    if cell.keeps_workers:
        return "deployments at once always start their workers afresh: set `workers: [fresh]`"
    return None


def identity_of(engine: Engine, cell: Cell, cluster: Cluster) -> Mapping[str, str]:
    """Hashes that make a cell what it is: those of all its deployments in one."""
    if cell.groups is None:
        return engine.identity(cell, cluster)
    found = [engine.identity(one, cluster) for one in deployed_cells(cell, cluster)]
    return {
        key: hashlib.sha256(repr([one.get(key) for one in found]).encode()).hexdigest()
        for key in found[0]
    }


def deploy_all(engine: Engine, cell: Cell, cluster: Cluster) -> tuple[Deployment, ...]:
    """Return the deployments of a cell that can run."""
    return tuple(engine.deploy(one, cluster) for one in deployed_cells(cell, cluster))
