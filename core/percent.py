"""Percentages that a person types."""

from __future__ import annotations

import math
import re

_PERCENT = re.compile(r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*%\s*")


def share_typed(text: str) -> float:
    """Read a percentage such as `3%` as a share, 0.03; NaN for any other text."""
    found = _PERCENT.fullmatch(text)
    return float(found[1]) / 100 if found else math.nan
