"""Statistics have known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics import stats
from analysis.statistics.stats import (
    estimate,
    karp_flatt,
    mean,
    paired_ratio,
    range_coverage,
)
from core.median import interval_rank
from core.student import quantile, two_sided_p

SPEEDS = st.lists(st.floats(0.01, 1e5), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("t", "degrees", "p"),
    [
        # Fisher & Yates, "Statistical Tables", table III.
        (12.706, 1, 0.05), (4.303, 2, 0.05), (2.571, 5, 0.05), (4.032, 5, 0.01),
        (6.869, 5, 0.001), (2.262, 9, 0.05), (4.781, 9, 0.001), (2.045, 29, 0.05),
        (0.727, 5, 0.5), (0.0, 7, 1.0),
    ],
)  # fmt: skip
def test_students_tail_is_that_of_the_published_tables(t: float, degrees: int, p: float) -> None:
    assert two_sided_p(t, degrees) == pytest.approx(p, rel=2e-3)
    assert two_sided_p(-t, degrees) == two_sided_p(t, degrees)


@pytest.mark.parametrize("t", [1e-6, 0.3, 1.0, 3.0, 40.0, 1e4])
def test_students_tail_of_one_and_two_degrees_has_a_closed_form(t: float) -> None:
    assert two_sided_p(t, 1) == pytest.approx(2 * math.atan2(1, t) / math.pi, rel=1e-9)
    root = math.sqrt(2 + t * t)
    assert two_sided_p(t, 2) == pytest.approx(2 / (root * (root + t)), rel=1e-9)


def test_the_quantile_is_where_the_tail_is_what_is_left() -> None:
    assert quantile(0.95, 5) == pytest.approx(2.570582, abs=1e-6)
    assert quantile(0.95, 2) == pytest.approx(4.302653, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "rank", "coverage"),
    [(6, 1, 0.96875), (8, 1, 0.9921875), (9, 2, 0.9609375), (20, 6, 0.9586)],
)
def test_the_interval_of_a_median_is_the_tightest_pair_of_values_that_covers_95_percent(
    n: int, rank: int, coverage: float
) -> None:
    # Ranks and coverage: H. A. David & H. N. Nagaraja, "Order Statistics", 2003, 7.1.
    assert interval_rank(n) == (rank, pytest.approx(coverage, abs=1e-4))
    found = estimate([float(k) for k in range(1, n + 1)])
    assert (found.low, found.high) == (rank, n + 1 - rank)
    assert found.has_interval


def test_thousands_of_values_have_an_interval_too() -> None:
    rank, coverage = interval_rank(10_000)
    assert rank == pytest.approx(5000 - 1.96 * 50, abs=2)
    assert 0.95 <= coverage < 0.952


def test_95_percent_intervals_hold_the_truth_at_least_as_often_as_they_say() -> None:
    rng = np.random.default_rng(11)
    for n in (6, 10, 25):
        rounds = [estimate(list(rng.lognormal(sigma=0.5, size=n))) for _ in range(1000)]
        assert sum(found.low <= 1.0 <= found.high for found in rounds) / 1000 >= 0.94


@pytest.mark.parametrize("n", [3, 6, 10])
def test_intervals_of_ratios_hold_the_truth_as_often_as_they_say(n: int) -> None:
    rng = np.random.default_rng(12)
    hits = 0
    for _ in range(1000):
        slow = dict(enumerate(rng.lognormal(sigma=0.3, size=n)))
        fast = {block: 2 * value * rng.lognormal(sigma=0.03) for block, value in slow.items()}
        found = paired_ratio(fast, slow)
        hits += found.low <= 2.0 <= found.high
    assert hits / 1000 == pytest.approx(0.95 if n >= stats.FEWEST else 0.75, abs=0.035)


def test_equal_values_have_an_interval_without_width() -> None:
    found = estimate([42.0] * 6)
    assert (found.value, found.low, found.high, found.variation) == (42.0, 42.0, 42.0, 0.0)


@pytest.mark.parametrize(("n", "covers"), [(2, 0.5), (3, 0.75), (4, 0.875), (5, 0.9375)])
def test_few_values_have_a_range_with_what_it_covers_and_no_interval(n: int, covers: float) -> None:
    found = estimate([float(k) for k in range(n)])
    assert (found.low, found.high, found.coverage) == (0.0, n - 1.0, covers)
    assert not found.has_interval


def test_one_value_has_neither_interval_nor_range_and_none_no_estimate() -> None:
    found = estimate([3.0])
    assert (found.value, found.low, found.high, found.has_interval) == (3.0, None, None, False)
    assert estimate([]) is None


@given(SPEEDS)
def test_an_interval_never_leaves_the_range_of_the_values_and_holds_the_median(
    values: list[float],
) -> None:
    found = estimate(values)
    if len(values) > 1:
        assert found.minimum <= found.low <= found.value <= found.high <= found.maximum


@given(SPEEDS)
def test_the_median_of_rates_is_that_of_their_times(values: list[float]) -> None:
    rates = estimate(values, of_rates=True)
    times = estimate([1000 / value for value in values])
    assert rates.value == pytest.approx(1000 / times.value)


def test_a_ratio_is_exact_when_every_block_has_the_same_ratio_however_blocks_differ() -> None:
    base = {block: 10.0 * 3**block for block in range(1, 7)}
    twice = {block: 2 * value for block, value in base.items()}

    found = paired_ratio(twice, base)

    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))
    assert 0 < found.p_value() < 1e-9, "no source tells times without end"


def test_a_paired_ratio_is_the_numerator_over_the_denominator() -> None:
    found = paired_ratio(numerator={1: 6.0, 2: 12.0}, denominator={1: 3.0, 2: 6.0})
    assert found is not None
    assert found.value == pytest.approx(2.0)
    assert "numerator over denominator" in str(paired_ratio.__doc__)


def test_a_ratio_pairs_by_block_and_leaves_out_blocks_that_only_one_side_has() -> None:
    found = paired_ratio({1: 20.0, 2: 1e9, 3: 40.0}, {1: 10.0, 3: 20.0, 4: 1e-9})
    assert found.values == pytest.approx((2.0, 2.0))
    assert found.blocks == (1, 3)


def test_without_a_shared_block_a_ratio_of_medians_has_no_interval_and_no_block() -> None:
    found = paired_ratio({1: 30.0}, {2: 10.0, 3: 20.0})
    assert (found.value, found.low, found.blocks) == (2.0, None, ())


def test_a_figure_of_nothing_has_no_ratio() -> None:
    assert paired_ratio({1: 0.0}, {1: 10.0}) is None
    assert paired_ratio({1: 0.0, 2: 4.0}, {1: 10.0, 2: 2.0}).blocks == (2,)


@given(st.lists(st.tuples(st.floats(0.1, 1e4), st.floats(0.1, 1e4)), min_size=2, max_size=9))
def test_a_ratio_turned_round_is_its_inverse(pairs: list[tuple[float, float]]) -> None:
    one = {block: pair[0] for block, pair in enumerate(pairs)}
    other = {block: pair[1] for block, pair in enumerate(pairs)}
    there, back = paired_ratio(one, other), paired_ratio(other, one)
    assert there.value == pytest.approx(1 / back.value)
    assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low), rel=1e-3)
    turned = there.inverse()
    assert (turned.value, turned.low) == pytest.approx((back.value, back.low), rel=1e-3)


def test_fewer_than_six_blocks_have_no_p_value_however_far_apart_they_are() -> None:
    ones = dict.fromkeys(range(5), 1.0)
    assert paired_ratio({block: 100.0 + block for block in ones}, ones).p_value() is None


def test_a_mean_of_six_alike_is_not_surer_than_its_scale() -> None:
    found = mean([5.0] * 6, least_spread=0.5)
    assert found.high - found.low == pytest.approx(2 * 2.5706 * 0.5 / math.sqrt(6), rel=1e-3)
    few = mean([4.0, 5.0, 5.0])
    assert (few.low, few.high, few.has_interval) == (4.0, 5.0, False)


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
