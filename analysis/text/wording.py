"""Numbers and counts as a careful reader wants to see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from analysis.statistics.stats import Estimate, Ratio
from analysis.text.sentence import Sentence, reshaped, say, say_number, together

DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"

_WORDS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen",
)  # fmt: skip

_LISTS = {"and": "{rest} and {last}", "or": "{rest} or {last}", "nor": "{rest} nor {last}"}

NEAR_ONE = (0.9, 1.1)
"""Between these a ratio has a decimal more: a margin is a few percent wide, and the verdict depends
on which side of it an end of the interval is."""
TEN = 10
THOUSANDS = 3
MOST_DECIMALS = 4
"""Digits before the point, less one, from which no decimal is printed."""


def count(n: int) -> Sentence:
    """A small number as a word, a large one in digits; other languages have digits only."""
    return Sentence(_WORDS[n] if 0 <= n < len(_WORDS) else str(n), {}, lambda: str(n))


def nodes(n: int) -> Sentence:
    """`one node`, `eight nodes`."""
    return say_number(n, "{count} node", "{count} nodes", count=count(n))


def plural(n: int, thing: str) -> Sentence:
    """`1 trial`, `3 trials`; the catalogue has `{n} trial`, with its plural."""
    return say_number(n, f"{{n}} {thing}", f"{{n}} {thing}s")


def bare(sentence: str) -> str:
    """Return the sentence without its full stop, for use in brackets."""
    return reshaped(sentence, lambda text: text.rstrip(". "))


def listing(parts: Sequence[str], last: Literal["and", "or", "nor"] = "and") -> str:
    """`a, b and c`."""
    if len(parts) <= 1:
        return parts[0] if parts else ""
    return say(_LISTS[last], rest=together(parts[:-1], ", "), last=parts[-1])


def number(value: float | None, digits: int = 3) -> str:
    """A value with that many significant digits and never an exponent."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    rounded = abs(float(f"{value:.{digits - 1}e}"))  # 9.996 has three digits as 10.0
    decimals = max(0, digits - 1 - math.floor(math.log10(rounded)))
    return _written(value, decimals)


def percent(share: float | None) -> str:
    """A share as a percentage: one decimal below ten, none above."""
    if share is None or not math.isfinite(share):
        return NOTHING
    value = 100 * share
    return f"{value:.1f} %" if 0 < abs(value) < 9.95 else f"{value:.0f} %"  # noqa: PLR2004


def within(margin: float) -> str:
    """`±3 %`: what counts as the same."""
    return f"\N{PLUS-MINUS SIGN}{bare_percent(margin)}"


def bare_percent(share: float) -> str:
    """`3 %`: a share that someone wrote, with the digits that it was written with."""
    return f"{100 * share:g} %"


def interval(estimate: Estimate | None, *, brief: bool = False) -> str:
    """`12.3 (11.8-12.9)` with as many decimals as the interval supports.

    The range of few values is called one, with how often such a range holds the true figure;
    unless `brief` also of how many values.
    """
    if estimate is None:
        return NOTHING
    if estimate.low is None or estimate.high is None:
        return say("{value} (one value)", value=number(estimate.value))
    decimals = _decimals(estimate.high - estimate.low, estimate.value)
    return _with_ends(estimate, decimals, brief=brief)


def with_ends(value: float, low: float, high: float, digits: int = 3) -> str:
    """`12.3 (11.8-12.9)`: a fitted figure with its interval, each with that many digits."""
    return f"{number(value, digits)} ({number(low, digits)}{DASH}{number(high, digits)})"


def share_with_ends(value: float, low: float, high: float) -> str:
    """`12 % (9.1 %-15 %)`: a fitted share with its interval."""
    return f"{percent(value)} ({percent(low)}{DASH}{percent(high)})"


def ratio(estimate: Ratio, *, brief: bool = False) -> str:
    """Write a ratio with its interval; never rounded so that 1 seems to be within when it is not.

    A range is called one, as `interval` does.
    """
    if estimate.low is None or estimate.high is None:
        found = "{value:.2f} (one value)" if estimate.blocks else "{value:.2f} (no shared block)"
        return say(found, value=estimate.value)
    return _with_ends(estimate, _ratio_decimals(estimate), brief=brief)


def ends(estimate: Ratio) -> tuple[str, str, str]:
    """`1.4`, `1.3` and `1.5`: a ratio and the ends of its interval or range.

    They are rounded as by `ratio`, and to whole numbers from ten on.
    """
    decimals = _ratio_decimals(estimate) if (estimate.low or 0) < TEN else 0
    low, value, high = (
        _decimal(one, decimals) for one in (estimate.low, estimate.value, estimate.high)
    )
    return value, low, high


def between(estimate: Ratio) -> str:
    """`0.9 and 3.9`: the ends of a ratio's interval or range, where the value misleads."""
    decimals = _ratio_decimals(estimate)
    return say(
        "{low} and {high}",
        low=_decimal(estimate.low, decimals),
        high=_decimal(estimate.high, decimals),
    )


def _ratio_decimals(estimate: Ratio) -> int:
    if estimate.low is None or estimate.high is None:
        return 2
    fewest = max(1, -math.floor(math.log10(estimate.value)) + 1)
    decimals = max(fewest, min(2, _decimals_of(estimate.high - estimate.low)))
    if estimate.has_interval and min(NEAR_ONE) < estimate.low < estimate.high < max(NEAR_ONE):
        decimals = 3
    while decimals < MOST_DECIMALS and _hides_one(estimate.low, estimate.high, decimals):
        decimals += 1
    return decimals


def covers(estimate: Estimate) -> str:
    """`75 %`: how often a range of so few values holds the true figure."""
    return percent(estimate.coverage)


def _with_ends(estimate: Estimate, decimals: int, *, brief: bool) -> str:
    value = _decimal(estimate.value, decimals)
    ends = f"{_decimal(estimate.low, decimals)}{DASH}{_decimal(estimate.high, decimals)}"
    if estimate.has_interval:
        return f"{value} ({ends})"
    if brief:
        return say(
            "{value} (range {ends}, {covers})", value=value, ends=ends, covers=covers(estimate)
        )
    return say(
        "{value} (range of {n} values: {ends}, which covers {covers})",
        value=value,
        n=estimate.n,
        ends=ends,
        covers=covers(estimate),
    )


def _decimal(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else _written(value, decimals)


def _written(value: float, decimals: int) -> str:
    """Write digits in threes, with a minus that no dash of a range is taken for."""
    told = f"{value:,.{decimals}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return told.replace("-", MINUS)


def _decimals(width: float, value: float) -> int:
    """Decimals that show a digit of half the interval's width and three of the value."""
    whole_digits = math.floor(math.log10(abs(value))) if value else 2
    of_value = max(0, 2 - whole_digits)
    most = of_value + (width > 0 and whole_digits < THOUSANDS)
    return max(of_value, min(_decimals_of(width), most))


def _decimals_of(width: float) -> int:
    """Decimals that show a digit of half an interval's width."""
    return math.ceil(-math.log10(width / 2)) if width > 0 else 6


def _hides_one(low: float, high: float, decimals: int) -> bool:
    return (low > 1 and round(low, decimals) <= 1) or (high < 1 and round(high, decimals) >= 1)
