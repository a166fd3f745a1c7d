"""What a matrix comes to on a cluster: cells, trials in their order, what is impossible and why."""

from __future__ import annotations

import random
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from collect.account import Account
from collect.attempt import AttemptRecord, load_attempt
from collect.cells import CellRecord, TrialRecord
from collect.labels import cell_label
from collect.run import ATTEMPTS_FOLDER, PROTOCOL_VERSION, PartRecord, RunManifest
from core.errors import HerdError
from core.foreign import one_line
from experiments.engines import ENGINES
from experiments.engines.base import Cell
from experiments.engines.common import taking_part
from experiments.engines.gpu_checks import gpu_words
from experiments.engines.several import identity_of, obstacle
from experiments.fleet.cluster import LEFT_OUT, Cluster
from experiments.fleet.inventory import read_cluster
from experiments.links import links
from experiments.planning.groups import (
    refuse_too_many_nodes,
    refuse_unknown_groups,
    refuse_unknown_machines,
)
from experiments.planning.identity import canonical, content, digest
from experiments.planning.matrix import Matrix
from experiments.planning.parts import PartOfMatrix

ID_LENGTH = 10
LONGEST_REASON = 4000
"""Characters of a reason that a run keeps."""
SECONDS_ASSUMED = 10.0
"""Guess for a trial of a cell that was never measured."""


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

    def label(self, cell: CellRecord) -> str:
        """A cell in a few words, with the nodes that compute on their GPU."""
        return cell_label(cell.params, gpu_words(self.by_id[cell.cell_id], self.cluster))


def trim(cluster: Cluster, matrix: Matrix) -> Cluster:
    """The nodes that the matrix needs: those that it names, and of each group the first ones.

    Raises:
        HerdError: the inventory has no such group or node, or too few nodes in all groups.
    """
    cells = matrix.cells(cluster)
    refuse_unknown_groups(matrix, cells, cluster)
    refuse_unknown_machines(matrix, cells, cluster)
    refuse_too_many_nodes(cells, cluster)
    return needed(cells, cluster)


def needed(cells: Iterable[Cell], cluster: Cluster) -> Cluster:
    """The nodes that some cell takes, in the cluster's order."""
    places = {(cell.group, cell.nodes, cell.on): cell for cell in cells}
    names = {node.name for cell in places.values() for node in taking_part(cell, cluster)}
    return replace(cluster, nodes=tuple(node for node in cluster.nodes if node.name in names))


def inventory_of(
    matrix: Matrix, project: Path, inventory: str | None, without: Sequence[str] = ()
) -> Cluster:
    """The nodes of the inventory, if the matrix needs any; those to be left out are marked.

    Raises:
        HerdError: the lab is down, or the inventory cannot be read, has fewer nodes than the matrix
            asks for, none of a group that it names, or none of a name to be left out.
    """
    if all(cell.endpoint for cell in matrix.cells()):
        if without:
            raise HerdError(f"--without {','.join(without)}: this matrix needs no nodes.")
        return Cluster(())
    cluster = read_cluster(project, inventory)
    trim(cluster, matrix)
    left = leave_out(cluster, without)
    if without and not those_left(left, matrix).nodes:
        raise HerdError(f"--without {','.join(without)}: that leaves no nodes that it could use.")
    return left


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
        raise HerdError(f"--without {','.join(without)}: that leaves no nodes.")
    nodes = (
        replace(node, away=LEFT_OUT) if node.name in without else node for node in cluster.nodes
    )
    return replace(cluster, nodes=tuple(nodes))


def those_left(cluster: Cluster, matrix: Matrix) -> Cluster:
    """The nodes that a matrix gets: the first ones of those that are not left out."""
    left = tuple(node for node in cluster.nodes if node.away != LEFT_OUT)
    rest = replace(cluster, nodes=left)
    return needed(matrix.cells(rest), rest)


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
    asked = matrix.cells(cluster)
    cluster = needed(asked, cluster)
    cells = {}
    for cell in asked:
        record = _cell_record(cell, cluster)
        cells[record.cell_id] = (record, cell)
    return Plan(
        matrix=matrix,
        cluster=cluster,
        plan_id=plan_id(matrix, cluster),
        cells=tuple(record for record, _ in cells.values()),
        by_id={cell_id: cell for cell_id, (_, cell) in cells.items()},
        trials=order_trials(
            list(cells),
            {cell_id: matrix.repeats_of(cell) for cell_id, (_, cell) in cells.items()},
            matrix.seed,
            in_turn=matrix.in_turn,
        ),
        seconds=seconds_per_trial(results, cells, account) if results else {},
    )


