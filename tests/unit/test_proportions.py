"""Shares and pairs against values from textbooks and from counting all cases."""

from __future__ import annotations

import itertools

import pytest

from analysis.statistics.proportions import Discordance, Share, discordance, holm


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in
        # Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(hits: int, of: int, low: float, high: float) -> None:
    assert Share(hits, of).interval == pytest.approx((low, high), abs=5e-5)


def test_a_share_of_all_or_none_still_has_an_interval_within_its_bounds() -> None:
    low, high = Share(6, 6).interval
    assert 0.5 < low < 1
    assert high == pytest.approx(1.0)
    assert high <= 1
    assert Share(0, 6).interval[0] == 0


@pytest.mark.parametrize(("first", "second"), list(itertools.product(range(6), range(6))))
def test_mcnemar_counts_all_equally_likely_splits(first: int, second: int) -> None:
    n = first + second
    distance = abs(first - second)
    splits = list(itertools.product((0, 1), repeat=n))
    extreme = sum(abs(2 * sum(split) - n) >= distance for split in splits)
    assert Discordance(20, first, second).p_value == pytest.approx(extreme / len(splits))


def test_with_six_questions_the_smallest_p_value_is_two_of_sixty_four() -> None:
    everywhere = dict.fromkeys("abcdef", True)
    nowhere = dict.fromkeys("abcdef", False)
    found = discordance(everywhere, nowhere)
    assert found == Discordance(6, 6, 0)
    assert found.p_value == 2 / 64


def test_only_questions_that_both_were_asked_are_paired() -> None:
    found = discordance({"a": True, "b": True, "c": False}, {"b": False, "c": True, "d": True})
    assert found == Discordance(2, 1, 1)
    assert found.p_value == 1


def test_holm_as_worked_by_hand() -> None:
    assert holm((0.01, 0.04, 0.03, 0.005)) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm((0.9, 0.8)) == pytest.approx((1.0, 1.0))
    assert holm(()) == ()
