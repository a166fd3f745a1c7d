"""A plan in lines, as `fab plan` prints it: trials, what waits, what is impossible, time, money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from collect.cells import CellRecord
from core.progress import spoken_time
from experiments.fleet import commands
from experiments.fleet.cluster import Cluster
from experiments.fleet.plugs import spoken
from experiments.planning.documents import document_lines
from experiments.planning.lacks import lacks_of
from experiments.planning.money import Purse, left_of, unpriced
from experiments.planning.plan import SECONDS_ASSUMED, Plan, estimate_s, runnable
from experiments.planning.preflight import describe_memory, describe_models
from experiments.planning.shared_gpus import shared_gpus


def describe(plan: Plan) -> list[str]:
    """The plan as lines: trials in order, what waits, what is impossible, files, time, money."""
    possible = {cell.cell_id: cell for cell in plan.cells if cell.unavailable is None}
    runnable = [cell for cell_id, cell in plan.by_id.items() if cell_id in possible]
    models = describe_models(plan.by_id.values())
    memory = describe_memory(runnable, plan.cluster)
    cells, trials = _number(len(plan.cells), "cell"), _number(len(plan.trials), "trial")
    documents = document_lines(plan.matrix.workloads)
    sections = [
        [
            f"{plan.matrix.title}: {cells}, {trials}",
            f"on {_names(plan.cluster) or 'no node'}; seed {plan.matrix.seed}",
        ],
        [
            f"{trial.order:4d}  block {trial.block}  {_told(plan, possible[trial.cell_id])}"
            for trial in plan.trials
            if trial.cell_id in possible
        ],
        ["Documents:", *(f"  {line}" for line in documents)] if documents else [],
        impossible(plan),
        waiting_lines(plan),
        ["Models:", *models] if models else [],
        ["Memory needed / available (MiB):", *memory] if memory else [],
        shared_gpus(plan),
        plug_lines(plan.cluster),
        [_time(plan, possible)],
        _money(plan, possible),
    ]
    lines = [line for section in sections if section for line in ("", *section)]
    return lines[1:]


def plug_lines(cluster: Cluster) -> list[str]:
    """What smart plugs feed, a line each, and the nodes without one; none where there are none."""
    if not cluster.plugs:
        return []
    fed = {name for plug in cluster.plugs for name in plug.nodes}
    bare = ", ".join(node.name for node in cluster.nodes if node.name not in fed)
    lines = [f"  {plug.name}: {spoken(plug)}" for plug in cluster.plugs]
    if bare:
        lines.append(f"  none: {bare}; cells with them have no energy at the wall")
    return ["Smart plugs (`fab doctor` shows what they read):", *lines]


def _told(plan: Plan, cell: CellRecord) -> str:
    """A cell in the list of trials."""
    away = plan.waits_for(cell)
    return plan.label(cell) + (f" (waits for {', '.join(away)})" if away else "")


def _number(n: int, thing: str) -> str:
    """Return a number with its noun, such as "1 cell"."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def _names(cluster: Cluster) -> str:
    return ", ".join(node.name for node in cluster.nodes)


def impossible(plan: Plan) -> list[str]:
    """The cells that cannot run and why, a line each below a title; none if all can."""
    lines = [
        f"  {plan.label(cell)}: {cell.unavailable}"
        for cell in plan.cells
        if cell.unavailable is not None
    ]
    return ["Cells that cannot run:", *lines, *remedies(plan)] if lines else []


def remedies(plan: Plan) -> list[str]:
    """Return the command that installs what is missing; none where nothing can be installed."""
    flags = plan.matrix.flags
    if flags is None or not lacks_of(plan.by_id.values(), plan.cluster):
        return []
    return [
        "To install the missing engines and models:",
        f"  {commands.fab('prepare', *flags)}",
    ]


def waiting_lines(plan: Plan, left: Mapping[str, int] | None = None) -> list[str]:
    """The nodes that are away and why, and the cells that wait for them; none if none does.

    Args:
        plan: with its nodes.
        left: cell id to how many trials are left of it; all by default.
    """
    cells = [
        (cell, plan.waits_for(cell))
        for cell in plan.cells
        if left is None or left.get(cell.cell_id)
    ]
    needed = {name for _, away in cells for name in away}
    if not needed:
        return []
    return [
        "Nodes that are away:",
        *(f"  {node.name}: {node.away}" for node in plan.cluster.nodes if node.name in needed),
        "Cells waiting for them:",
        *(f"  {plan.label(cell)}: {', '.join(away)}" for cell, away in cells if away),
    ]


def _time(plan: Plan, possible: Mapping[str, CellRecord]) -> str:
    if not possible:
        return "No cell of this matrix can run here."
    can_run = runnable(plan)
    if not can_run:
        return "No cell of this matrix can run now: all wait for nodes that are away."
    guessed = len(can_run.keys() - plan.seconds.keys())
    basis = (
        "from earlier trials of these cells"
        if not guessed
        else f"{guessed} of {_number(len(can_run), 'cell')} never measured, assuming "
        f"{SECONDS_ASSUMED:.0f} s per trial"
    )
    besides = "" if len(can_run) == len(possible) else ", without waiting cells"
    return f"Estimated time{besides}: {spoken_time(estimate_s(plan))} ({basis})"


def _money(plan: Plan, possible: Mapping[str, CellRecord]) -> list[str]:
    """The most that paid systems can cost; nothing where there is no price."""
    trials = Counter(trial.cell_id for trial in plan.trials if trial.cell_id in possible)
    left = left_of(plan.by_id, trials)
    purse = Purse(left, unpriced=unpriced(plan.by_id[cell_id] for cell_id in possible))
    lines = purse.estimate()
    return ["Money:", *lines] if lines else []
