"""Numbers as people and models write them: `1,024`, `3.5`, `7 billion`, `3/8`, `12만`, `twelve`."""

from __future__ import annotations

import re

_SCALES = {
    "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12,
    "천": 1e3, "만": 1e4, "억": 1e8, "조": 1e12,
}  # fmt: skip
_DIGITS = re.compile(
    rf"""(?:(?<![\w.)])(?P<sign>[-+])|\b(?P<minus>minus|negative|마이너스|영하)\s{{1,9}})?
    (?<![\w.])
    (?P<whole>[1-9]\d{{0,2}}(?:[,_ ]\d{{3}}){{1,100}}(?!\d)|\d{{1,300}})
    (?P<fraction>[.,]\d{{1,300}})?
    (?P<exponent>e[-+]?\d{{1,9}}\b)?
    (?:\s?/\s?(?P<divisor>\d{{1,300}}(?:\.\d{{1,300}})?)(?![\w/]))?
    (?:\s?(?P<scale>{"|".join(_SCALES)}))?""",
    re.IGNORECASE | re.VERBOSE,
)
_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {
    **{word: value for value, word in enumerate(_UNITS)},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
}
_WORD = "|".join(
    sorted((*_VALUES, "hundred", "thousand", "million", "billion"), key=len, reverse=True)
)
_IN_WORDS = re.compile(
    rf"\b(?:(minus|negative)\s{{1,9}})?"
    rf"((?:{_WORD})(?:(?:\s{{1,9}}and\s{{1,9}}|[\s-]{{1,9}})(?:{_WORD})){{0,40}})\b",
    re.IGNORECASE,
)


def numbers_in(text: str) -> list[float]:
    """The numbers of a text in their order; those in words only if there are none in digits.

    Three digits after a comma or a blank are thousands (`1,024`), other digits after a comma are
    decimals (`3,5`). A figure that is a part of a word (`H2O`, `aarch64`) is no number.
    """
    digits = [_value(match) for match in _DIGITS.finditer(text)]
    return digits or [_spelled(match) for match in _IN_WORDS.finditer(text)]


def _value(match: re.Match[str]) -> float:
    whole = re.sub(r"[,_ ]", "", match["whole"])
    fraction = (match["fraction"] or "").replace(",", ".")
    value = float(f"{whole}{fraction}{match['exponent'] or ''}")
    divisor = float(match["divisor"]) if match["divisor"] else 1.0
    value = value / divisor if divisor else value
    value *= _SCALES[match["scale"].lower()] if match["scale"] else 1.0
    return -value if match["sign"] == "-" or match["minus"] else value


def _spelled(match: re.Match[str]) -> float:
    """The value of words such as `one hundred and twenty-three`."""
    total = part = 0.0
    for word in re.findall(_WORD, match[2].lower()):
        if word == "hundred":
            part = max(part, 1.0) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1.0) * _SCALES[word], 0.0
        else:
            part += _VALUES[word]
    total += part
    return -total if match[1] else total
