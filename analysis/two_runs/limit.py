"""Shares as flags of `fab compare-runs` have them."""

from __future__ import annotations

from core.errors import HerdError
from core.foreign import one_line
from core.percent import share_typed

MOST_LIMIT = 0.9
LEAST_BOUND, MOST_BOUND = 0.001, 0.5


def limit_of(text: str | None) -> float | None:
    """Read `--fail-below 5%`: a share by which no speed may be slower.

    Raises:
        HerdError: it is none, or not from 0 % to 90 %.
    """
    if text is None:
        return None
    share = share_typed(text)
    if not 0 <= share <= MOST_LIMIT:
        raise HerdError(
            f"--fail-below {one_line(text, 40)}: give by how much a speed may be slower, from 0% "
            "to 90%, such as --fail-below 5%."
        )
    return share


def bound_of(text: str | None, otherwise: float) -> float:
    """Read `--assume 3%`: by how much two runs of the same differ at most in 95 % of cases.

    Raises:
        HerdError: it is none, or not from 0.1 % to 50 %.
    """
    if text is None:
        return otherwise
    share = share_typed(text)
    if not LEAST_BOUND <= share <= MOST_BOUND:
        raise HerdError(
            f"--assume {one_line(text, 40)}: give by how much two runs of the same differ at most "
            "in 95 % of cases, from 0.1% to 50%, such as --assume 3%."
        )
    return share
