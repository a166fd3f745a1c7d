"""What a report of many attempts, or of many cells, takes."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.bars import PROJECT, Cost, Measured, Row, against, run
from tests.benchmarks.starting import fab_in
from tests.doubles.run_folder import make_run

PLAIN = PROJECT / "tests" / "benchmarks" / "plain_report.py"
CELLS = {"nodes": tuple(range(1, 64)), "weights": ("f32", "f16", "q8_0", "q4_0")}


def attempts_10000(folder: Path) -> Callable[[], Cost]:
    """A run of two engines on four node counts, and what makes its report."""
    make_run(folder / "results", repeats=1250)
    fab = fab_in(folder)
    return lambda: run([*fab, "report"], folder, PYTHONPATH=str(PROJECT))


def report_time(folder: Path) -> Measured:
    """CPU of the report of 10,000 attempts against that of the plain script."""
    report = attempts_10000(folder)
    run_folder = next((folder / "results").iterdir())
    numbers = itertools.count()
    return against(
        lambda: report().cpu_s,
        lambda: run([sys.executable, PLAIN, run_folder, folder / f"plain{next(numbers)}"]).cpu_s,
        "s CPU",
        rounds=1,
        warm_up=False,
    )


def report_memory(folder: Path) -> Measured:
    """The most memory that the report of 10,000 attempts holds."""
    return Measured.plain(attempts_10000(folder)().peak_mib, "MiB")


def report_of_cells(folder: Path) -> Measured:
    """CPU of a report of 504 cells."""
    make_run(folder / "results", repeats=1, unavailable={}, failed=(), retried=(), **CELLS)
    fab = fab_in(folder)
    return Measured.plain(run([*fab, "report"], folder, PYTHONPATH=str(PROJECT)).cpu_s, "s CPU")


ROWS = (
    Row("report-10000", "report of 10,000 attempts", "pandas and matplotlib", 1.5, report_time),
    Row("report-memory", "report of 10,000 attempts, memory", "a limit", 500, report_memory),
    Row("report-cells", "report of 504 cells", "a limit", 15, report_of_cells),
)
