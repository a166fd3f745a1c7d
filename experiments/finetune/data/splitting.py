"""Splits documents into a part to train on and one that is held out, by document or prompt."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

_NO_WORD = re.compile(r"[\W_]+")
_SIGN = re.compile(r"[+*/%^=<>|&~\u2190-\u22ff\u2600-\u27bf\U0001f000-\U0001faff]|(?<=\s)-(?=\s)")
"""Operators, arrows, and pictures; a line between blanks, which may be a minus."""


def bare_text(text: str) -> str:
    """The words of a text alone: no case, no punctuation, single blanks; any script."""
    return _NO_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def signs_of(text: str) -> str:
    """The operators and pictures of a text, in order: `5 + 3` is not the same as `5 - 3`."""
    return "".join(_SIGN.findall(unicodedata.normalize("NFKC", text)))


def held_out_keys(keys: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """Which keys are held out: those whose hash with the seed is lowest.

    So the split does not depend on the order of the data, and what is added moves little.

    Args:
        keys: of each document; equal keys stay together.
        share: of the keys, at least one and not all.
        seed: another one, another split.

    Raises:
        ValueError: there are fewer than two different keys.
    """
    different = sorted(set(keys), key=lambda key: _drawn(key, seed))
    if len(different) < 2:  # noqa: PLR2004 - one for each part
        raise ValueError("fewer than two documents")
    count = min(max(1, round(share * len(different))), len(different) - 1)
    return frozenset(different[:count])


def _drawn(key: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{key}".encode()).digest()
