"""Comparisons of a report are corrected together and say one of four things."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from analysis.cells.family import LEVEL, STOPPED, Claim, Family, Pair, Side
from analysis.statistics.stats import paired_ratio


def pair(ratios: Sequence[float], name: str = "a") -> Pair:
    ones = dict.fromkeys(range(len(ratios)), 1.0)
    found = paired_ratio(dict(enumerate(ratios)), ones)
    return Pair("tokens/s", Side(name, name), Side("base", "base"), len(ratios), found)


def around(ratio: float, spread: float, n: int = 6) -> list[float]:
    """Ratios whose logarithms have that mean and standard deviation."""
    steps = np.linspace(-1, 1, n)
    steps = np.random.default_rng(2).permutation(steps)  # blocks without a trend
    return list(ratio * np.exp(spread * steps / steps.std(ddof=1)))


@pytest.mark.parametrize(
    ("ratios", "finding"),
    [
        (around(1.3, 0.03), "faster"),
        (around(0.7, 0.03), "slower"),
        (around(1.003, 0.002), "no difference"),
        (around(1.0, 0.01), "no difference"),
        (around(1.8, 0.7), "cannot tell"),
        (around(1.0, 0.1), "cannot tell"),
        (around(3.0, 0.01, n=5), "cannot tell"),
        ([1.0] * 6, "no difference"),
        ([1.01] * 6, "no difference"),
        ([1.5] * 6, "faster"),
    ],
)
def test_each_of_the_four_verdicts(ratios: list[float], finding: str) -> None:
    (row,) = Family([pair(ratios)]).rows
    assert row.finding == finding


def test_what_counts_as_the_same_is_the_runs() -> None:
    ratios = around(1.05, 0.01)
    assert Family([pair(ratios)], margin=0.03).rows[0].finding is Claim.FASTER
    assert Family([pair(ratios)], margin=0.10).rows[0].finding is Claim.SAME


def test_blocks_that_were_added_until_it_was_narrow_ask_for_a_clearer_difference() -> None:
    near = pair(around(1.1, 0.085))
    (plain,) = Family([near]).rows
    (stopped,) = Family([replace(near, is_stopped=True)]).rows
    assert plain.p_adjusted is not None
    assert LEVEL / STOPPED < plain.p_adjusted < LEVEL
    assert stopped.p_adjusted == pytest.approx(STOPPED * plain.p_adjusted)
    assert (plain.finding, stopped.finding) == (Claim.FASTER, Claim.UNKNOWN)


def test_more_comparisons_ask_for_a_clearer_difference() -> None:
    clear = pair(around(1.1, 0.07))
    others = [pair(around(1.0, 0.07), str(n)) for n in range(9)]
    assert Family([clear]).rows[0].finding is Claim.FASTER
    assert Family([clear, *others]).rows[0].finding is Claim.UNKNOWN


def test_too_few_trials_are_not_among_those_that_are_corrected_for() -> None:
    family = Family([pair(around(1.1, 0.07)), *(pair([1.0, 1.1], str(n)) for n in range(50))])
    assert family.tried == 1
    assert family.rows[0].finding is Claim.FASTER
    assert family.frame()["p_adjusted"].notna().sum() == 1


def test_no_spread_at_all_among_many_that_have_some_is_luck() -> None:
    noisy = [pair(around(1.0, 0.5), str(n)) for n in range(40)]
    rows = Family([pair(around(1.5, 0.001), "lucky"), *noisy]).rows
    assert rows[0].finding is Claim.UNKNOWN


def test_a_comparison_is_found_from_both_sides() -> None:
    family = Family([pair(around(2.0, 0.05))])
    there, back = family.find("tokens/s", "a", "base"), family.find("tokens/s", "base", "a")
    assert there is not None
    assert back is not None
    assert (there.finding, back.finding) == ("faster", "slower")
    assert back.ratio is not None
    assert back.ratio.value == pytest.approx(0.5)
    assert family.find("tokens/s", "a", "c") is None


def test_the_file_has_plain_numbers_and_its_columns_even_without_a_row() -> None:
    columns = [
        "what", "numerator", "denominator", "n", "ratio", "low", "high", "p_adjusted", "verdict",
    ]  # fmt: skip
    assert list(Family([]).frame().columns) == columns
    (row,) = Family([pair(around(1.3, 0.03))]).frame().to_dict("records")
    assert row["ratio"] == pytest.approx(1.3)
    assert row["low"] == pytest.approx(1.3 * math.exp(-2.5706 * 0.03 / math.sqrt(6)), rel=1e-4)
    assert (row["n"], row["verdict"]) == (6, "faster")


def test_the_same_pair_named_twice_is_one_comparison() -> None:
    family = Family([pair(around(1.3, 0.03)), pair(around(1.3, 0.03))])
    assert len(family.rows) == 1


@pytest.mark.parametrize(
    ("enough", "few", "words"),
    [
        (0, 1, "The one comparison has too few values."),
        (0, 2, "All 2 comparisons have too few values."),
        (1, 1, "One more comparison has too few values."),
        (1, 2, "2 more comparisons have too few values."),
    ],
)
def test_comparisons_of_too_few_values_are_counted(enough: int, few: int, words: str) -> None:
    tried = [pair(around(1.3, 0.03), f"tried{n}") for n in range(enough)]
    family = Family([*tried, *(pair([1.0, 1.1], str(n)) for n in range(few))])
    assert family.in_words().endswith(words)
