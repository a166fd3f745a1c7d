"""`fab plan`: what a matrix comes to on the inventory's cluster, whose nodes are asked first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from collect.attempt import load_attempt
from collect.parsers.of_attempt import parse_attempt
from collect.run import ATTEMPTS_FOLDER
from core.errors import HerdError
from core.foreign import one_line
from core.paths import RESULTS_FOLDER
from experiments.disk.ledger import find_run, plans
from experiments.nodes.facts import look
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.planning.matrix import Matrix
from experiments.planning.plan import Plan, inventory_of, make_plan, those_left
from experiments.planning.precision import Pilot


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


def pilots_of(results: Path, plan: Plan, run: str | None = None) -> dict[str, Pilot]:
    """For each cell of a plan the run with the most trials of it, the latest of several.

    Args:
        results: folder of all runs.
        plan: of the cells.
        run: only this run is looked at; None for all.

    Raises:
        HerdError: that run does not exist or has no trial of these cells that is done.
    """
    folders = [folder for folder, _ in plans(results)] if run is None else [find_run(results, run)]
    found: dict[str, Pilot] = {}
    for folder in folders:
        for cell_id, rates in _rates(folder, plan).items():
            if cell_id not in found or len(rates) >= len(found[cell_id].rates):
                found[cell_id] = Pilot(folder.name, tuple(rates))
    if run is not None and not found:
        raise HerdError(
            f"--pilot {one_line(run, 80)}: it has no trial that is done of a cell of this plan. A "
            "cell is another one with other programs, model files or workload."
        )
    return found


def _rates(folder: Path, plan: Plan) -> dict[str, list[float]]:
    """Tokens/s of the good trials of these cells in a run; what cannot be read is left out."""
    found: dict[str, dict[str, float]] = {}
    attempts = folder / ATTEMPTS_FOLDER
    if attempts.is_symlink() or not attempts.is_dir():
        return {}
    for path in sorted(attempts.iterdir()):
        if path.name.partition("-")[0] not in plan.by_id:
            continue
        try:
            record = load_attempt(path)
            decode = parse_attempt(path, record).decode if record.outcome == "done" else None
        except HerdError:
            continue
        if decode is not None and decode.tokens_per_s and decode.tokens_per_s > 0:
            found.setdefault(record.cell_id, {})[record.trial_id] = decode.tokens_per_s
    return {cell_id: list(rates.values()) for cell_id, rates in found.items()}
