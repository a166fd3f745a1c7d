"""Letters that a picture can show: those of the fonts of charts, and a box for any other."""

from __future__ import annotations

import functools
import unicodedata

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from analysis.charts import style

BOX = "\N{WHITE VERTICAL RECTANGLE}"
"""Instead of a letter that the fonts lack: a Han character, a rare syllable of Hangul."""


def in_letters(text: str) -> str:
    """Return a text as a picture can show it.

    Letters of parts, as macOS names files, are put together first.
    """
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFC", text)
    return "".join(one if one == "\n" or ord(one) in _known() else BOX for one in composed)


@functools.cache
def _known() -> frozenset[int]:
    paths = map(font_manager.findfont, style.FAMILIES)
    return frozenset(code for path in paths for code in FT2Font(path).get_charmap())
