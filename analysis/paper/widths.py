"""How wide text is in a paper, and how wide the columns of a table become."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.ft2font import FT2Font, LoadFlags

from analysis.cells.tabulate import Table
from analysis.paper.latex import LONG_RUN, LONG_WORD, glued

POINTS_AN_INCH = 72.27
COLUMN_IN, TEXT_IN, PAGE_IN = 3.33, 7.0, 7.0
"""Widths of a column, of two with the gap between them, and of a page with one column."""
PAGE_HIGH_PT = 9.6 * POINTS_AN_INCH
"""Height of the text of a page."""
TABLE_PT, CAPTION_PT = 8.0, 9.0
"""Sizes of the type in tables and captions."""
LEADING = 1.23
"""From one line to the next at most, as a share of the size of the type."""
GAP_PT = 7.0
"""Between two columns of a table."""
SLACK = 1.1
"""Letters of 8 pt are 6 % wider than those of 10 pt made smaller; the rest is for other fonts."""
_WIDE = re.compile("[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uff00-\uff60]")
_ENDS = re.compile(r"(?<=[/_.\-:=@,+&?\\])")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table as it is set.

    Attributes:
        width_pt: in which its text is broken into lines; None: it is as wide as its text.
    """

    is_numeric: bool
    width_pt: float | None

    @property
    def form(self) -> str:
        """The column in the preamble of a table in LaTeX."""
        if self.width_pt is None:
            return "r" if self.is_numeric else "l"
        return f"{'R' if self.is_numeric else 'L'}{{{self.width_pt:.1f}pt}}"


@functools.cache
def _roman() -> FT2Font:
    return FT2Font(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "cmr10.ttf"))


@functools.cache
def _character(character: str) -> float:
    """The width of a character as a share of the size of the type."""
    if _WIDE.match(character):
        return 1.0
    font = _roman()
    if ord(character) not in font.get_charmap():
        return 0.7 if character.isupper() else 0.6
    font.set_size(10, 72)
    return (
        float(font.load_char(ord(character), flags=LoadFlags.NO_HINTING).linearHoriAdvance)
        / 65536
        / 10
    )


def printed_width(text: str, size_pt: float = TABLE_PT) -> float:
    """The width of text on one line, in points."""
    return SLACK * size_pt * sum(map(_character, text))


def printed_height(text: str, size_pt: float, width_pt: float) -> float:
    """The height of text that is broken into lines of that width, in points; 0 for no text."""
    lines, end = 0, math.inf
    for word in glued(text).split():
        blank = printed_width(" ", size_pt)
        for part in _parts(word):
            width = printed_width(part, size_pt)
            is_next = end + blank + width > width_pt
            lines, end = (lines + 1, width) if is_next else (lines, end + blank + width)
            blank = 0.0
    return lines * size_pt * LEADING


def longest_part(text: str) -> float:
    """The width of the longest part of text that is not broken into lines, in points."""
    return max(
        (printed_width(part) for word in glued(text).split(" ") for part in _parts(word)),
        default=0.0,
    )


def _parts(word: str) -> Iterator[str]:
    if len(word) < LONG_WORD:
        yield word
        return
    for part in _ENDS.split(word):
        yield from (part[at : at + LONG_RUN] for at in range(0, max(1, len(part)), LONG_RUN))


def columns_of(table: Table, most_pt: float) -> tuple[Column, ...] | None:
    """How each column is set so that the table is no wider than that; None where it cannot be.

    Args:
        table: to be set.
        most_pt: the room, in points.
    """
    texts = [
        [name, *(row[place].text for row in table.rows)] for place, name in enumerate(table.columns)
    ]
    room = most_pt - GAP_PT * (len(texts) - 1)
    whole = [max(map(printed_width, own[1:]), default=0.0) for own in texts]
    heads = [max(longest_part(own[0]), _half(own[0])) for own in texts]
    wanted = [max(both) for both in zip(whole, heads, strict=True)]
    least = [max(map(longest_part, own)) for own in texts]
    if sum(wanted) <= room:
        return tuple(
            Column(place in table.numeric, None if printed_width(own[0]) <= width else width)
            for place, (own, width) in enumerate(zip(texts, wanted, strict=True))
        )
    if sum(least) > room:
        return None
    widths = _shared(wanted, least, room)
    return tuple(
        Column(
            place in table.numeric,
            width if width < wanted[place] or printed_width(own[0]) > width else None,
        )
        for place, (own, width) in enumerate(zip(texts, widths, strict=True))
    )


def _half(head: str) -> float:
    """The width of a head of two lines."""
    return printed_width(head) * 0.62 if " " in head else printed_width(head)


def _shared(wanted: Sequence[float], least: Sequence[float], room: float) -> list[float]:
    """Widths that fill the room: the widest columns give, none below its longest part."""
    low, high = 0.0, max(wanted)
    for _ in range(40):
        middle = (low + high) / 2
        given = [max(one, min(full, middle)) for one, full in zip(least, wanted, strict=True)]
        low, high = (middle, high) if sum(given) <= room else (low, middle)
    return [max(one, min(full, low)) for one, full in zip(least, wanted, strict=True)]
