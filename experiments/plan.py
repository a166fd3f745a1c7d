"""What a matrix comes to on a cluster: cells, trials in their order, what is impossible and why."""

from __future__ import annotations

import hashlib
import json
import random
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from collect.account import Account
from collect.attempt import AttemptRecord, load_attempt
from collect.run import (
    ATTEMPTS_FOLDER,
    PROTOCOL_VERSION,
    CellRecord,
    Scalar,
    TrialRecord,
)
from core.errors import HerdError
from core.foreign import one_line
from core.paths import RESULTS_FOLDER
from experiments import commands
from experiments.cluster import LEFT_OUT, Cluster
from experiments.engines import ENGINES
from experiments.engines.base import Cell
from experiments.facts import look
from experiments.inventory import read_cluster
from experiments.labels import cell_label
from experiments.lacks import lacks_of
from experiments.matrix import Matrix
from experiments.money import Purse, left_of, unpriced
from experiments.preflight import describe_memory, describe_models
from experiments.progress import spoken_time
from experiments.remote import SshTransport
from experiments.shaping import links

ID_LENGTH = 10
RULE_S = 10.0
"""Guess for a trial of a cell that nobody measured yet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A matrix on a cluster.

    Attributes:
        plan_id: hash of what the user asked for, on which nodes.
        cells: every cell, also the impossible ones.
        by_id: cell id to the cell that engines understand.
        trials: in the order of measuring.
        seconds: cell id to what a trial of it took so far, where one was done in any run.
    """

    matrix: Matrix
    cluster: Cluster
    plan_id: str
    cells: tuple[CellRecord, ...]
    by_id: Mapping[str, Cell]
    trials: tuple[TrialRecord, ...]
    seconds: Mapping[str, float]

    def waits_for(self, cell: CellRecord) -> tuple[str, ...]:
        """The nodes that keep a cell waiting, which could run otherwise."""
        away = {node.name for node in self.cluster.nodes if node.away is not None}
        return tuple(name for name in cell.nodes if name in away and cell.unavailable is None)


def trim(cluster: Cluster, matrix: Matrix) -> Cluster:
    """The nodes that the matrix needs: the first ones.

    Raises:
        HerdError: the inventory has fewer.
    """
    most = _most_nodes(matrix)
    if most > len(cluster.nodes):
        names = ", ".join(node.name for node in cluster.nodes)
        raise HerdError(
            f"Planning: the matrix asks for {most} nodes and the inventory's group cluster has "
            f"{len(cluster.nodes)} ({names}). Add nodes to the inventory, or give "
            f"`--nodes` with numbers up to {len(cluster.nodes)}."
        )
    return replace(cluster, nodes=cluster.nodes[:most])


def _most_nodes(matrix: Matrix) -> int:
    return max(cell.nodes for cell in matrix.cells())


def inventory_of(
    matrix: Matrix, project: Path, inventory: str | None, without: Sequence[str] = ()
) -> Cluster:
    """The nodes of the inventory, if the matrix needs any; those to be left out are marked.

    Raises:
        HerdError: the lab is down, or the inventory cannot be read, has fewer nodes than the matrix
            asks for, or none of a name to be left out.
    """
    if not _most_nodes(matrix):
        if without:
            raise HerdError(f"--without {','.join(without)}: this matrix needs no node at all.")
        return Cluster(())
    cluster = read_cluster(project, inventory)
    trim(cluster, matrix)
    return leave_out(cluster, without)


def leave_out(cluster: Cluster, without: Sequence[str]) -> Cluster:
    """The same nodes, some of them marked as left out.

    Raises:
        HerdError: there is no such node, or none would be left.
    """
    names = [node.name for node in cluster.nodes]
    unknown = [one_line(name, 60) for name in without if name not in names]
    if unknown:
        raise HerdError(
            f"--without: there is no node {', '.join(unknown)} in the inventory's group cluster, "
            f"which has {', '.join(names)}."
        )
    if without and set(names) <= set(without):
        raise HerdError(f"--without {','.join(without)}: that leaves no node.")
    nodes = (
        replace(node, away=LEFT_OUT) if node.name in without else node for node in cluster.nodes
    )
    return replace(cluster, nodes=tuple(nodes))


def those_left(cluster: Cluster, matrix: Matrix) -> Cluster:
    """The nodes that a matrix gets: the first ones of those that are not left out."""
    left = [node for node in cluster.nodes if node.away != LEFT_OUT]
    return replace(cluster, nodes=tuple(left[: _most_nodes(matrix)]))


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
    transport = SshTransport(project)
    try:
        return make_plan(matrix, look(cluster, transport), project / RESULTS_FOLDER)
    finally:
        transport.close()


