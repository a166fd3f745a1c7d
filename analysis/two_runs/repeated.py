"""Further runs of the same cells: how far runs differ if nothing was changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.cells.cells import CellResult
from analysis.cells.scaling import DECODE, SPEED
from analysis.statistics.two_runs import FEWEST_OF_A_MEAN, Logs, Mean, mean_of
from analysis.two_runs.changes import kinds_of_nodes
from collect.attempt import load_attempt
from collect.cells import CellRecord
from collect.load import load_run
from collect.measurement import Measurement
from collect.parsers.of_attempt import parse_attempt
from collect.run import ATTEMPTS_FOLDER, RunManifest
from core.errors import HerdError
from core.record import own_folder

PROMPT = "tokens/s of the prompt"
SPEEDS: Mapping[str, str] = {SPEED: DECODE, PROMPT: "prompt_tokens_per_s"}
"""Quantity to its column of the trials."""
MOST_RUNS = 12
"""Further runs that are read, the latest ones."""
Means = Mapping[str, Mapping[str, Mean]]
"""Quantity to cell to its mean."""


@dataclass(frozen=True, slots=True)
class RepeatedRuns:
    """Runs of the same, the one that is compared first.

    Attributes:
        names: of the further runs.
        means: of each run, the first included.
    """

    names: tuple[str, ...]
    means: tuple[Means, ...]


def logs_of(cell: CellResult, column: str) -> Logs:
    """Block to the logarithm of a speed."""
    return {block: math.log(value) for block, value in cell.by_block(column).items() if value > 0}


def means_of(cells: Iterable[CellResult]) -> Means:
    """The means of the cells of a run."""
    found: dict[str, dict[str, Mean]] = {what: {} for what in SPEEDS}
    for cell in cells:
        for what, column in SPEEDS.items():
            logs = logs_of(cell, column)
            if len(logs) >= FEWEST_OF_A_MEAN:
                found[what][cell.record.cell_id] = mean_of(logs)
    return found


def repeats_of(
    run: RunManifest, cells: Sequence[CellResult], others: Sequence[Path], without: Iterable[str]
) -> RepeatedRuns:
    """Look for runs in which cells of a run were measured again, with nothing changed.

    Args:
        run: that is compared.
        cells: of it.
        others: folders of other runs; only read, and left out where they cannot be.
        without: names of runs that do not count.
    """
    names, means = [], [means_of(cells)]
    records = {cell.record.cell_id: cell.record for cell in cells if cell.is_measured}
    known = _loaded(others, {run.run, *without}, records)
    latest = sorted(known, key=lambda one: one[1].created_at)[-MOST_RUNS:]
    for folder, other in latest:
        same = _unchanged(run, other, records)
        found = _means_in(folder, other, same)
        if any(found.values()):
            names.append(other.run)
            means.append(found)
    return RepeatedRuns(tuple(names), tuple(means))


def _loaded(
    folders: Iterable[Path], without: set[str], records: Mapping[str, CellRecord]
) -> Iterator[tuple[Path, RunManifest]]:
    seen = set(without)
    for folder in folders:
        if folder.name in seen:
            continue
        try:
            run = load_run(folder)
            own_folder(folder, ATTEMPTS_FOLDER)
        except HerdError:
            continue
        if any(cell.cell_id in records for cell in run.cells):
            seen.add(folder.name)  # a copy in another folder is no further run
            yield folder, run


def _unchanged(run: RunManifest, other: RunManifest, records: Mapping[str, CellRecord]) -> set[str]:
    """Cells of both that ran on the same machines, on which nothing was changed."""
    return {
        cell.cell_id
        for cell in other.cells
        if (own := records.get(cell.cell_id)) and own.nodes == cell.nodes
        and not any(
            kinds_of_nodes(run.nodes.get(name, {}), other.nodes.get(name, {}))
            for name in cell.nodes
        )
    }  # fmt: skip


def _means_in(folder: Path, run: RunManifest, wanted: set[str]) -> Means:
    blocks = {trial.trial_id: trial.block for trial in run.trials}
    found: dict[str, dict[str, dict[int, float]]] = {what: {} for what in SPEEDS}
    attempts = folder / ATTEMPTS_FOLDER
    for path in sorted(attempts.iterdir()) if wanted and attempts.is_dir() else ():
        if path.is_symlink() or path.name.partition("-")[0] not in wanted:
            continue
        try:
            record = load_attempt(path)
            if record.outcome != "done" or record.run != run.run:
                continue
            speeds = _speeds(parse_attempt(path, record))
        except HerdError:
            continue
        if record.trial_id in blocks and record.cell_id in wanted:
            for what, speed in speeds.items():
                own = found[what].setdefault(record.cell_id, {})
                own.setdefault(blocks[record.trial_id], math.log(speed))
    return {
        what: {c: mean_of(logs) for c, logs in own.items() if len(logs) >= FEWEST_OF_A_MEAN}
        for what, own in found.items()
    }


def _speeds(measured: Measurement) -> dict[str, float]:
    phases = ((SPEED, measured.decode), (PROMPT, measured.prefill))
    told = ((what, phase.tokens_per_s) for what, phase in phases if phase is not None)
    return {what: speed for what, speed in told if speed is not None and speed > 0}
