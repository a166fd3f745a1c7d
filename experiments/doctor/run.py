"""The whole of `fab doctor`, without its printing."""

from __future__ import annotations

from pathlib import Path

from experiments.doctor.ask import ask_nodes
from experiments.doctor.checks.plugs import try_plugs, with_plugs
from experiments.doctor.diagnose import diagnose
from experiments.doctor.finding import Diagnosis
from experiments.fleet.inventory import read_cluster
from experiments.fleet.limit import chosen


def examine(
    project: Path, inventory: str | None, names: str | None, *, deep: bool
) -> list[Diagnosis]:
    """Look at the nodes of an inventory, all of them or those named, separated by commas.

    Raises:
        HerdError: the inventory cannot be read or has no such node.
    """
    cluster = read_cluster(project, inventory, must_resolve=False)
    nodes = chosen(cluster.nodes, names)
    diagnoses = diagnose(ask_nodes(nodes, project, deep=deep, root=cluster.root.name))
    given = {node.name for node in nodes}
    asked = [plug for plug in cluster.plugs if not plug.nodes or given & set(plug.nodes)]
    return with_plugs(diagnoses, try_plugs(asked))
