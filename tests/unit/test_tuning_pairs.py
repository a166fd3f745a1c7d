"""What a base and its tuned model show on the same documents and questions."""

from __future__ import annotations

import pytest

from analysis.tuning.pairs import (
    Effect,
    PairedChange,
    ScoredText,
    change_of_documents,
    change_of_questions,
    effects,
    sign_flip_p,
)

SIZES = {f"d{i}": 100 * (i + 1) for i in range(8)}


def _scored(bits_per_byte: float, wobble: float = 0.0) -> dict[str, ScoredText]:
    return {
        name: ScoredText((bits_per_byte + wobble * (-1) ** i) * size, size)
        for i, (name, size) in enumerate(SIZES.items())
    }


def _of(before: dict[str, ScoredText], after: dict[str, ScoredText]) -> PairedChange:
    found = change_of_documents(before, after)
    assert found is not None
    return found


def test_bits_per_byte_are_a_ratio_of_sums() -> None:
    before = {"small": ScoredText(10.0, 10), "large": ScoredText(10.0, 90)}
    after = {"small": ScoredText(20.0, 10), "large": ScoredText(10.0, 90)}
    found = _of(before, after)
    assert (found.before, found.after, found.count) == (0.2, 0.3, 2)
    assert found.change == pytest.approx(0.1)


def test_a_gain_is_fewer_bits_and_more_right_answers() -> None:
    gained, lost = _of(_scored(1.0), _scored(0.8, 0.01)), _of(_scored(0.8), _scored(1.0, 0.01))
    assert effects([gained]) == (Effect.GAINED,)
    assert effects([lost]) == (Effect.FORGOTTEN,)
    names = [f"q{i}" for i in range(30)]
    wrong, right = dict.fromkeys(names, False), dict.fromkeys(names, True)
    better, worse = change_of_questions(wrong, right), change_of_questions(right, wrong)
    assert better
    assert worse
    assert (better.before, better.after) == (0.0, 1.0)
    assert effects([better]) == (Effect.GAINED,)
    assert effects([worse]) == (Effect.FORGOTTEN,)


def test_what_differs_to_both_sides_shows_no_difference() -> None:
    assert effects([_of(_scored(1.0), _scored(1.0, 0.3))]) == (Effect.NO_DIFFERENCE,)
    assert effects([_of(_scored(1.0), _scored(1.0))]) == (Effect.NO_DIFFERENCE,)


def test_only_what_both_have_counts() -> None:
    before, after = _scored(1.0), _scored(0.5)
    del before["d0"], after["d7"]
    assert _of(before, after).count == 6
    assert change_of_documents(before, {}) is None
    assert change_of_questions({"q": True}, {}) is None


def test_few_show_nothing() -> None:
    before, after = _scored(1.0), _scored(0.5)
    few = dict(list(before.items())[:5])
    found = _of(few, after)
    assert (found.low, found.high, found.p_value) == (None, None, None)
    assert effects([found]) == (Effect.TOO_FEW,)
    names = [f"q{i}" for i in range(29)]
    asked = change_of_questions(dict.fromkeys(names, False), dict.fromkeys(names, True))
    assert asked is not None
    assert effects([asked]) == (Effect.TOO_FEW,)
    assert asked.fewest == 30


def test_a_document_that_one_arm_scored_in_part_is_left_out() -> None:
    part = {**_scored(1.0), "d0": ScoredText(1.0, 99)}
    assert _of(_scored(1.0), part).count == 7


def test_more_comparisons_need_more() -> None:
    one = _of(_scored(1.0), _scored(0.8, 0.01))
    assert one.p_value == 2 / 2**8
    assert effects([one] * 6) == (Effect.GAINED,) * 6
    assert effects([one] * 7) == (Effect.NO_DIFFERENCE,) * 7


@pytest.mark.parametrize("count", [6, 12, 20])
def test_the_rarest_p_value_is_that_of_one_sign(count: int) -> None:
    p_value = sign_flip_p([1.0] * count)
    assert p_value == pytest.approx(2 / 2**count, abs=3e-4)


def test_a_change_of_nothing_is_what_chance_gives() -> None:
    assert sign_flip_p([0.0] * 8) == 1.0
    assert sign_flip_p([0.0] * 20) == 1.0
