"""How often a report claims a difference between identical cells.

    python -m tests.benchmarks.aa [--runs 1000]

Runs of identical cells are made: from real trials, whose own autocorrelation is kept, and from
simulated ones. Each goes through what a report goes through. Once its cells are two engines, whose
comparisons and sentences are read; once they are the arms of cells, and the noise section is read.
docs/statistics.md has the table.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analysis.cells.arms import noise_of
from analysis.cells.cells import cell_results
from analysis.cells.family import Claim, Family
from analysis.cells.scaling import scalings_of, speed_pairs
from analysis.cells.series import series_of
from analysis.verdict.verdict import verdict_of
from collect.run import RunManifest
from collect.tables import Tables
from tests.benchmarks.false_findings import CLAIMS, drift, normal, outliers, two_modes
from tests.benchmarks.table import print_head, print_row
from tests.doubles.run_frames import make_frames

Floats = npt.NDArray[np.float64]
Shape = tuple[int, ...]
"""How many identical cells, and blocks."""
Draw = Callable[[np.random.Generator, Shape], Floats]
"""Makes the tokens/s of identical cells, a row a cell, by block."""
REAL = Path(__file__).resolve().parents[1] / "data" / "repeats" / "trials.csv"
FOUND = (Claim.FASTER, Claim.SLOWER)
BLOCKS = (6, 10)
DAY, SLOWDOWN = 0.15, 0.7
"""How much slower a run ends than it began; the speed of a node that is throttled."""
ALIKE = 0.7


def over_a_day(rng: np.random.Generator, shape: Shape) -> Floats:
    """All cells become slower from the first trial to the last, in the order of measuring."""
    slower = 1 - np.linspace(0, DAY, math.prod(shape))
    return _in_order(slower, shape, rng) * normal(0.03)(rng, shape)


def throttled(rng: np.random.Generator, shape: Shape) -> Floats:
    """From some trial on, in the middle half, a node is throttled, and all are slower."""
    trials = math.prod(shape)
    begin = rng.integers(trials // 4, trials - trials // 4)
    speeds = np.where(np.arange(trials) < begin, 1.0, SLOWDOWN)
    return _in_order(speeds, shape, rng) * normal(0.03)(rng, shape)


def own_drift(rng: np.random.Generator, shape: Shape) -> Floats:
    """Each cell drifts by itself (autocorrelation 0.7): nothing that blocks could cancel."""
    state = rng.normal(size=shape)
    for block in range(1, shape[-1]):
        state[:, block] = ALIKE * state[:, block - 1] + np.sqrt(1 - ALIKE**2) * state[:, block]
    return np.exp(0.03 * state)


def resampled(nodes: int) -> Draw:
    """Real trials in their order, from any moment on: two after each other are a block."""

    def draw(rng: np.random.Generator, shape: Shape) -> Floats:
        trials, wanted = real_trials()[nodes], math.prod(shape)
        begin = rng.integers(len(trials) - wanted + 1)
        return _in_order(trials[begin : begin + wanted], shape, rng)

    return draw


def _in_order(speeds: Floats, shape: Shape, rng: np.random.Generator) -> Floats:
    """Speeds in the order of measuring as cells by blocks, shuffled within each block."""
    return rng.permuted(speeds.reshape(-1, shape[0]), axis=1).T


@cache
def real_trials() -> Mapping[int, Floats]:
    """Number of nodes to the tokens/s of its trials, in the order in which they were measured."""
    found: dict[int, list[float]] = {}
    with REAL.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(int(row["nodes"]), []).append(float(row["tokens_per_s"]))
    return {nodes: np.array(speeds) for nodes, speeds in found.items()}


KINDS: Mapping[str, Draw] = {
    "real, one node": resampled(1),
    "real, two nodes": resampled(2),
    "normal, 3 %": normal(0.03),
    "drift over the day": over_a_day,
    "drift from block to block": drift,
    "a node throttles half-way": throttled,
    "two modes": two_modes,
    "outliers": outliers,
}
OWN_DRIFT = "own drift of each cell"
"""It breaks the assumption of blocks, and is seen the sooner the more cells and blocks there are:
so it is tried with several."""
PLAN = (
    *((name, 2, blocks) for name in KINDS for blocks in BLOCKS),
    *((OWN_DRIFT, cells, blocks) for cells in (2, 4, 8) for blocks in (6, 10, 20)),
)


@dataclass(slots=True)
class Counts:
    """Of so many comparisons of identical arms, those that speak of a difference.

    Attributes:
        compared: in `comparisons.csv`.
        said: in a sentence.
        arms: in the section on noise.
    """

    runs: int
    compared: int = 0
    said: int = 0
    arms: int = 0


def simulate(name: str, cells: int, blocks: int, runs: int, seed: int = 1) -> Counts:
    """Make so many runs of identical cells, an even number, and count what their reports say."""
    rng = np.random.default_rng(seed)
    draw = KINDS.get(name, own_drift)
    counts = Counts(runs)
    for _ in range(runs):
        speeds = 100 * draw(rng, (cells, blocks))
        is_found, is_said = _of_engines(speeds)
        counts.compared += is_found
        counts.said += is_said
        noise = noise_of(*_frames(speeds, "arm", ("a", "b")))
        counts.arms += bool(noise and noise.broken)
    return counts


def _of_engines(speeds: Floats) -> tuple[bool, bool]:
    """Whether a comparison of engines found a difference, and whether a sentence says so."""
    run, tables = _frames(speeds, "engine", ("distributed-llama", "llama.cpp"))
    all_series = series_of(cell_results(run, tables.trials))
    family = Family(speed_pairs(all_series))
    scalings = scalings_of(all_series, family)
    verdict = verdict_of(all_series, scalings, {}, is_lab=False, family=family)
    is_said = bool(CLAIMS.search(" ".join((verdict.spoken, *verdict.details))))
    return any(row.finding in FOUND for row in family.rows), is_said


def _frames(speeds: Floats, axis: str, names: tuple[str, str]) -> tuple[RunManifest, Tables]:
    """Rows as pairs of an axis, each pair on one node more."""
    run, tables = _empty(speeds.shape, axis, names)
    told = {"decode_tokens_per_s": speeds.ravel(), "decode_ms_per_token": 1000 / speeds.ravel()}
    return run, replace(tables, trials=tables.trials.assign(**told))


@cache
def _empty(shape: Shape, axis: str, names: tuple[str, str]) -> tuple[RunManifest, Tables]:
    cells, blocks = shape
    outcomes = {(names[index % 2], index // 2 + 1): [1.0] * blocks for index in range(cells)}
    return make_frames(outcomes, axes=(axis, "nodes"))


def main() -> None:
    """Write the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="comparisons of each kind")
    runs = parser.parse_args().runs
    print_head("trials", "cells", "blocks", "runs", "comparison", "sentence", "noise section")
    for name, cells, blocks in PLAN:
        found = simulate(name, cells, blocks, runs)
        shares = (f"{100 * n / runs:.1f} %" for n in (found.compared, found.said, found.arms))
        print_row(name, cells, blocks, runs, *shares)


if __name__ == "__main__":
    main()
