"""Patterns that may never be done with a text, found before they are tried on one.

A repeat without end within another one, or around alternatives, can split the same text in as many
ways as there are subsets of it. Python's `re` tries them all, and cannot be interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable
from re import _parser  # type: ignore[attr-defined]  # the only one that reads what `re` reads
from typing import Any

_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT"})


def is_endless(pattern: str) -> bool:
    """Whether a pattern that compiles is of this kind."""
    return _looked_through(_parser.parse(pattern), within=False)


def _looked_through(parts: Iterable[tuple[Any, Any]], *, within: bool) -> bool:
    for kind, value in parts:
        if str(kind) in _REPEATS:
            _, most, body = value
            is_open = most == _parser.MAXREPEAT
            if (within and is_open) or _looked_through(body, within=within or is_open):
                return True
        elif str(kind) == "BRANCH":
            if within or any(_looked_through(one, within=within) for one in value[1]):
                return True
        elif str(kind) == "SUBPATTERN":
            if _looked_through(value[3], within=within):
                return True
        elif str(kind) in {"ASSERT", "ASSERT_NOT"} and _looked_through(value[1], within=within):
            return True
    return False