def make_plan(
    matrix: Matrix, cluster: Cluster, results: Path | None = None, account: Account | None = None
) -> Plan:
    """Plan a matrix on a cluster whose nodes were asked for their facts, as far as they are there.

    Args:
        matrix: what to measure.
        cluster: where; a cell that needs more nodes than there are cannot run.
        results: folder of all runs, for what trials took so far; None if that is of no interest.
        account: of one of these runs that was read already.
    """
    cluster = replace(cluster, nodes=cluster.nodes[: _most_nodes(matrix)])
    cells = {}
    for cell in matrix.cells():
        record = _cell_record(cell, cluster)
        cells[record.cell_id] = (record, cell)
    return Plan(
        matrix=matrix,
        cluster=cluster,
        plan_id=plan_id(matrix, cluster),
        cells=tuple(record for record, _ in cells.values()),
        by_id={cell_id: cell for cell_id, (_, cell) in cells.items()},
        trials=order_trials(list(cells), matrix.repeats, matrix.seed),
        seconds=seconds_per_trial(results, cells, account) if results else {},
    )


def plan_id(matrix: Matrix, cluster: Cluster) -> str:
    """What the user asked for, on which nodes: the same again continues the run."""
    cells = sorted((canonical(cell.params) for cell in matrix.cells()), key=_digest)
    return _digest(
        {
            "title": matrix.title,
            "workload": matrix.workload.model_dump(),
            "cells": cells,
            "repeats": matrix.repeats,
            "seed": matrix.seed,
            "nodes": [node.name for node in cluster.nodes[: _most_nodes(matrix)]],
        }
    )


def order_trials(cell_ids: Sequence[str], repeats: int, seed: int) -> tuple[TrialRecord, ...]:
    """Randomised complete blocks: each holds every cell once, shuffled.

    The order depends on the seed and on nothing else; the drift of a day (heat, load) then hits
    all cells alike.
    """
    shuffler = random.Random(seed)  # noqa: S311 - an order that can be repeated, not a secret
    trials: list[TrialRecord] = []
    for block in range(1, repeats + 1):
        ids = list(cell_ids)
        shuffler.shuffle(ids)
        for cell_id in ids:
            trials.append(
                TrialRecord(
                    trial_id=f"{cell_id}-r{block}",
                    cell_id=cell_id,
                    repeat=block,
                    block=block,
                    order=len(trials) + 1,
                )
            )
    return tuple(trials)


def seconds_per_trial(
    results: Path, cell_ids: Iterable[str], account: Account | None = None
) -> dict[str, float]:
    """Median wall time of the trials that were done of each cell, in any run.

    Args:
        results: folder of all runs; each is looked through once.
        cell_ids: of which cells.
        account: of one of these runs that was read already.
    """
    walls: dict[str, list[float]] = {cell_id: [] for cell_id in cell_ids}
    for record in _records(results, walls.keys(), account):
        if record.outcome == "done" and record.cell_id in walls:
            walls[record.cell_id].append(record.trial_wall_s)
    return {cell_id: statistics.median(found) for cell_id, found in walls.items() if found}


def _records(
    results: Path, cell_ids: Collection[str], account: Account | None
) -> Iterator[AttemptRecord]:
    """The records of all attempts of these cells that can be read."""
    for trial in account.trials if account else ():
        yield from (attempt.record for attempt in trial.attempts if attempt.record)
    for folder in results.glob(f"*/{ATTEMPTS_FOLDER}"):
        is_known = account is not None and folder.parent == account.folder
        if is_known or folder.is_symlink() or not folder.is_dir():
            continue
        with suppress(PermissionError):
            for path in folder.iterdir():
                if path.name.partition("-")[0] in cell_ids:
                    with suppress(HerdError):
                        yield load_attempt(path)


def estimate_s(plan: Plan) -> float:
    """Time for all that can run now, warm-ups included, in seconds."""
    return sum(
        (plan.matrix.repeats + warm_ups(plan.by_id[cell_id], plan.matrix.warmup))
        * plan.seconds.get(cell_id, RULE_S)
        for cell_id in _runnable(plan)
    )


def _runnable(plan: Plan) -> dict[str, CellRecord]:
    """The cells that can run now, by id."""
    return {
        record.cell_id: record
        for record in plan.cells
        if record.unavailable is None and not plan.waits_for(record)
    }


def warm_ups(cell: Cell, asked_for: int) -> int:
    """Unmeasured trials of a cell before its first: an API has nothing of ours to warm."""
    return asked_for if cell.endpoint is None else 0


