"""`fab plan`: what a matrix comes to on the inventory's cluster, whose nodes are asked first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.paths import RESULTS_FOLDER
from experiments.nodes.facts import look
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.planning.matrix import Matrix
from experiments.planning.plan import Plan, inventory_of, make_plan, those_left


def plan_matrix(
    matrix: Matrix, project: Path, *, inventory: str | None = None, without: Sequence[str] = ()
) -> Plan:
    """Plan a matrix on the inventory's cluster; asks the nodes that are there for their facts.

    Args:
        matrix: what to measure.
        project: folder of `fabfile.py`.
        inventory: another inventory than that of `ansible.cfg`.
        without: names of nodes that are planned for as though they were not in the inventory.

    Raises:
        HerdError: as `inventory_of`.
    """
    cluster = those_left(inventory_of(matrix, project, inventory, without), matrix)
    launcher = SshLauncher(project)
    try:
        return make_plan(matrix, look(cluster, launcher), project / RESULTS_FOLDER)
    finally:
        launcher.close()
