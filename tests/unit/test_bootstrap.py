"""The interval of a mean change holds the true change about as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from core import bootstrap
from core.bootstrap import FEWEST_TO_DRAW, Found, paired_change, paired_shares


def test_a_change_that_is_the_same_everywhere_has_no_width() -> None:
    assert paired_change([1.0] * 8, [0.5] * 8) == Found(-0.5, -0.5, 0.0)
    assert paired_change([1.0] * 8, [1.0] * 8) == Found(0.0, 0.0, 1.0)


def test_the_same_draws_are_made_again() -> None:
    before, after = np.arange(9.0), np.arange(9.0) ** 1.1
    assert paired_change(before, after) == paired_change(before, after)
    assert paired_change(before, after) != paired_change(before, after, seed=2)


def test_a_large_document_counts_by_its_size() -> None:
    found = paired_change([0.0] * 7, [1.0, *[0.0] * 6], [1e9, *[1.0] * 6])
    assert found is not None
    assert found.low < 0
    assert found.high > 0.99  # one document decides, and one shows nothing
    assert found.p_value > 0.1


def test_few_documents_have_no_interval() -> None:
    few = [0.0] * (FEWEST_TO_DRAW - 1)
    assert paired_change(few, few) is None
    assert paired_shares(few, few) is None
    assert paired_shares([0.0] * 40, [1.0] * 40, ["one", "two"] * 20) is None


@pytest.mark.parametrize("sizes", [[1.0] * 5, [0.0, *[1.0] * 5]])
def test_a_size_for_each_is_needed(sizes: list[float]) -> None:
    with pytest.raises(ValueError, match="needs a size above 0"):
        paired_change([0.0] * 6, [0.0] * 6, sizes)


def test_no_difference_in_few_cases_is_not_certainty() -> None:
    ends = paired_shares([0.0] * 30, [0.0] * 30)
    assert ends == (pytest.approx(-0.09, abs=0.02), pytest.approx(0.09, abs=0.02))
    all_gained = paired_shares([0.0] * 30, [1.0] * 30)
    assert all_gained is not None
    assert 0.5 < all_gained[0] < all_gained[1] == 1.0


def test_cases_of_one_document_are_drawn_together() -> None:
    before, after = [0.0] * 200, [1.0] * 20 + [0.0] * 180
    apart = paired_shares(before, after)
    together = paired_shares(before, after, [f"document {n // 20}" for n in range(200)])
    assert apart is not None
    assert together is not None
    assert apart[0] > 0 > together[0]  # all that were gained are of one document


@pytest.mark.parametrize("count", [6, 20])
@pytest.mark.parametrize("is_skewed", [False, True])
def test_it_holds_the_true_change_as_often_as_it_says(
    count: int, monkeypatch: pytest.MonkeyPatch, *, is_skewed: bool
) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 300)
    generator = np.random.default_rng(0)
    held = called = 0
    for seed in range(150):
        sizes = generator.lognormal(6.0, 0.7, count)
        drawn = generator.exponential(1, count) - 1 if is_skewed else generator.normal(0, 1, count)
        found = paired_change(np.zeros(count), drawn, sizes, seed)
        assert found is not None
        held += found.low <= 0.0 <= found.high
        called += found.p_value < 0.05
    assert held / 150 >= (0.90 if is_skewed else 0.93)
    assert called / 150 <= (0.10 if is_skewed else 0.07)
