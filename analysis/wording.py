"""Numbers and counts as a careful reader wants to see them."""

from __future__ import annotations

import math

from analysis.stats import Estimate

DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
NOTHING = "\N{EN DASH}"

_WORDS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen",
)  # fmt: skip


def count(n: int) -> str:
    """A small number as a word, a large one in digits."""
    return _WORDS[n] if 0 <= n < len(_WORDS) else str(n)


def nodes(n: int) -> str:
    """`one node`, `eight nodes`."""
    return f"{count(n)} node{'' if n == 1 else 's'}"


def plural(n: int, thing: str) -> str:
    """`1 trial`, `3 trials`."""
    return f"{n} {thing}{'' if n == 1 else 's'}"


def capital(sentence: str) -> str:
    """The sentence with its first letter large, unless it begins with a name in lower case."""
    return sentence[:1].upper() + sentence[1:]


def bare(sentence: str) -> str:
    """The sentence without its full stop, to stand in brackets."""
    return sentence.rstrip(". ")


def listing(parts: list[str], last: str = "and") -> str:
    """`a, b and c`."""
    if len(parts) < 2:  # noqa: PLR2004 - nothing to join
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def number(value: float | None, digits: int = 3) -> str:
    """A value with that many significant digits and never an exponent."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(share: float | None) -> str:
    """A share as a percentage: one decimal below ten, none above."""
    if share is None or not math.isfinite(share):
        return NOTHING
    value = 100 * share
    return f"{value:.1f} %" if 0 < abs(value) < 9.95 else f"{value:.0f} %"  # noqa: PLR2004


def interval(estimate: Estimate | None, *, brief: bool = False) -> str:
    """`12.3 (11.8-12.9)` with as many decimals as the interval supports.

    Without an interval it says so and, unless `brief`, from how few values it comes.
    """
    if estimate is None:
        return NOTHING
    if estimate.low is None or estimate.high is None:
        return f"{number(estimate.value)} {_few(estimate, brief=brief)}"
    decimals = _decimals(estimate.high - estimate.low, estimate.value)
    return _with_interval(estimate, decimals)


def ratio(estimate: Estimate, *, brief: bool = False) -> str:
    """A ratio with its interval; never rounded so that 1 seems to lie within when it does not.

    Without an interval it says so and, unless `brief`, from how few values it comes.
    """
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f} {_few(estimate, brief=brief)}"
    fewest = max(1, -math.floor(math.log10(estimate.value)) + 1)
    decimals = max(fewest, min(2, _decimals_of(estimate.high - estimate.low)))
    while decimals < 4 and _hides_one(estimate.low, estimate.high, decimals):  # noqa: PLR2004
        decimals += 1
    return _with_interval(estimate, decimals)


def _few(estimate: Estimate, *, brief: bool) -> str:
    return "(no interval)" if brief else f"({plural(estimate.n, 'trial')}, no interval)"


def _with_interval(estimate: Estimate, decimals: int) -> str:
    value, low, high = (
        f"{part:,.{decimals}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
        for part in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low}{DASH}{high})"


def _decimals(width: float, value: float) -> int:
    """Decimals that show a digit of half the interval's width and three of the value."""
    of_value = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return max(of_value, min(_decimals_of(width), of_value + 1))


def _decimals_of(width: float) -> int:
    """Decimals that show a digit of half an interval's width."""
    return math.ceil(-math.log10(width / 2)) if width > 0 else 6


def _hides_one(low: float, high: float, decimals: int) -> bool:
    return (low > 1 and round(low, decimals) <= 1) or (high < 1 and round(high, decimals) >= 1)