def describe(plan: Plan) -> list[str]:
    """The plan as lines: trials in order, what waits, what is impossible, files, time, money."""
    possible = {cell.cell_id: cell for cell in plan.cells if cell.unavailable is None}
    runnable = [cell for cell_id, cell in plan.by_id.items() if cell_id in possible]
    models = describe_models(plan.by_id.values())
    memory = describe_memory(runnable, plan.cluster)
    sections = [
        [
            f"{plan.matrix.title}: {len(plan.cells)} cells, {len(plan.trials)} trials",
            f"on {_names(plan.cluster) or 'no node'}; seed {plan.matrix.seed}",
        ],
        [
            f"{trial.order:4d}  block {trial.block}  {_told(plan, possible[trial.cell_id])}"
            for trial in plan.trials
            if trial.cell_id in possible
        ],
        impossible(plan),
        waiting(plan),
        ["Models:", *models] if models else [],
        ["Memory needed of what is free, in MiB:", *memory] if memory else [],
        [_time(plan, possible)],
        _money(plan, possible),
    ]
    lines = [line for section in sections if section for line in ("", *section)]
    return lines[1:]


def _told(plan: Plan, cell: CellRecord) -> str:
    """A cell in the list of trials."""
    away = plan.waits_for(cell)
    return cell_label(cell.params) + (f" (waits for {', '.join(away)})" if away else "")


def _names(cluster: Cluster) -> str:
    return ", ".join(node.name for node in cluster.nodes)


def impossible(plan: Plan) -> list[str]:
    """The cells that cannot run and why, a line each below a title; none if all can."""
    lines = [
        f"  {cell_label(cell.params)}: {cell.unavailable}"
        for cell in plan.cells
        if cell.unavailable is not None
    ]
    return ["Impossible here:", *lines, *remedies(plan)] if lines else []


def remedies(plan: Plan) -> list[str]:
    """The command that puts there what is missing; none where nothing that can be had is."""
    flags = plan.matrix.flags
    if flags is None or not lacks_of(plan.by_id.values(), plan.cluster):
        return []
    return [
        "What engines and models are missing comes with:",
        f"  {commands.fab('prepare', *flags)}",
    ]


def waiting(plan: Plan, left: Mapping[str, int] | None = None) -> list[str]:
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
        "Not there:",
        *(f"  {node.name}: {node.away}" for node in plan.cluster.nodes if node.name in needed),
        "Waiting for them:",
        *(f"  {cell_label(cell.params)}: {', '.join(away)}" for cell, away in cells if away),
    ]


def _time(plan: Plan, possible: Mapping[str, CellRecord]) -> str:
    if not possible:
        return "Nothing of this matrix can run here."
    runnable = _runnable(plan)
    if not runnable:
        return "Nothing of this matrix can run now: all of it waits for nodes that are not there."
    guessed = len(runnable.keys() - plan.seconds.keys())
    basis = (
        "from earlier trials of these cells"
        if not guessed
        else f"{guessed} of {len(runnable)} cells never measured: {RULE_S:.0f} s a trial assumed"
    )
    besides = "" if len(runnable) == len(possible) else ", without what waits"
    return f"Estimated time{besides}: {spoken_time(estimate_s(plan))} ({basis})"


def _money(plan: Plan, possible: Mapping[str, CellRecord]) -> list[str]:
    """The most that paid systems can cost; nothing where there is no price."""
    trials = Counter(trial.cell_id for trial in plan.trials if trial.cell_id in possible)
    left = left_of(plan.by_id, trials)
    purse = Purse(left, unpriced=unpriced(plan.by_id[cell_id] for cell_id in possible))
    lines = purse.estimate()
    return ["Money:", *lines] if lines else []


def _cell_record(cell: Cell, cluster: Cluster) -> CellRecord:
    engine = ENGINES[cell.engine]
    unavailable = engine.check(cell, cluster) or links.unavailable(cell, cluster)
    identity = dict(engine.identity(cell, cluster))
    content = {
        "params": canonical(cell.params),
        "workload": cell.workload.model_dump(),
        "identity": identity,
        "protocol": PROTOCOL_VERSION,
    }
    return CellRecord(
        cell_id=_digest(content)[:ID_LENGTH],
        params=dict(cell.params),
        identity=identity,
        nodes=tuple(node.name for node in cluster.nodes[: cell.nodes]),
        unavailable=unavailable,
    )


def canonical(params: Mapping[str, Scalar]) -> list[list[Scalar]]:
    """Axis values in an order that does not depend on how a matrix names them."""
    return [[name, params[name]] for name in sorted(params)]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
