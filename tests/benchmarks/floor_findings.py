"""How often two identical arms differ by more than the noise floor of a few cells.

    python -m tests.benchmarks.floor_findings [--runs 1000]

Identical arms are drawn, their floor is computed, and one more cell is compared with it.
docs/statistics.md has the table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.statistics.floor import noise_floor
from tests.benchmarks.aa import Draw, own_drift
from tests.benchmarks.false_findings import NOISES, Floats

COMPARISONS = 40_000
"""Identical arms from which the true bound is taken."""
LEVEL = 0.95
OWN_DRIFT, UNEVEN = "own drift, 0.7", "each cell its own"
KINDS: Mapping[str, Draw] = {**NOISES, OWN_DRIFT: own_drift}
HARD = ("normal, 3 %", "two modes", "outliers", UNEVEN, OWN_DRIFT)
PLAN = (
    *((cells, 6, name) for cells in (1, 2, 3, 4, 8) for name in HARD),
    *((4, 6, name) for name in ("lognormal, 0.5", "drift", "whole ms")),
    *((4, 10, name) for name in ("normal, 3 %", "outliers", OWN_DRIFT)),
)


@dataclass(slots=True)
class Found:
    """What floors of so many runs did.

    Attributes:
        floors: each, as a logarithm.
        bound: what 95 % of identical arms stay below, as a logarithm.
        beyond: share of runs in which one more comparison exceeds the floor.
        covered: share of runs whose interval has the bound.
    """

    floors: list[float]
    bound: float
    beyond: float = 0.0
    covered: float = 0.0


def simulate(cells: int, pairs: int, kind: str, runs: int, seed: int = 1) -> Found:
    """Compute the floor of so many cells in each run, and compare one more cell with it."""
    rng = np.random.default_rng(seed)
    means = np.abs(_logs(rng, COMPARISONS, pairs, kind).mean(axis=1))
    found = Found([], float(np.quantile(means, LEVEL)))
    for _ in range(runs):
        logs = _logs(rng, cells + 1, pairs, kind)
        floor = noise_floor(logs[:-1].tolist())
        if floor is None:
            raise ValueError(f"{pairs} pairs are too few for a floor")
        found.floors.append(float(np.log(floor.ratio)))
        found.beyond += bool(abs(logs[-1].mean()) > np.log(floor.ratio)) / runs
        found.covered += bool(np.log(floor.low) <= found.bound <= np.log(floor.high)) / runs
    return found


def _logs(rng: np.random.Generator, cells: int, pairs: int, kind: str) -> Floats:
    """Logarithms of the ratios of two arms, a row a cell; both arms have the cell's own noise."""
    shape = (cells, 2 * pairs) if kind == UNEVEN else (2 * cells, pairs)
    speeds = KINDS[kind](rng, shape).reshape(cells, 2, pairs)
    found: Floats = np.log(speeds[:, 0] / speeds[:, 1])
    return found


def main() -> None:
    """Write the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    _line("cells", "pairs of each", "noise", "floor, median", "true bound", "beyond", "covered")
    _line(*["---"] * 7)
    for cells, pairs, kind in PLAN:
        found = simulate(cells, pairs, kind, runs)
        logs = (float(np.median(found.floors)), found.bound)
        ratios = (_percent(float(np.expm1(log))) for log in logs)
        _line(cells, pairs, kind, *ratios, _percent(found.beyond), _percent(found.covered))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _line(*cells: object) -> None:
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
