"""Finds texts that are nearly the same: exactly, by counting what each has in common with all.

Texts are sets of runs of characters, so words of any script count. A short text has runs of four.
Long texts of one language have most of these in common, even about different things: in them,
runs of twelve count. Of those, different chapters of one book had 12 % in common at most.

What very many texts have in common, such as an instruction before each, does not count.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Runs = NDArray[np.uint32]
Numbers = NDArray[np.intp]
SHARE = 0.7
"""Texts are nearly the same if so large a share of all their runs is in both."""
LONG = 200
"""Characters from which a text that is nearly all inside another one counts as well."""
_SHORT = 2 * LONG
"""Characters below which a text is compared as a short one as well: no pair falls in between."""
_RUN, _LONG_RUN = 4, 12
_FEW = 20
_MANY, _MANY_SHARE = 25, 0.2
"""A run that more texts have, and a larger share of them, is usual."""
_MULTIPLIER = np.uint32(0x01000193)


@dataclass(frozen=True)
class Shingled:
    """The different runs of characters of a text, as hashes, in order.

    Attributes:
        short: runs of four, of a text that is short.
        long: runs of twelve, of a text that is long.
    """

    short: Runs | None
    long: Runs | None


def shingles_of(text: str, signs: str = "") -> Shingled:
    """The runs of a text.

    Short texts with other numbers or signs have nothing in common: they ask something else.

    Args:
        text: with single blanks and no punctuation (`bare_text`).
        signs: its operators and pictures (`signs_of`).
    """
    short = _runs(text, _RUN) if len(text) < _SHORT else None
    other = "".join(filter(str.isdigit, text)) + signs
    if short is not None and len(text) < LONG and other:
        short = np.unique(short ^ np.uint32(zlib.crc32(other.encode())))
    return Shingled(short, _runs(text, _LONG_RUN) if len(text) >= LONG else None)


def nearly_same(left: Sequence[Shingled], right: Sequence[Shingled]) -> dict[int, int]:
    """Which texts of the left have one on the right that is nearly the same.

    Returns:
        Place on the left to the place of one on the right.
    """
    long = _compared([one.long for one in left], [one.long for one in right], inside=True)
    short = _compared([one.short for one in left], [one.short for one in right], inside=False)
    return {**long, **short}


def _compared(
    left: Sequence[Runs | None], right: Sequence[Runs | None], *, inside: bool
) -> dict[int, int]:
    """As `nearly_same`; with `inside`, a text that is nearly all inside another one counts."""
    usual = _usual([one for one in (*left, *right) if one is not None])
    left, right = ([_without(one, usual) for one in side] for side in (left, right))
    places = [place for place, one in enumerate(right) if one is not None]
    if not places:
        return {}
    index = _Index([one for one in right if one is not None])
    found = {}
    for place, one in enumerate(left):
        near = None if one is None else index.inside(one) if inside else index.alike(one)
        if near is not None:
            found[place] = places[near]
    return found


def _usual(texts: Sequence[Runs]) -> Runs:
    """Runs that so many different texts have that they say nothing of one: of a form or a task."""
    different = list({one.tobytes(): one for one in texts}.values())
    if len(different) <= _MANY:
        return np.array([], dtype=np.uint32)
    runs, counts = np.unique(np.concatenate(different), return_counts=True)
    usual: Runs = runs[counts > max(_MANY, _MANY_SHARE * len(different))]
    return usual


def _without(one: Runs | None, usual: Runs) -> Runs | None:
    """The runs that are not usual; None where all are, which is no reason to leave a text out."""
    if one is None or not len(usual):
        return one
    rest = np.setdiff1d(one, usual, assume_unique=True)
    return rest if len(rest) else None


class _Index:
    """Texts by their runs.

    Args:
        texts: one at least.
    """

    def __init__(self, texts: Sequence[Runs]) -> None:
        self._texts = texts
        self._sizes = np.array([len(one) for one in texts])
        keys = np.concatenate(texts)
        order = np.argsort(keys, kind="stable")
        self._owners = np.repeat(np.arange(len(texts)), self._sizes)[order]
        self._values, self._starts = np.unique(keys[order], return_index=True)
        self._lengths = np.diff(np.append(self._starts, len(keys)))

    def alike(self, one: Runs) -> int | None:
        """The first text that has the share of all runs in common with this one."""
        at = self._found(one)
        # Of a text with the share in common, not all of the rarest runs are missing.
        rare = len(one) - math.ceil(SHARE * len(one)) + 1 - (len(one) - len(at))
        few = at[np.argsort(self._lengths[at], kind="stable")[: max(0, rare)]]
        if not len(few):
            return None
        some = np.unique(self._owners_of(few))
        if len(some) > _FEW:
            some, common = np.arange(len(self._texts)), self._common(at)
        else:
            common = np.array(
                [len(np.intersect1d(one, self._texts[n], assume_unique=True)) for n in some]
            )
        return _first(some[common >= SHARE * (len(one) + self._sizes[some] - common)])

    def inside(self, one: Runs) -> int | None:
        """The first text that shares enough of its runs, or of this one's."""
        common = self._common(self._found(one))
        return _first(np.flatnonzero(common >= SHARE * np.minimum(len(one), self._sizes)))

    def _found(self, one: Runs) -> Numbers:
        at = np.minimum(np.searchsorted(self._values, one), len(self._values) - 1)
        found: Numbers = at[self._values[at] == one]
        return found

    def _common(self, at: Numbers) -> Numbers:
        """How many of these runs each text has."""
        return np.bincount(self._owners_of(at), minlength=len(self._texts))

    def _owners_of(self, at: Numbers) -> Numbers:
        """The texts of each run, one after the other."""
        lengths = self._lengths[at]
        before = np.cumsum(lengths) - lengths
        places = np.repeat(self._starts[at] - before, lengths) + np.arange(int(lengths.sum()))
        owners: Numbers = self._owners[places]
        return owners


def _runs(text: str, length: int) -> Runs:
    if len(text) <= length:
        return np.array([zlib.crc32(text.encode())], dtype=np.uint32)
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    count = len(codes) - length + 1
    hashes = np.zeros(count, dtype=np.uint32)
    for offset in range(length):
        hashes = (hashes ^ codes[offset : offset + count]) * _MULTIPLIER
        hashes ^= hashes >> np.uint32(15)
    return np.unique(hashes)


def _first(places: Numbers) -> int | None:
    return int(places[0]) if len(places) else None
