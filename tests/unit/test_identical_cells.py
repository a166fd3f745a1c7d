"""A small version of the benchmark of identical cells: at most one report of twenty is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.cells.family import Claim, Family, Pair, Side
from analysis.statistics.alike import flipped_p, neighbours_alike, widening
from analysis.statistics.stats import paired_ratio
from tests.benchmarks.aa import KINDS, OWN_DRIFT, real_trials, simulate

RUNS = 200
MOST = 0.095
"""Of so many runs, a true share of 5 % appears as less in 99.5 % of cases."""


@pytest.mark.parametrize("name", KINDS)
def test_identical_cells_are_called_different_in_at_most_5_percent(name: str) -> None:
    found = simulate(name, 2, 10 if name == "two modes" else 6, RUNS)
    assert found.compared <= MOST * RUNS
    assert found.said <= MOST * RUNS
    assert found.arms <= MOST * RUNS


def test_real_trials_are_those_of_a_real_engine_and_alike() -> None:
    """Neighbours correlate: else they would say nothing that simulated ones do not."""
    for rates in real_trials().values():
        logs = np.log(rates)
        assert len(logs) > 200
        assert float(np.corrcoef(logs[:-1], logs[1:])[0, 1]) > 0.1


def test_what_lasts_in_one_cell_is_noticed_with_many_cells_and_blocks() -> None:
    assert simulate(OWN_DRIFT, 8, 10, 40).compared <= 0.2 * 40


def rows(cells: int, blocks: int, *, lasting: float, seed: int) -> list[dict[int, float]]:
    """Logarithms of ratios of independent cells to a first one."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(cells + 1, blocks))
    for block in range(1, blocks):
        state[:, block] += lasting * state[:, block - 1]
    return [dict(enumerate(row - state[0])) for row in state[1:]]


def test_independent_blocks_are_rarely_called_alike_and_lasting_ones_often() -> None:
    free = [neighbours_alike(rows(3, 10, lasting=0.0, seed=seed)) for seed in range(200)]
    held = [neighbours_alike(rows(7, 10, lasting=0.8, seed=seed)) for seed in range(50)]
    assert sum(map(bool, free)) <= 0.06 * 200
    assert sum(map(bool, held)) >= 0.7 * 50


def test_a_trend_of_one_cell_widens_the_error_and_the_reason_is_given() -> None:
    def pair(name: str, ratios: list[float]) -> Pair:
        found = paired_ratio(dict(enumerate(ratios)), dict.fromkeys(range(len(ratios)), 1.0))
        return Pair("tokens/s", Side(name, name), Side("base", "base"), len(ratios), found)

    drifting = [1.0 + 0.02 * block for block in range(8)]
    (row,) = Family([pair("a", drifting)]).rows
    assert row.finding is Claim.UNKNOWN
    assert "neighbouring blocks are alike" in row.why
    (large,) = Family([pair("a", [30 * ratio for ratio in drifting])]).rows
    assert large.finding is Claim.FASTER


def test_a_wider_error_follows_from_the_correlation() -> None:
    assert widening(0.0, 10) == 1.0
    assert widening(0.5, 10) < widening(0.7, 10)


def test_random_signs_are_counted_exactly() -> None:
    assert flipped_p([1.0] * 8) == pytest.approx(2 / 2**8)
    assert flipped_p([1.0] * 7 + [-1.0]) == pytest.approx(2 * (1 + 8) / 2**8)
    assert flipped_p([1.0] * 6) is None
    assert flipped_p([1.0] * 13) is None
    assert math.isclose(flipped_p([0.1, -0.1] * 4) or 0, 1.0)