def plan_id(matrix: Matrix, cluster: Cluster) -> str:
    """What the user asked for, on which nodes: the same again continues the run."""
    cells = matrix.cells(cluster)
    names = [node.name for node in needed(cells, cluster).nodes]
    return _id_of(matrix, matrix.chosen_parts, cells, names)


def plan_id_of_run(run: RunManifest) -> str:
    """The plan's id as a run's record gives it: that of its plan, if the record is true.

    A part that has no cell is in the plan's id and not in the record.
    """
    return _id_of(run, run.parts, run.cells, list(run.nodes))


def _id_of(
    asked: Matrix | RunManifest,
    parts: Mapping[str, PartOfMatrix | PartRecord],
    cells: Iterable[Cell | CellRecord],
    nodes: list[str],
) -> str:
    return digest(
        {
            "title": asked.title,
            **_tasks(asked, parts),
            "cells": sorted((canonical(cell.params) for cell in cells), key=digest),
            "seed": asked.seed,
            "nodes": nodes,
        }
    )


def _tasks(
    asked: Matrix | RunManifest, parts: Mapping[str, PartOfMatrix | PartRecord]
) -> dict[str, object]:
    """What is done with a cell, and how often."""
    if asked.workload is not None:
        return {"workload": content(asked.workload), "repeats": asked.repeats}
    return {
        "parts": {
            name: {"workload": content(part.workload), "repeats": part.repeats}
            for name, part in parts.items()
        }
    }


def order_trials(
    cell_ids: Sequence[str],
    repeats: int | Mapping[str, int],
    seed: int,
    *,
    in_turn: bool = False,
) -> tuple[TrialRecord, ...]:
    """Randomised complete blocks: each holds every cell once that has a trial left, shuffled.

    The order depends on the seed and on nothing else; the drift of a day (heat, load) then hits
    all cells alike.

    Args:
        cell_ids: the cells.
        repeats: trials of each cell, or by its id.
        seed: of the shuffle.
        in_turn: only the first block is shuffled, and each has the order of the one before from its
            end. Both trials of a block of two cells then follow the same cell (A B, B A, A B), so
            what a trial leaves to the next one cancels.
    """
    of_cell = dict.fromkeys(cell_ids, repeats) if isinstance(repeats, int) else repeats
    shuffler = random.Random(seed)  # noqa: S311 - an order that can be repeated, not a secret
    trials: list[TrialRecord] = []
    ids: list[str] = []
    for block in range(1, max(of_cell.values(), default=0) + 1):
        left = [cell_id for cell_id in cell_ids if block <= of_cell[cell_id]]
        if in_turn and ids:
            left = [cell_id for cell_id in reversed(ids) if cell_id in left]
        else:
            shuffler.shuffle(left)
        ids = left
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
        cell_ids: the cells.
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
        (
            plan.matrix.repeats_of(plan.by_id[cell_id])
            + warm_ups(plan.by_id[cell_id], plan.matrix.warmup)
        )
        * plan.seconds.get(cell_id, SECONDS_ASSUMED)
        for cell_id in runnable(plan)
    )


def runnable(plan: Plan) -> dict[str, CellRecord]:
    """The cells that can run now, by id."""
    return {
        record.cell_id: record
        for record in plan.cells
        if record.unavailable is None and not plan.waits_for(record)
    }


def warm_ups(cell: Cell, asked_for: int) -> int:
    """Unmeasured trials of a cell before its first: an API has nothing of ours to warm."""
    return asked_for if cell.endpoint is None else 0


def _cell_record(cell: Cell, cluster: Cluster) -> CellRecord:
    engine = ENGINES[cell.engine]
    unavailable = obstacle(engine, cell, cluster) or links.unavailable(cell, cluster)
    identity = dict(identity_of(engine, cell, cluster))
    hashed = {
        "params": canonical(cell.params),
        "workload": content(cell.workload),
        "identity": identity,
        "protocol": PROTOCOL_VERSION,
    }
    return CellRecord(
        cell_id=digest(hashed)[:ID_LENGTH],
        params=dict(cell.params),
        identity=identity,
        nodes=tuple(node.name for node in taking_part(cell, cluster)),
        unavailable=None if unavailable is None else one_line(unavailable, LONGEST_REASON),
    )
