"""Statistics have known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import stats
from analysis.stats import estimate, karp_flatt, paired_ratio, range_coverage

SPEEDS = st.lists(st.floats(0.01, 1e5), min_size=1, max_size=12)


def exact_median_distribution(n: int) -> list[float]:
    """P(bootstrap median of n distinct values = k-th smallest), n odd.

    The median is at most the k-th smallest when at least half of the draws are
    (Efron & Tibshirani 1993, problem 13.4).
    """
    half = (n + 1) // 2

    def at_most(k: int) -> float:
        p = k / n
        return sum(math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(half, n + 1))

    return [at_most(k) - at_most(k - 1) for k in range(1, n + 1)]


@pytest.mark.parametrize("n", [5, 9, 13])
def test_the_interval_of_a_median_is_the_exact_quantile_of_its_bootstrap_distribution(
    n: int,
) -> None:
    cumulative = np.cumsum(exact_median_distribution(n))
    tail = (1 - stats.LEVEL) / 2
    low = int(np.searchsorted(cumulative, tail)) + 1
    high = int(np.searchsorted(cumulative, 1 - tail)) + 1

    found = estimate([float(k) for k in range(1, n + 1)], seed=7)

    assert (found.low, found.high) == (low, high)


def test_the_interval_of_many_values_agrees_with_the_normal_theory_of_medians() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(100.0, 10.0, size=400)
    half_width = 1.96 * math.sqrt(math.pi / 2) * 10.0 / math.sqrt(400)

    found = estimate(list(values), seed=1)

    assert found.high - found.low == pytest.approx(2 * half_width, rel=0.25)


def test_95_percent_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(11)
    hits = 0
    for round_number in range(200):
        found = estimate(list(rng.normal(size=25)), seed=round_number)
        hits += found.low <= 0.0 <= found.high
    assert 0.88 <= hits / 200 <= 1.0


def test_equal_values_have_an_interval_without_width() -> None:
    found = estimate([42.0] * 6, seed=1)
    assert (found.value, found.low, found.high, found.variation) == (42.0, 42.0, 42.0, 0.0)


@pytest.mark.parametrize("values", [[3.0], [3.0, 5.0]])
def test_one_or_two_trials_give_a_point_without_an_interval(values: list[float]) -> None:
    found = estimate(values, seed=1)
    assert found.value == np.median(values)
    assert (found.low, found.high) == (None, None)


def test_no_trials_give_no_estimate() -> None:
    assert estimate([], seed=1) is None


@given(SPEEDS)
def test_an_interval_never_leaves_the_range_of_the_values_and_holds_the_median(
    values: list[float],
) -> None:
    found = estimate(values, seed=3)
    assert found.minimum <= found.value <= found.maximum
    if len(values) >= stats.FEWEST_FOR_INTERVAL:
        assert found.minimum <= found.low <= found.value <= found.high <= found.maximum


def test_the_same_seed_gives_the_same_interval() -> None:
    values = list(np.random.default_rng(2).normal(50, 5, size=9))
    assert estimate(values, seed=4) == estimate(values, seed=4)


def test_a_ratio_is_exact_when_every_block_has_the_same_ratio_however_blocks_differ() -> None:
    base = {block: 10.0 * 3**block for block in range(1, 6)}
    twice = {block: 2 * value for block, value in base.items()}

    found = paired_ratio(twice, base, seed=1)

    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_a_ratio_pairs_by_block_and_leaves_out_blocks_that_only_one_side_has() -> None:
    found = paired_ratio({1: 20.0, 2: 1e9, 3: 40.0}, {1: 10.0, 3: 20.0, 4: 1e-9}, seed=1)
    assert found.values == pytest.approx((2.0, 2.0))


def test_without_a_shared_block_a_ratio_of_medians_has_no_interval() -> None:
    found = paired_ratio({1: 30.0}, {2: 10.0, 3: 20.0}, seed=1)
    assert (found.value, found.low) == (2.0, None)


@given(st.lists(st.tuples(st.floats(0.1, 1e4), st.floats(0.1, 1e4)), min_size=3, max_size=9))
def test_a_ratio_turned_round_is_its_inverse(pairs: list[tuple[float, float]]) -> None:
    one = {block: pair[0] for block, pair in enumerate(pairs)}
    other = {block: pair[1] for block, pair in enumerate(pairs)}
    there, back = paired_ratio(one, other, seed=9), paired_ratio(other, one, seed=9)
    assert there.value == pytest.approx(1 / back.value)
    assert there.low == pytest.approx(1 / back.high, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "above", "below"),
    [
        ([1.1, 1.2, 1.15], True, False),
        ([0.9, 1.1, 1.0], False, False),
        ([0.5, 0.4, 0.6], False, True),
        ([2.0, 3.0], False, False),
    ],
)
def test_a_difference_counts_only_when_the_whole_interval_is_on_one_side(
    values: list[float], *, above: bool, below: bool
) -> None:
    found = estimate(values, seed=1)
    assert (found.above_one, found.below_one) == (above, below)


def test_karp_flatt_of_published_figures() -> None:
    # 7B on 2, 4, 8 Raspberry Pi 4B: 1312.50, 793.69, 494.00, 588.19 ms a token.
    speed_ups = {2: 1312.50 / 793.69, 4: 1312.50 / 494.00, 8: 1312.50 / 588.19}
    fractions = [karp_flatt(speed_up, nodes) for nodes, speed_up in speed_ups.items()]
    assert fractions == pytest.approx([0.209, 0.169, 0.369], abs=5e-4)


def test_karp_flatt_recovers_the_serial_fraction_of_amdahl() -> None:
    serial = 0.07
    assert karp_flatt(1 / (serial + (1 - serial) / 8), 8) == pytest.approx(serial)
    assert karp_flatt(1.0, 1) is None


def test_the_range_of_few_trials_covers_less_than_95_percent() -> None:
    assert range_coverage(3) == 0.75
    assert range_coverage(5) < 0.95 < range_coverage(6)
