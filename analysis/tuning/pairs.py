"""A base and its tuned model on the same documents or questions: the change, and what it shows.

The interval is the paired bootstrap's over documents or questions (`core.bootstrap`). The p-value
is the larger of two: that of the same draws, which allows for skew, and that of the sign-flip
test, which is exact for few: had tuning changed nothing, each document's change would be as likely
with the other sign (R. A. Fisher, "The Design of Experiments", 1935, section 21). For answers that
are right or wrong it is the exact McNemar test's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np

from analysis.statistics.proportions import FEWEST_TO_NAME, LEVEL, discordance, holm
from core.bootstrap import FEWEST_TO_DRAW, paired_change, paired_shares

MOST_TO_TRY_ALL = 12
"""Documents up to which all signs are tried; of more, `FLIPS` are drawn."""
FLIPS = 10_000
_AS_LARGE = 1 - 1e-9
"""Sums of the same numbers in another order differ in the last digit."""


class Effect(StrEnum):
    """What a change shows."""

    GAINED = "gained"
    FORGOTTEN = "forgotten"
    NO_DIFFERENCE = "no difference shown"
    TOO_FEW = "too few"


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A document as a model predicts it.

    Attributes:
        bits: sum of -log2 p over the tokens that have a probability.
        size: bytes of UTF-8 of these tokens.
    """

    bits: float
    size: int


@dataclass(frozen=True, slots=True)
class PairedChange:
    """A figure of the base and of the tuned model, over what both have.

    Attributes:
        before: the base's: bits per byte, or the share that is right (0 to 1).
        after: the tuned model's.
        low: lower end of the 95 % interval of `after - before`; None where there are too few.
        high: its upper end.
        count: documents or questions that both have.
        fewest: how many there must be before it shows anything.
        p_value: how often chance alone gives such a change; None where there are too few.
        less_is_better: whether a smaller figure is the better one.
    """

    before: float
    after: float
    low: float | None
    high: float | None
    count: int
    fewest: int
    p_value: float | None
    less_is_better: bool

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before

    def effect(self, p_adjusted: float | None) -> Effect:
        """Say what it shows.

        Args:
            p_adjusted: `p_value`, raised for all comparisons made together (`effects`).
        """
        if p_adjusted is None or self.low is None or self.high is None:
            return Effect.TOO_FEW
        if p_adjusted >= LEVEL or self.low <= 0 <= self.high:
            return Effect.NO_DIFFERENCE
        return Effect.GAINED if (self.change < 0) == self.less_is_better else Effect.FORGOTTEN


def change_of_documents(
    before: Mapping[str, ScoredText], after: Mapping[str, ScoredText]
) -> PairedChange | None:
    """Compare bits per byte over the documents that both scored whole.

    Bits per byte is a ratio of sums: a document counts by its bytes. A document is left out where
    the two scored different bytes, because a part of it failed.

    Args:
        before: document to what the base made of it.
        after: document to what the tuned model made of it.

    Returns:
        None where they share no document.
    """
    shared = sorted(
        name for name in before.keys() & after.keys() if before[name].size == after[name].size > 0
    )
    if not shared:
        return None
    sizes = np.array([before[name].size for name in shared], dtype=np.float64)
    bits_before = np.array([before[name].bits for name in shared])
    bits_after = np.array([after[name].bits for name in shared])
    found = paired_change(
        (bits_before / sizes).tolist(), (bits_after / sizes).tolist(), sizes.tolist()
    )
    changes = (bits_after - bits_before).tolist()
    return PairedChange(
        before=float(bits_before.sum() / sizes.sum()),
        after=float(bits_after.sum() / sizes.sum()),
        low=found.low if found else None,
        high=found.high if found else None,
        count=len(shared),
        fewest=FEWEST_TO_DRAW,
        p_value=max(found.p_value, sign_flip_p(changes)) if found else None,
        less_is_better=True,
    )


def change_of_questions(
    before: Mapping[str, bool], after: Mapping[str, bool]
) -> PairedChange | None:
    """Compare the share of questions with a key that is answered rightly.

    Args:
        before: question to whether the base is right.
        after: question to whether the tuned model is right.

    Returns:
        None where they share no question.
    """
    shared = sorted(before.keys() & after.keys())
    if not shared:
        return None
    right_before = [float(before[name]) for name in shared]
    right_after = [float(after[name]) for name in shared]
    is_enough = len(shared) >= FEWEST_TO_NAME
    ends = paired_shares(right_before, right_after) if is_enough else None
    low, high = ends or (None, None)
    return PairedChange(
        before=sum(right_before) / len(shared),
        after=sum(right_after) / len(shared),
        low=low,
        high=high,
        count=len(shared),
        fewest=FEWEST_TO_NAME,
        p_value=discordance(before, after).p_value if is_enough else None,
        less_is_better=False,
    )


def sign_flip_p(changes: Sequence[float]) -> float:
    """How often a sum as large comes about where each change may as well have the other sign.

    All signs are tried for up to twelve changes; of more, 10,000 are drawn, always the same.
    """
    values = np.abs(np.asarray(changes, dtype=np.float64))
    found = abs(float(np.sum(np.asarray(changes, dtype=np.float64))))
    if len(values) <= MOST_TO_TRY_ALL:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(values))))
        return float(np.mean(np.abs(signs @ values) >= found * _AS_LARGE))
    generator = np.random.default_rng(1)
    drawn = generator.integers(2, size=(FLIPS, len(values))) * 2.0 - 1.0
    as_large = int(np.sum(np.abs(drawn @ values) >= found * _AS_LARGE))
    return (1 + as_large) / (1 + FLIPS)


def effects(changes: Sequence[PairedChange]) -> tuple[Effect, ...]:
    """What comparisons made together show, corrected for one another (Holm), in their order."""
    tried = [index for index, one in enumerate(changes) if one.p_value is not None]
    raised = dict(zip(tried, holm([changes[index].p_value or 0.0 for index in tried]), strict=True))
    return tuple(one.effect(raised.get(index)) for index, one in enumerate(changes))
