"""A rung as an ordinary run: the matrix that it is, and what its run came to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pandas as pd

from collect.account import Account, TrialState
from collect.cells import CellRecord
from collect.search import SPEEDS, Arm, Confirmation, Setting
from collect.tables import tables_of
from experiments.planning.matrix import Matrix
from experiments.tune.halving import Outcome
from experiments.tune.record import TuningRecord, UnfinishedError
from experiments.tune.settings import SettingsMatrix, default_cell, key_of

CONFIRMATION = 0
"""Number of the confirmation among the rungs, for its seed."""
MATRIX_FIELDS = (
    "workload", "axes", "max_attempts", "equivalence_margin", "deadline_s", "constraints",
    "systems_file", "file", "flags",
)  # fmt: skip
"""What a rung has from the matrix of the default cell: not how often it measures."""


class MeasuredRun(Protocol):
    """How a run ended, as `experiments.runner` says it."""

    @property
    def folder(self) -> Path:
        """The run's folder."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Trials by state."""

    @property
    def interrupted(self) -> bool:
        """The user pressed Ctrl-C."""

    @property
    def notes(self) -> Sequence[str]:
        """What is left and why, a sentence each."""


Run = Callable[[Matrix], MeasuredRun]
"""Begins or continues the run of a matrix."""


def matrix_of(
    base: Matrix,
    settings: Sequence[Setting],
    *,
    title: str,
    repeats: int,
    seed: int,
    warmup: int = 0,
) -> SettingsMatrix:
    """The matrix of some settings."""
    fields = {name: getattr(base, name) for name in MATRIX_FIELDS}
    changed = {"title": title, "repeats": repeats, "seed": seed, "warmup": warmup}
    return SettingsMatrix(**{**fields, **changed, "settings": tuple(map(dict, settings))})


def title_of(base: Matrix, which: str) -> str:
    """Name a rung's run for its report."""
    cell = default_cell(base)
    nodes = "1 node" if cell.nodes == 1 else f"{cell.nodes} nodes"
    return f"Tuning {cell.engine}, {cell.model} on {nodes}: {which}"


def measure_rung(
    base: Matrix, record: TuningRecord, run: Run, number: int, chosen: Sequence[int], trials: int
) -> Outcome:
    """Measure a rung, or what is left of it.

    Raises:
        UnfinishedError: trials are left.
        HerdError: its run cannot begin or continue.
    """
    settings = [record.settings[index] for index in chosen]
    seed = record.seed(number)
    title = title_of(base, f"rung {number}")
    matrix = matrix_of(base, settings, title=title, repeats=trials, seed=seed)
    account = measure_whole(matrix, run, f"rung {number}")
    index_of = {
        key_of(cell.params): index for cell, index in zip(matrix.cells(), chosen, strict=True)
    }
    cells = {cell.cell_id: index_of[key_of(cell.params)] for cell in account.manifest.cells}
    return _outcome(account, cells, number, record.speed)


def measure_pairs(base: Matrix, record: TuningRecord, run: Run, best: Setting) -> Confirmation:
    """Measure the best setting and the default in turn, or what is left of that.

    Raises:
        UnfinishedError: trials are left.
        HerdError: the run cannot begin or continue.
    """
    title = title_of(base, "confirmation")
    matrix = matrix_of(
        base,
        [best, record.settings[0]],
        title=title,
        repeats=record.pairs,
        seed=record.seed(CONFIRMATION),
        warmup=max(1, base.warmup),
    )
    account = measure_whole(matrix, run, "the confirmation")
    cells = {key_of(cell.params): cell for cell in account.manifest.cells}
    frame = tables_of(account).trials
    ours, default = (_arm(cells[key_of(cell.params)], account, frame) for cell in matrix.cells())
    return Confirmation(account.manifest.run, record.pairs, ours, default)


