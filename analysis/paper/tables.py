"""Tables of a report as tables of a paper: no wider than the room that they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from analysis.blocks import Tabled
from analysis.cells.tabulate import Table, Text
from analysis.paper.widths import (
    CAPTION_PT,
    COLUMN_IN,
    LEADING,
    PAGE_HIGH_PT,
    PAGE_IN,
    POINTS_AN_INCH,
    TABLE_PT,
    TEXT_IN,
    Column,
    columns_of,
    printed_height,
)
from analysis.text.sentence import say, together

MOST_ROWS = 40
"""Rows of a table in the text of a paper; an appendix has as many as the report."""
MOST_NAMING = 3
"""Columns that are repeated where a table is continued next to itself."""
RULES_PT = 40.0
"""Height of a table's rules, and of what is between its caption, itself and its notes."""
CUT = "{rows} more rows are in {file}."
LEFT_OUT = "{rows} more rows are not shown."
WHOLE_VALUES = 200
"""Characters of a value that was shortened for the page, and is whole in an appendix."""


@dataclass(frozen=True, slots=True)
class TableSheet:
    """A table, or some columns of one, that fit side by side.

    Attributes:
        columns: how each is set.
        heads: the name of each.
        rows: their texts.
    """

    columns: tuple[Column, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def form(self) -> LatexText:
        """The preamble of the table."""
        return LatexText("".join(column.form for column in self.columns))


class LatexText(str):
    """Text of our own that is LaTeX already."""

    __slots__ = ()

    def __html__(self) -> str:
        """Say so to the templates."""
        return str(self)


@dataclass(frozen=True, slots=True)
class Laid:
    """A table as a paper has it.

    Attributes:
        environment: `table`, or `table*` over both columns.
        notes: how to read it, and how many rows are not here.
        sheets: one; more where no page is wide enough for all columns.
    """

    caption: str
    label: LatexText
    environment: LatexText
    notes: str
    sheets: tuple[TableSheet, ...]

    @property
    def continued(self) -> LatexText:
        """The environment of all sheets but the first, which are not counted."""
        return LatexText(f"{self.environment}*")


def laid(block: Tabled, label: str, file: str | None, *, is_further: bool) -> Laid:
    """Set a table for a paper.

    Args:
        block: the table with its caption and notes.
        label: by which the text refers to it.
        file: the CSV with all of its rows, relative to the paper; None where there is none.
        is_further: it is in an appendix, which has one column and as many pages as it takes.
    """
    most = block.most if is_further else min(block.most, MOST_ROWS)
    table = replace(block.table, rows=block.table.rows[:most])
    if is_further:
        environment, sheets = "longtable", tuple(_sheets(_with_whole_values(table), PAGE_IN))
    else:
        environment, sheets = "table", tuple(_sheets(table, COLUMN_IN))
        if len(sheets) > 1 or _is_cramped(sheets[0], table):
            environment, sheets = "table*", tuple(_sheets(table, TEXT_IN))
        width_in = COLUMN_IN if environment == "table" else TEXT_IN
        most = _rows_on_page(sheets, width_in * POINTS_AN_INCH, (block.caption, *block.notes))
        sheets = tuple(replace(sheet, rows=sheet.rows[:most]) for sheet in sheets)
    rest = len(block.table.rows) - len(sheets[0].rows)
    cut = (say(CUT, rows=rest, file=file) if file else say(LEFT_OUT, rows=rest)) if rest > 0 else ""
    notes = together((*block.notes, cut))
    return Laid(block.caption, LatexText(label), LatexText(environment), notes, sheets)


def _rows_on_page(sheets: Sequence[TableSheet], width_pt: float, around: Sequence[str]) -> int:
    """How many rows fit on a page in every sheet, one at least; a float is never broken.

    Args:
        sheets: with all rows.
        width_pt: of the text around them, in points.
        around: the caption and the notes.
    """
    room = PAGE_HIGH_PT - RULES_PT
    room -= sum(printed_height(text, CAPTION_PT, width_pt) for text in around)
    return max(1, min(_rows_in(sheet, room) for sheet in sheets))


def _rows_in(sheet: TableSheet, room_pt: float) -> int:
    heights = accumulate(_row_height(sheet, row) for row in (sheet.heads, *sheet.rows))
    return sum(height <= room_pt for height in heights) - 1


def _row_height(sheet: TableSheet, row: Sequence[str]) -> float:
    """The height of a row, in points: as many lines as the longest of its texts takes."""
    broken = zip(sheet.columns, row, strict=True)
    lines = [printed_height(text, TABLE_PT, one.width_pt) for one, text in broken if one.width_pt]
    return max(TABLE_PT * LEADING, *lines, 0.0)


def _with_whole_values(table: Table) -> Table:
    """Whole hashes: an appendix is what others compare with."""
    rows = tuple(
        tuple(Text(cell.title) if 0 < len(cell.title) <= WHOLE_VALUES else cell for cell in row)
        for row in table.rows
    )
    return replace(table, rows=rows)


def _is_cramped(sheet: TableSheet, table: Table) -> bool:
    """Some text would be broken into many lines, which room over both columns avoids."""
    return any(
        column.width_pt is not None
        and any(len(row[place].text) > column.width_pt / 2 for row in table.rows)
        for place, column in enumerate(sheet.columns)
    )


def _sheets(table: Table, width_in: float) -> Iterator[TableSheet]:
    """The table, or its columns in groups that fit, each beginning with what names a row."""
    most_pt = width_in * POINTS_AN_INCH
    if columns := columns_of(table, most_pt):
        yield _sheet(table, columns)
        return
    first = list(range(_naming(table, most_pt)))
    place = len(first)
    while place < len(table.columns):
        chosen = [*first, place]
        made = columns_of(_only(table, chosen), most_pt)
        while place + 1 < len(table.columns):
            more = columns_of(_only(table, [*chosen, place + 1]), most_pt)
            if more is None:
                break
            place += 1
            chosen, made = [*chosen, place], more
        if made is None:  # two columns with words as wide as the page: let them share it
            half = Column(is_numeric=False, width_pt=most_pt / 2 - 4)
            made = (half, half)
        yield _sheet(_only(table, chosen), made)
        place += 1


def _naming(table: Table, most_pt: float) -> int:
    """How many of the first columns distinguish all rows and leave room; 1 if no few do."""
    for most in range(1, min(MOST_NAMING, len(table.columns) - 1) + 1):
        named = {tuple(cell.text for cell in row[:most]) for row in table.rows}
        if len(named) == len(table.rows):
            rest = range(most, len(table.columns))
            fits = all(columns_of(_only(table, [*range(most), one]), most_pt) for one in rest)
            return most if fits else 1
    return 1


def _only(table: Table, places: list[int]) -> Table:
    return Table(
        tuple(table.columns[place] for place in places),
        tuple(tuple(row[place] for place in places) for row in table.rows),
        frozenset(new for new, old in enumerate(places) if old in table.numeric),
    )


def _sheet(table: Table, columns: tuple[Column, ...]) -> TableSheet:
    rows = tuple(tuple(cell.text for cell in row) for row in table.rows)
    return TableSheet(columns, table.columns, rows)
