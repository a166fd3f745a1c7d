"""The interval of a mean change holds the true change about as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from core import bootstrap
from core.bootstrap import FEWEST_TO_DRAW, paired_interval


def test_a_change_that_is_the_same_everywhere_has_no_width() -> None:
    assert paired_interval([1.0] * 8, [0.5] * 8) == (-0.5, -0.5)


def test_the_same_draws_are_made_again() -> None:
    before, after = np.arange(9.0), np.arange(9.0) ** 1.1
    assert paired_interval(before, after) == paired_interval(before, after)
    assert paired_interval(before, after) != paired_interval(before, after, seed=2)


def test_a_large_document_counts_by_its_size() -> None:
    ends = paired_interval([0.0] * 7, [1.0, *[0.0] * 6], [1e9, *[1.0] * 6])
    assert ends is not None
    assert ends[1] > 0.99  # where it is drawn at all, it decides


def test_few_documents_have_no_interval() -> None:
    few = [0.0] * (FEWEST_TO_DRAW - 1)
    assert paired_interval(few, few) is None


@pytest.mark.parametrize("sizes", [[1.0] * 5, [0.0, *[1.0] * 5]])
def test_a_size_for_each_is_needed(sizes: list[float]) -> None:
    with pytest.raises(ValueError, match="needs a size above 0"):
        paired_interval([0.0] * 6, [0.0] * 6, sizes)


@pytest.mark.parametrize("count", [6, 12])
def test_it_holds_the_true_change_as_often_as_it_says(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 1000)
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        sizes = generator.lognormal(6.0, 0.7, count)
        ends = paired_interval(np.zeros(count), generator.normal(0, 1, count), sizes, seed)
        assert ends is not None
        held += ends[0] <= 0.0 <= ends[1]
    assert 0.90 <= held / 300 <= 0.98
