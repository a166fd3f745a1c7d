"""A plan as `fab plan --json` prints it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping

from collect.cells import CellRecord
from collect.workloads import Benchmark
from core.json_answer import JsonAnswer, JsonPart
from core.record import Scalar
from experiments.planning.money import left_of, unpriced
from experiments.planning.plan import Plan, estimate_s, runnable
from experiments.planning.precision import LEAST_PILOT, MOST_REPEATS, Pilot, repeats_for


class PlannedNode(JsonPart):
    """A node.

    Attributes:
        away: why it takes no part now, one sentence; null if it does.
    """

    name: str
    away: str | None


class PlannedCell(JsonPart):
    """A cell.

    Attributes:
        cell: in words.
        params: axis to value.
        nodes: on which it runs, the root first; none of an API.
        repeats: its trials.
        cannot_run: why it cannot run here, one sentence; null if it can.
        waits_for: nodes that are away and keep it waiting.
        trial_s: what a trial of it took so far, in seconds, median of all runs; null if none was
            ever done.
    """

    cell_id: str
    cell: str
    params: dict[str, Scalar]
    nodes: tuple[str, ...]
    repeats: int
    cannot_run: str | None
    waits_for: tuple[str, ...]
    trial_s: float | None


class PlannedTrial(JsonPart):
    """A trial, in the order of measuring."""

    order: int
    block: int
    cell_id: str
    repeat: int


class Cost(JsonPart):
    """What asking an API can cost at most.

    Attributes:
        answers: how many are asked for.
        at_most: in the currency; null where the system has no price.
        currency: ISO 4217; null where the system has no price.
    """

    system: str
    answers: int
    at_most: float | None
    currency: str | None


class Repeats(JsonPart):
    """How many repeats of a cell reach the precision that `--precision` asks for.

    Attributes:
        repeats: trials of the cell; null if it has no pilot, no speed, or needs more than
            `most_repeats`.
        most_repeats: more are not looked for.
        pilot: run whose trials show how they vary; null if there is none.
        pilot_trials: how many these are.
        spread: standard deviation of the logarithms of their tokens/s; null with fewer than three.
    """

    cell_id: str
    repeats: int | None
    most_repeats: int = MOST_REPEATS
    pilot: str | None
    pilot_trials: int
    spread: float | None


class PlanAnswer(JsonAnswer):
    """What a matrix comes to on the nodes of the inventory.

    Attributes:
        plan_id: the same matrix on the same nodes has the same one.
        seed: of the order of trials.
        cells: all, also those that cannot run.
        trials: of cells that can run, or wait.
        estimated_s: time for all that can run now, in seconds.
        guessed_cells: cells among these that were never measured, so that their time is a guess.
        costs: what asking APIs costs; none where no system costs money.
        precision: half width of the interval that `--precision` asks for, as a share; null
            without the flag.
        repeats: what each cell takes for that precision; none without the flag.
    """

    title: str
    plan_id: str
    seed: int
    nodes: tuple[PlannedNode, ...]
    cells: tuple[PlannedCell, ...]
    trials: tuple[PlannedTrial, ...]
    estimated_s: float
    guessed_cells: int
    costs: tuple[Cost, ...]
    precision: float | None
    repeats: tuple[Repeats, ...]


def plan_answer(
    plan: Plan, precision: float | None = None, pilots: Mapping[str, Pilot] | None = None
) -> PlanAnswer:
    """Answer for a plan.

    Args:
        plan: with its nodes, as they are now.
        precision: wanted half width as a share; None where it was not asked for.
        pilots: of cells, by id.
    """
    possible = {cell.cell_id for cell in plan.cells if cell.unavailable is None}
    asked = plan.cells if precision is not None else ()
    return PlanAnswer(
        title=plan.matrix.title,
        plan_id=plan.plan_id,
        seed=plan.matrix.seed,
        nodes=tuple(PlannedNode(name=one.name, away=one.away) for one in plan.cluster.nodes),
        cells=tuple(_cell(plan, cell) for cell in plan.cells),
        trials=tuple(
            PlannedTrial.model_validate(trial, from_attributes=True)
            for trial in plan.trials
            if trial.cell_id in possible
        ),
        estimated_s=estimate_s(plan),
        guessed_cells=len(runnable(plan).keys() - plan.seconds.keys()),
        costs=tuple(_costs(plan, possible)),
        precision=precision,
        repeats=tuple(_repeats(plan, cell, precision, pilots or {}) for cell in asked),
    )


def _cell(plan: Plan, cell: CellRecord) -> PlannedCell:
    return PlannedCell(
        cell_id=cell.cell_id,
        cell=plan.label(cell),
        params=cell.params,
        nodes=cell.nodes,
        repeats=plan.matrix.repeats_of(plan.by_id[cell.cell_id]),
        cannot_run=cell.unavailable,
        waits_for=plan.waits_for(cell),
        trial_s=plan.seconds.get(cell.cell_id),
    )


def _costs(plan: Plan, possible: set[str]) -> Iterator[Cost]:
    trials = Counter(trial.cell_id for trial in plan.trials if trial.cell_id in possible)
    for most, count in left_of(plan.by_id, trials):
        yield Cost(
            system=most.system,
            answers=count * most.answers,
            at_most=count * most.most_cost,
            currency=most.price.currency,
        )
    for name in unpriced(plan.by_id[cell_id] for cell_id in possible):
        yield Cost(
            system=name, answers=_answers_of(plan, name, trials), at_most=None, currency=None
        )


def _answers_of(plan: Plan, system: str, trials: Counter[str]) -> int:
    """How many answers are asked of a system."""
    own = [one for one in trials if plan.by_id[one].params.get("system") == system]
    return sum(trials[one] * len(getattr(plan.by_id[one].workload, "asked", ())) for one in own)


def _repeats(
    plan: Plan, cell: CellRecord, precision: float | None, pilots: Mapping[str, Pilot]
) -> Repeats:
    is_benchmark = isinstance(plan.by_id[cell.cell_id].workload, Benchmark)
    pilot = pilots.get(cell.cell_id) if is_benchmark else None
    rates = pilot.rates if pilot else ()
    is_enough = len(rates) >= LEAST_PILOT
    return Repeats(
        cell_id=cell.cell_id,
        repeats=repeats_for(rates, precision or math.inf) if is_enough else None,
        pilot=pilot.run if pilot else None,
        pilot_trials=len(rates),
        spread=pilot.spread if pilot and is_enough else None,
    )
