"""What a run was planned with, and the rules that its report goes by, as a file of facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.documents import COUNTS_FROM
from analysis.cells.family import LEVEL
from analysis.cells.prompt_lengths import PER
from analysis.statistics import stats
from analysis.statistics.proportions import FEWEST_TO_NAME
from collect.run import RunManifest
from collect.workloads import PROMPT_AXES, Benchmark, Workload
from core.record import Scalar

COLUMNS = ("fact", "value")
RULES: Mapping[str, float] = {
    "share of an interval": stats.LEVEL,
    "p below which a difference is reported": LEVEL,
    "fewest trials that are compared": stats.FEWEST,
    "fewest questions from which a system is called more accurate": FEWEST_TO_NAME,
    "positions over which a slope is given": PER,
    "bits per byte below which a document counts as unchanged": COUNTS_FROM,
}
"""Numbers of the method that sentences name."""


def plan_frame(run: RunManifest, others: Mapping[str, Scalar]) -> pd.DataFrame:
    """`plan.csv`: a row a fact or rule, numbers as the run has them.

    Args:
        run: the run's plan.
        others: further facts, by name.
    """
    rows = [*_facts(run), *others.items(), *RULES.items()]
    return pd.DataFrame([(name, str(value)) for name, value in rows], columns=list(COLUMNS))


def has_grown(run: RunManifest, cells: Iterable[CellResult]) -> bool:
    """Whether blocks were added until intervals were narrow (`fab run-matrix --until`)."""
    return not run.parts and any(cell.planned > run.repeats for cell in cells)


def _facts(run: RunManifest) -> Iterator[tuple[str, Scalar]]:
    yield "questions", len(run.asked)
    yield "matrix", matrix_name(run.matrix_file)
    yield "plan", run.plan_id
    yield "toolkit", run.toolkit
    yield "repeats", run.repeats
    yield "seed", run.seed
    yield "warm-up trials of each cell", run.warmup
    yield "relative difference that counts as none", run.equivalence_margin
    for workload in run.workloads:
        yield from _workload(workload, run)


def _workload(workload: Workload, run: RunManifest) -> Iterator[tuple[str, Scalar]]:
    for name, value in workload:
        if isinstance(value, tuple):
            yield f"{workload.kind}: {name}", len(value)
        elif isinstance(workload, Benchmark) and name in PROMPT_AXES:
            for tokens in asked_tokens(workload, run, name):
                yield f"{workload.kind}: {name}", tokens
        elif isinstance(value, str | int | float):
            yield f"{workload.kind}: {name}", value


def asked_tokens(workload: Benchmark, run: RunManifest, axis: str) -> list[int]:
    """Return the numbers of tokens of a run's cells, which may have their own, in order."""
    asked = [run.workload_of(cell) for cell in run.cells] or [workload]
    return sorted({int(getattr(one, axis)) for one in asked if isinstance(one, Benchmark)})


def matrix_name(path: str) -> str:
    """The path of a matrix below the project, or its file name when it is elsewhere."""
    parts = Path(path).parts
    return str(Path(*parts[parts.index("experiments") :])) if "experiments" in parts else parts[-1]
