"""The statistics of two runs, on runs of known truth: few false claims, differences are found."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.statistics.two_runs import (
    Mean,
    assumed,
    between_runs,
    mean_of,
    over_questions,
    two_means,
)
from tests.benchmarks.two_runs_findings import Setting, simulate


def logs(seed: int, n: int = 8, spread: float = 0.02, level: float = 0.0) -> dict[int, float]:
    drawn = np.random.default_rng(seed).normal(level, spread, n)
    return {block: float(log) for block, log in enumerate(drawn, start=1)}


def test_without_a_part_between_runs_it_is_the_test_of_welch() -> None:
    one, other = mean_of(logs(1, 6, 0.01)), mean_of(logs(2, 12, 0.05))
    nothing = assumed(1e-12)
    found = two_means(one, other, nothing)
    error = math.hypot(one.error, other.error)
    degrees = error**4 / (one.error**4 / 5 + other.error**4 / 11)
    assert found.error == pytest.approx(error)
    assert found.degrees == math.floor(degrees)
    assert found.log == one.value - other.value
    assert found.n == 6
    turned = two_means(other, one, nothing)
    assert turned.ratio.value == pytest.approx(1 / found.ratio.value)
    assert turned.p_value == found.p_value


def test_what_is_assumed_is_in_the_interval() -> None:
    steady = Mean(0.0, 1e-9, 100, 50)
    ratio = two_means(steady, steady, assumed(0.03)).ratio
    assert ratio.high == pytest.approx(1.03, abs=5e-4)
    assert ratio.low == pytest.approx(1 / 1.03, abs=5e-4)


def test_slower_by_a_share_is_one_sided() -> None:
    nothing = assumed(1e-9)
    slow, usual = Mean(math.log(0.9), 0.01, 50, 20), Mean(0.0, 0.01, 50, 20)
    found = two_means(slow, usual, nothing)
    beyond, just, within = (found.p_slower(share) for share in (0.05, 0.1, 0.2))
    assert beyond is not None
    assert within is not None
    assert beyond < 0.001
    assert just == pytest.approx(0.5)
    assert within > 0.99
    few = two_means(Mean(-1.0, 0.01, 4, 5), usual, nothing)
    assert few.p_value is None
    assert few.p_slower(0.05) is None
    assert few.ratio.low is None


def test_runs_of_the_same_show_how_far_they_differ() -> None:
    def group(level: float, runs: int) -> list[dict[str, Mean]]:
        drawn = np.random.default_rng(5)
        levels = level * drawn.normal(size=runs)
        return [
            {str(cell): mean_of(logs(100 * run + cell, level=one)) for cell in range(6)}
            for run, one in enumerate(levels)
        ]

    assert between_runs([]) == assumed()
    assert between_runs([group(0.03, 1)]) == assumed()
    few = between_runs([group(0.001, 3)])
    assert (few.is_assumed, few.runs, few.spread) == (True, 3, assumed().spread)
    many = between_runs([group(0.03, 40)])
    assert (many.is_assumed, many.runs) == (False, 40)
    assert many.spread == pytest.approx(0.03 * math.sqrt(2), rel=0.3)
    assert 0.06 < many.bound < 0.13
    quiet = between_runs([group(0.0, 40)])
    assert quiet.spread < 0.008
    assert quiet.bound < 0.035
    both = between_runs([group(0.03, 3), group(0.03, 3)])
    assert (both.runs, both.is_assumed) == (6, False)


def test_answers_are_paired_by_question() -> None:
    usual = {f"q{n}": float(np.log(100 + 10 * n)) for n in range(40)}
    slower = {name: log + 0.2 + 0.01 * (n % 3) for n, (name, log) in enumerate(usual.items())}
    found = over_questions(slower, usual, assumed(), 30)
    assert found is not None
    assert found.is_tried
    assert found.ratio.low is not None
    assert found.ratio.low > 1.15
    assert over_questions(usual, {"x": 1.0}, assumed(), 30) is None
    few = over_questions(dict(list(slower.items())[:10]), usual, assumed(), 30)
    assert few is not None
    assert not few.is_tried


@pytest.mark.parametrize(
    "setting",
    [
        Setting(level=0.01),
        Setting("two modes"),
        Setting("outliers", trials=10),
        Setting(level=0.03, earlier=5),
        Setting(level=0.05, cells=6, unchanged=2),
        Setting("real trials", earlier=5),
    ],
)
def test_runs_that_do_not_differ_are_rarely_said_to(setting: Setting) -> None:
    """With 200 comparisons, a true share of 5 % is below 9 % in 99 of 100 cases."""
    found = simulate(setting, 200)
    assert found.any <= 18
    assert found.failed <= 10


def test_a_larger_drift_than_assumed_is_not_covered() -> None:
    assert simulate(Setting(level=0.05), 100).any > 30


@pytest.mark.parametrize(("gain", "least"), [(0.9, 0.9), (1.25, 0.99)])
def test_a_difference_is_found_and_never_the_wrong_way_round(gain: float, least: float) -> None:
    found = simulate(Setting(gain=gain, level=0.005), 100)
    assert found.share / found.runs >= least
    assert found.wrong == 0
    assert (found.failed > 50) == (gain < 1)
