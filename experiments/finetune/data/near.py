"""Finds texts that are nearly the same: exactly, by counting what each has in common with all.

Texts are sets of shingles: runs of four characters, so words of any script count.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Shingles = NDArray[np.uint32]
Numbers = NDArray[np.intp]
SHARE = 0.7
"""Texts are nearly the same if so large a share of all their shingles is in both."""
LONG = 200
"""Shingles from which a text that is nearly all inside another one counts as well."""
_RUN = 4
_FEW = 20
_MULTIPLIER = np.uint32(0x01000193)


def shingles_of(text: str) -> Shingles:
    """The different runs of four characters of a text, as hashes, in order.

    Short texts with other numbers have nothing in common: they ask something else.
    """
    if len(text) <= _RUN:
        return np.array([zlib.crc32(text.encode())], dtype=np.uint32)
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    count = len(codes) - _RUN + 1
    hashes = np.zeros(count, dtype=np.uint32)
    for offset in range(_RUN):
        hashes = (hashes ^ codes[offset : offset + count]) * _MULTIPLIER
        hashes ^= hashes >> np.uint32(15)
    if len(text) < LONG and (numbers := "".join(filter(str.isdigit, text))):
        hashes ^= np.uint32(zlib.crc32(numbers.encode()))
    return np.unique(hashes)


def nearly_same(left: Sequence[Shingles], right: Sequence[Shingles]) -> dict[int, int]:
    """Which texts of the left have one on the right that is nearly the same.

    Returns:
        Place on the left to the place of one on the right.
    """
    if not left or not right:
        return {}
    sizes = np.array([len(one) for one in right])
    keys = np.concatenate(right)
    order = np.argsort(keys, kind="stable")
    owners = np.repeat(np.arange(len(right)), sizes)[order]
    values, starts = np.unique(keys[order], return_index=True)
    lengths = np.diff(np.append(starts, len(keys)))
    any_long = bool((sizes >= LONG).any())
    found = {}
    for place, one in enumerate(left):
        at = np.minimum(np.searchsorted(values, one), len(values) - 1)
        at = at[values[at] == one]
        if not (any_long and len(one) >= LONG):
            # Of a text with the share in common, not all of the rarest shingles are missing.
            rare = len(one) - math.ceil(SHARE * len(one)) + 1 - (len(one) - len(at))
            few = at[np.argsort(lengths[at], kind="stable")[: max(0, rare)]]
            if not len(few):
                continue
            some = np.unique(owners[_ranges(starts[few], lengths[few])])
            if len(some) <= _FEW:
                common = np.array(
                    [len(np.intersect1d(one, right[n], assume_unique=True)) for n in some]
                )
                near = some[_is_near(common, len(one), sizes[some])]
                if len(near):
                    found[place] = int(near[0])
                continue
        common = np.bincount(owners[_ranges(starts[at], lengths[at])], minlength=len(right))
        near = np.flatnonzero(_is_near(common, len(one), sizes))
        if len(near):
            found[place] = int(near[0])
    return found


def _is_near(common: Numbers, size: int, sizes: Numbers) -> NDArray[np.bool_]:
    """Whether texts of these sizes are nearly the same as one, by what they have in common."""
    alike = common >= SHARE * (size + sizes - common)
    inside = (common >= SHARE * sizes) & (sizes >= LONG)
    around = (common >= SHARE * size) & (size >= LONG)
    return alike | inside | around


def _ranges(starts: Numbers, lengths: Numbers) -> Numbers:
    """All numbers from each start on, as many as its length."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