def measure_whole(matrix: Matrix, run: Run, what: str) -> Account:
    """Measure a matrix, or what is left of it.

    Raises:
        UnfinishedError: trials are left.
        HerdError: its run cannot begin or continue.
    """
    result = run(matrix)
    if result.interrupted or result.counts["pending"]:
        pending = result.counts["pending"]
        notes = "".join(f"\n{note}" for note in result.notes)
        raise UnfinishedError(
            f"{what.capitalize()} has {pending} trials left, run {result.folder.name}. Repeat the "
            f"command to continue.{notes}",
            130 if result.interrupted else 1,
        )
    return Account.read(result.folder)


def _outcome(account: Account, cells: Mapping[str, int], number: int, speed: str) -> Outcome:
    frame = tables_of(account).trials
    speeds: dict[int, dict[tuple[int, int], float]] = {index: {} for index in cells.values()}
    for cell_id, block, value in _speeds(frame, speed):
        speeds[cells[cell_id]][number, block] = value
    by_cell: dict[int, list[TrialState]] = {index: [] for index in cells.values()}
    for trial in account.trials:
        by_cell[cells[trial.cell.cell_id]].append(trial)
    causes = {index: last for index, t in by_cell.items() if (last := _last_cause(t)) is not None}
    walls = {index: _walls(trials) for index, trials in by_cell.items()}
    return Outcome(
        run=account.manifest.run,
        speeds=speeds,
        crashes={index: _crashes(trials) for index, trials in by_cell.items()},
        failed={
            index: f"{sum(t.state != 'done' for t in trials)} of {len(trials)} trials failed: "
            f"{next(str(t.reason) for t in trials if t.state != 'done')}"
            for index, trials in by_cell.items()
            if any(t.state != "done" for t in trials)
        },
        causes=causes,
        wall_s={index: statistics.median(found) for index, found in walls.items() if found},
        spent_s=sum(sum(found) for found in walls.values()),
        cells={index: cell_id for cell_id, index in cells.items()},
    )


def _arm(cell: CellRecord, account: Account, frame: pd.DataFrame) -> Arm:
    trials = [one for one in account.trials if one.cell.cell_id == cell.cell_id]
    speeds = {
        kind: {block: v for cell_id, block, v in _speeds(frame, kind) if cell_id == cell.cell_id}
        for kind in SPEEDS
    }
    return Arm(
        cell_id=cell.cell_id,
        params=cell.params,
        speeds=speeds,
        done=sum(one.state == "done" for one in trials),
        crashes=_crashes(trials),
        cause=_last_cause(trials),
    )


def _speeds(frame: pd.DataFrame, kind: str) -> Iterator[tuple[str, int, float]]:
    """Cell, block and speed of each trial that has one: of answers, per second."""
    parts = {"decode": ("decode_ms",), "prefill": ("prompt_ms",)}.get(
        kind, ("prompt_ms", "decode_ms")
    )
    done = frame[frame["state"] == "done"].dropna(subset=list(parts))
    total_ms = done[list(parts)].sum(axis=1)
    for cell_id, block, value in zip(done["cell_id"], done["block"], total_ms, strict=True):
        if value > 0:
            yield str(cell_id), int(block), 1000.0 / float(value)


def _attempts(trials: Sequence[TrialState]) -> Iterator[str | None]:
    """Why each attempt that failed did."""
    for trial in trials:
        for attempt in trial.attempts:
            if attempt.record is None or attempt.record.outcome == "failed":
                yield attempt.reason


def _crashes(trials: Sequence[TrialState]) -> int:
    return sum(1 for _ in _attempts(trials))


def _last_cause(trials: Sequence[TrialState]) -> str | None:
    causes = [cause for cause in _attempts(trials) if cause]
    return causes[-1] if causes else None


def _walls(trials: Sequence[TrialState]) -> list[float]:
    """What each attempt took, in seconds."""
    attempts = (attempt for trial in trials for attempt in trial.attempts)
    return [one.record.trial_wall_s for one in attempts if one.record is not None]
