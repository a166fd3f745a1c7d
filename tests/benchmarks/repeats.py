"""How often the repeats that a pilot gives reach a precision, and what stopping early does.

    python -m tests.benchmarks.repeats [--runs 400]

Trials of known truth go through the same functions as `fab plan --precision` and
`fab run-matrix --until`. docs/statistics.md has the tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from analysis.cells.family import Claim, Family, Pair, Side
from analysis.statistics.stats import estimate, paired_ratio
from core.median import half_width
from experiments.planning.precision import MOST_REPEATS, repeats_for
from experiments.sessions.until import is_narrow
from tests.benchmarks.false_findings import outliers
from tests.benchmarks.table import print_head, print_row

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]


def spread(deviation: float) -> Draw:
    """Normal logarithms."""
    return lambda rng, n: np.exp(deviation * rng.normal(size=n))


def two_near(rng: np.random.Generator, n: int) -> Floats:
    """A third of the trials is a twentieth slower."""
    return np.where(rng.random(n) < 1 / 3, 0.95, 1.0) * np.exp(0.01 * rng.normal(size=n))


KINDS: Mapping[str, tuple[Draw, float]] = {
    "normal, 4 %": (spread(0.04), 0.03),
    "normal, 8 %": (spread(0.08), 0.05),
    "lognormal, 0.3": (spread(0.3), 0.15),
    "outliers": (lambda rng, n: outliers(rng, (n,)), 0.03),
    "two modes, a third": (two_near, 0.02),
}
"""Kind of trials to what draws them, and the precision that is wanted."""
PILOTS = (4, 6, 10)
CEILING = 60
FOUND = (Claim.FASTER, Claim.SLOWER)


def reached(name: str, pilot: int, runs: int, seed: int = 1) -> tuple[float, float]:
    """The share of runs that reach the precision with as many repeats as their pilot gives.

    Returns:
        That share, and the median number of repeats.
    """
    draw, wanted = KINDS[name]
    rng = np.random.default_rng(seed)
    good, numbers = 0, []
    for _ in range(runs):
        number = repeats_for(draw(rng, pilot).tolist(), wanted) or MOST_REPEATS
        width = half_width(draw(rng, number).tolist())
        good += width is not None and width <= wanted
        numbers.append(number)
    return good / runs, float(np.median(numbers))


def stopped(cells: Sequence[Sequence[float]], wanted: float) -> int:
    """After how many trials all of these cells stop."""
    for n in range(6, CEILING):
        if all(is_narrow(values[:n], wanted) for values in cells):
            return n
    return CEILING


def covered(name: str, runs: int, seed: int = 1) -> tuple[float, float]:
    """The share of intervals that hold the truth after stopping, and the median of trials."""
    draw, wanted = KINDS[name]
    rng, truth = np.random.default_rng(seed), _truth(name)
    good, numbers = 0, []
    for _ in range(runs):
        values = draw(rng, CEILING).tolist()
        numbers.append(stopped([values], wanted))
        found = estimate(values[: numbers[-1]], of_rates=True)
        good += bool(found and found.low and found.high and found.low <= truth <= found.high)
    return good / runs, float(np.median(numbers))


@cache
def _truth(name: str) -> float:
    return float(np.median(KINDS[name][0](np.random.default_rng(0), 1_000_001)))


def false_findings(name: str, cells: int, runs: int, *, together: bool, seed: int = 1) -> float:
    """The share of runs of equal cells that call two of them different after stopping.

    Args:
        name: of the kind.
        cells: how many are compared.
        runs: to simulate.
        together: none stops before all are narrow, as in the real runner.
        seed: of the trials.
    """
    draw, wanted = KINDS[name]
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(runs):
        speeds = [draw(rng, CEILING).tolist() for _ in range(cells)]
        numbers = [stopped([values], wanted) for values in speeds]
        if together:
            numbers = [stopped(speeds, wanted)] * cells
        made = [dict(enumerate(v[:n])) for v, n in zip(speeds, numbers, strict=True)]
        found += any(row.finding in FOUND for row in Family(_pairs(made)).rows)
    return found / runs


def _pairs(cells: Sequence[dict[int, float]]) -> list[Pair]:
    pairs = []
    for index, one in enumerate(cells):
        for other in range(index):
            ratio = paired_ratio(one, cells[other])
            sides = Side(str(index), ""), Side(str(other), "")
            pairs.append(
                Pair("tokens/s", *sides, len(ratio.blocks) if ratio else 0, ratio, is_stopped=True)
            )
    return pairs


def main() -> None:
    """Write the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="of each row")
    runs = parser.parse_args().runs
    print_head("trials", "precision", "pilot", "repeats, median", "reached")
    for name, (_, wanted) in KINDS.items():
        for pilot in PILOTS:
            share, number = reached(name, pilot, runs)
            print_row(name, f"{100 * wanted:g} %", pilot, f"{number:g}", f"{100 * share:.0f} %")
    print_head(
        "trials", "until", "trials, median", "covered",
        "false, 2 cells", "false, 4 cells", "false, 2 cells, each by itself",
    )  # fmt: skip
    for name, (_, wanted) in KINDS.items():
        share, number = covered(name, runs)
        false = [false_findings(name, cells, runs, together=True) for cells in (2, 4)]
        false.append(false_findings(name, 2, runs, together=False))
        told = (f"{100 * one:.1f} %" for one in false)
        print_row(name, f"{100 * wanted:g} %", f"{number:g}", f"{100 * share:.1f} %", *told)


if __name__ == "__main__":
    main()
