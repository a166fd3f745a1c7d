"""Numbers are rounded so that they neither promise nor hide too much."""

from __future__ import annotations

import pytest

from analysis.statistics.stats import Ratio
from analysis.text.wording import interval, listing, nodes, number, percent, ratio

DASH = "\N{EN DASH}"


def made(value: float, low: float | None, high: float | None) -> Ratio:
    return Ratio(value, low, high, (value,) * (1 if low is None else 9))


@pytest.mark.parametrize(
    ("value", "written"),
    [(123.456, "123"), (12.345, "12.3"), (0.012345, "0.0123"), (0.0, "0"), (None, DASH),
     (9.996, "10.0"), (0.09996, "0.100"), (-9.996, "\N{MINUS SIGN}10.0"), (9.994, "9.99"),
     (1234567.0, "1\u202f234\u202f567"), (float("nan"), DASH)],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float | None, written: str) -> None:
    assert number(value) == written


@pytest.mark.parametrize(
    ("estimate", "written"),
    [
        (made(312.4, 306.9, 317.2), f"312 (307{DASH}317)"),
        (made(32.5, 31.9, 34.2), f"32.5 (31.9{DASH}34.2)"),
        (made(6.1604, 6.0411, 6.2502), f"6.16 (6.04{DASH}6.25)"),
        (made(63.0, None, None), "63.0 (one value)"),
        (made(10.0, 10.0, 10.0), f"10.0 (10.0{DASH}10.0)"),
        (made(44832.9, 44830.1, 44835.0), f"44\u202f833 (44\u202f830{DASH}44\u202f835)"),
        (None, DASH),
    ],
)
def test_intervals_show_the_digits_that_they_support(estimate: Ratio | None, written: str) -> None:
    assert interval(estimate) == written


@pytest.mark.parametrize(
    ("estimate", "written"),
    [
        (made(2.1, 1.9, 2.3), f"2.1 (1.9{DASH}2.3)"),
        (made(2.084, 2.051, 2.112), f"2.08 (2.05{DASH}2.11)"),
        (made(1.2, 0.9, 1.5), f"1.2 (0.9{DASH}1.5)"),
        (made(0.77, 0.4, 0.794), f"0.77 (0.40{DASH}0.79)"),
        (made(0.0123, 0.0111, 0.0149), f"0.012 (0.011{DASH}0.015)"),
        (made(1.73, None, None), "1.73 (no shared block)"),
    ],
)
def test_ratios_have_two_digits_that_mean_something(estimate: Ratio, written: str) -> None:
    assert ratio(estimate) == written


def test_a_range_is_called_one_and_tells_what_it_covers() -> None:
    three = Ratio(1.04, 1.012, 1.081, (1.01, 1.04, 1.08), 0.75, (1, 2, 3))
    assert ratio(three) == f"1.04 (range of 3 values: 1.01{DASH}1.08, which covers 75 %)"
    assert ratio(three, brief=True) == f"1.04 (range 1.01{DASH}1.08, 75 %)"


def test_rounding_never_moves_an_interval_over_one() -> None:
    assert ratio(made(0.987, 0.9706, 1.004)) == f"0.987 (0.971{DASH}1.004)"
    assert ratio(made(0.987, 0.9721, 1.004)) == f"0.987 (0.972{DASH}1.004)"
    assert ratio(made(1.0004, 1.0002, 1.0006)) == f"1.0004 (1.0002{DASH}1.0006)"
    assert ratio(made(1.2, 1.04, 1.4)) == f"1.20 (1.04{DASH}1.40)"
    assert ratio(made(0.8, 0.6, 0.996)) == f"0.800 (0.600{DASH}0.996)"


def test_shares_have_a_decimal_only_below_ten_percent() -> None:
    assert [percent(share) for share in (0.0, 0.004, 0.0996, 0.62)] == [
        "0 %", "0.4 %", "10 %", "62 %",
    ]  # fmt: skip


def test_counts_are_words_and_lists_are_sentences() -> None:
    assert (nodes(1), nodes(8), nodes(64)) == ("one node", "eight nodes", "64 nodes")
    assert listing(["a", "b", "c"]) == "a, b and c"
