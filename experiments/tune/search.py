"""`fab tune`: measures what is left of a search, killed and continued at will, and sums it up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collect.search import Fate, Rung, Setting, TriedSetting, TuningResult
from collect.workloads import Benchmark
from core.errors import HerdError
from experiments.planning.matrix import Matrix
from experiments.tune.halving import Outcome, RungStep, SearchBudget, halve
from experiments.tune.measuring import Run, measure_pairs, measure_rung
from experiments.tune.ranking import gain_over, merged
from experiments.tune.record import TuningRecord
from experiments.tune.settings import default_cell, default_matrix, words_of

Say = Callable[[str], None]


def search(matrix: Matrix, record: TuningRecord, run: Run, say: Say) -> TuningResult:
    """Measure what is left of a search, and sum up what it found.

    Args:
        matrix: with which it was begun.
        record: of the search.
        run: begins or continues the run of a matrix.
        say: gets a line a rung.

    Raises:
        UnfinishedError: trials are left in a rung.
        HerdError: a run cannot begin or continue.
    """
    base = default_matrix(matrix)
    cells: dict[int, str] = {}

    def measure(number: int, chosen: tuple[int, ...], trials: int) -> Outcome:
        say(f"Rung {number}: {len(chosen)} settings, {trials} trials each.")
        outcome = measure_rung(base, record, run, number, chosen, trials)
        _require_same(cells, outcome, record.name)
        return outcome

    budget = SearchBudget(record.search, record.in_seconds)
    steps = halve(
        len(record.settings), budget, measure, lambda step: say(rung_line(step, record.settings))
    )
    best = next(iter(steps[-1].kept), None)
    default = None if record.default_fails is not None else 0
    failed = {index: cause for step in steps for index, cause in step.failed.items()}
    default_fails = record.default_fails or (None if default is None else failed.get(default))
    confirmation = None
    if best is not None and best != default and default_fails is None:
        say(f"Confirmation: {words_of(record.settings[best])} and the default, in turn.")
        confirmation = measure_pairs(base, record, run, record.settings[best])
    workload = base.workload
    assert isinstance(workload, Benchmark)  # noqa: S101 - `base_of` let nothing else pass
    return TuningResult(
        name=record.name,
        speed=record.speed,
        workload=f"read a prompt of {workload.prompt_tokens} tokens, then generate "
        f"{workload.generate_tokens}",
        fixed={k: v for k, v in default_cell(base).params.items() if k not in record.axes},
        axes=record.axes,
        combinations=record.combinations,
        budget=record.budget,
        rungs=tuple(map(_rung, steps)),
        tried=(*_tried(steps, record, default), *_refused(record)),
        confirmation=confirmation,
        default_fails=default_fails,
        trials=sum(len(b) for step in steps for b in step.outcome.speeds.values()),
        seconds=sum(step.outcome.spent_s for step in steps),
        margin=base.equivalence_margin,
    )


def _require_same(cells: dict[int, str], outcome: Outcome, name: str) -> None:
    """See that the settings of a rung are what they were in the rungs before.

    Args:
        cells: setting to the id of its cell so far; those of this rung are added.
        outcome: of the rung.
        name: of the search.

    Raises:
        HerdError: a program or a model was replaced since.
    """
    if any(cells.get(index, cell_id) != cell_id for index, cell_id in outcome.cells.items()):
        raise HerdError(
            f"Continuing the search {name}: programs or models were replaced between its rungs, so "
            f"{outcome.run} cannot be compared with the runs before. Begin another one with --new."
        )
    cells.update(outcome.cells)


def rung_line(step: RungStep, settings: Sequence[Setting]) -> str:
    """A rung's result, for the terminal."""
    if not step.kept:
        return f"Rung {step.number}: all settings failed."
    out = len(step.began) - len(step.kept) - len(step.failed)
    parts = [f"Rung {step.number}: {words_of(settings[step.kept[0]])} leads, {out} left out"]
    if step.undecided:
        why = "the budget pays for no more" if step.is_short_of_budget else "one is chosen"
        parts.append(f"{len(step.undecided)} of these as fast within the noise, because {why}")
    if step.failed:
        parts.append(f"{len(step.failed)} failed")
    return "; ".join(parts) + "."


def _rung(step: RungStep) -> Rung:
    return Rung(
        number=step.number,
        run=step.outcome.run,
        trials=step.trials,
        settings=len(step.began),
        failed=len(step.failed),
        undecided=len(step.undecided),
        kept=len(step.kept),
        is_short_of_budget=step.is_short_of_budget,
    )


def _tried(
    steps: Sequence[RungStep], record: TuningRecord, default: int | None
) -> list[TriedSetting]:
    """Every setting that was measured: the best, then those that stayed longest, then failures."""
    speeds = merged([step.outcome.speeds for step in steps])
    last = {index: step for step in steps for index in step.began}
    best = next(iter(steps[-1].kept), None)
    found = []
    for index, step in last.items():
        fate: Fate = "slower"
        if index == best:
            fate = "best"
        elif index in step.failed:
            fate = "failed"
        elif index in step.undecided:
            fate = "undecided"
        found.append(
            TriedSetting(
                setting=record.settings[index],
                is_default=index == default,
                fate=fate,
                rung=step.number,
                trials=len(speeds.get(index, {})),
                crashes=sum(one.outcome.crashes.get(index, 0) for one in steps),
                cause=step.failed.get(index),
                gain=None if default is None else gain_over(speeds, index, default),
            )
        )
    return sorted(
        found,
        key=lambda one: (one.fate != "best", one.fate == "failed", -one.rung, -(one.gain or 0.0)),
    )


def _refused(record: TuningRecord) -> list[TriedSetting]:
    default = {name: values[0] for name, values in record.axes.items()}
    return [
        TriedSetting(
            one.setting, is_default=one.setting == default, fate="impossible", cause=one.cause
        )
        for one in record.impossible
    ]
