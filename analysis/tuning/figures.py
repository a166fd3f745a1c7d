"""What a run, or a part of it, gave of each cell, as far as before and after needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.answers.asked_pairs import ratings_of
from analysis.answers.comparison import Comparison
from analysis.answers.systems import SystemAnswers
from analysis.cells.cells import CellResult
from analysis.cells.family import Family
from analysis.tuning.arms import Read
from analysis.tuning.changes import PartFigures
from analysis.tuning.pairs import ScoredText
from collect.ratings import RUBRICS
from collect.run import RunManifest
from collect.tables import Tables
from collect.workloads import Benchmark


def figures_of(
    run: RunManifest,
    tables: Tables,
    cells: Sequence[CellResult],
    comparison: Comparison | None,
    family: Family,
) -> PartFigures:
    """Gather what a run, or a part of it, gave of each cell.

    Args:
        run: the run's plan, or that of the part.
        tables: what was measured.
        cells: of the run or part.
        comparison: of its answers; None where nothing was asked.
        family: its comparisons.
    """
    found = comparison
    systems = found.systems if found else ()
    ids = {system.name: system.cell.record.cell_id for system in systems}
    graded = found.graded.grades if found and found.graded else {}
    return PartFigures(
        title="",
        cells=tuple(cells),
        read=hashes_read(tables, "weights_sha256"),
        adapters=hashes_read(tables, "adapter_sha256"),
        documents=documents_scored(cells),
        grades={ids[name]: own for name, own in graded.items()},
        ratings=_ratings(systems, found.rated.scores) if found and found.rated else {},
        family=family,
        is_control=isinstance(run.workload, Benchmark),
    )


def _ratings(
    systems: Sequence[SystemAnswers], scores: pd.DataFrame
) -> dict[str, dict[str, Mapping[str, float]]]:
    """Rubric to cell to question to the mean over raters."""
    ids = {system.name: system.cell.record.cell_id for system in systems}
    by_name = {rubric: ratings_of(systems, scores, rubric) for rubric in RUBRICS}
    return {
        rubric: {ids[name]: own for name, own in found.items()} for rubric, found in by_name.items()
    }


def hashes_read(tables: Tables, column: str) -> Read:
    """Cell to the hashes of what its attempts which count read.

    Args:
        tables: what was measured.
        column: of attempts: hashes of weights or of adapters.
    """
    if column not in tables.attempts:
        return {}
    own = tables.attempts[tables.attempts[column].notna()]
    own = own.merge(tables.trials[["cell_id", "attempt_id"]].dropna(), on="attempt_id")
    groups = own.groupby("cell_id", sort=False)[column]
    return {str(cell_id): frozenset(map(str, hashes)) for cell_id, hashes in groups}


def documents_scored(
    cells: Sequence[CellResult],
) -> dict[str, dict[str, ScoredText]]:
    """Cell to document to what the model made of it; parts of one document count together."""
    found = {}
    for cell in cells:
        if "document_bits" not in cell.done:
            continue
        rows = cell.done.dropna(subset=["document", "document_bits", "document_bytes"])
        sums = rows.groupby("document", sort=False)[["document_bits", "document_bytes"]].sum()
        found[cell.record.cell_id] = {
            str(name): ScoredText(float(bits), int(size))
            for name, bits, size in sums.itertuples(name=None)
        }
    return found
