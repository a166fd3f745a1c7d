"""The whole of `fab doctor`, without its printing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.errors import HerdError
from experiments.doctor.ask import ask_nodes
from experiments.doctor.diagnose import diagnose
from experiments.doctor.finding import Diagnosis
from experiments.fleet.cluster import Node
from experiments.fleet.inventory import read_cluster


def examine(
    project: Path, inventory: str | None, names: str | None, *, deep: bool
) -> list[Diagnosis]:
    """Look at the nodes of an inventory, all of them or those named, separated by commas.

    Raises:
        HerdError: the inventory cannot be read or has no such node.
    """
    cluster = read_cluster(project, inventory, must_resolve=False)
    chosen = _chosen(cluster.nodes, names)
    return diagnose(ask_nodes(chosen, project, deep=deep, root=cluster.root.name))


def _chosen(nodes: Sequence[Node], names: str | None) -> list[Node]:
    if names is None:
        return list(nodes)
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = {node.name: node for node in nodes}
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise HerdError(
            f"--limit {names}: group cluster has no {', '.join(unknown) or 'such node'}; it has "
            f"{', '.join(known)}."
        )
    return [known[name] for name in wanted]
