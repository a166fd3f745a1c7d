"""What a paper prints of a run's sections: its floats with their labels, and the files of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.blocks import Block, Charted, Grid, Part, Section, Tabled
from analysis.charts.chart import Chart
from analysis.paper.figures import TALLEST_IN, printed
from analysis.paper.tables import Laid, LatexText, laid
from analysis.paper.widths import (
    CAPTION_PT,
    COLUMN_IN,
    PAGE_HIGH_PT,
    POINTS_AN_INCH,
    printed_height,
)
from analysis.text.sentence import say
from analysis.within import blocks_in

FIGURES, DATA = "figures", "data"
"""Folders of a paper."""
SEEN = "Shown: {description}"
LONGEST_SEEN = 500
"""Characters of a description that a caption repeats; a longer one is left to the data."""
CAPTION_SKIP_PT = 30.0
"""Between a figure and its caption; also the words "Figure" and "Shown"."""


@dataclass(frozen=True, slots=True)
class FigureInText:
    """A figure as the text of a paper includes it.

    Attributes:
        file: relative to the paper, without its ending.
        seen: what can be seen, in a sentence with numbers; empty where that would be too long.
    """

    file: LatexText
    label: LatexText
    is_wide: bool
    seen: str

    def environment(self, is_further: bool) -> LatexText:  # noqa: FBT001 - a template's words
        """The environment in LaTeX; an appendix has one column."""
        return LatexText("figure*" if self.is_wide and not is_further else "figure")


def _room_above(block: Charted, seen: str = "") -> float:
    """What the caption leaves of a page, in points, where it is as wide as a column."""
    chart = block.chart
    texts = (f"{chart.title}. {chart.understanding} {seen}", *block.footnotes, block.rest)
    caption = printed_height(" ".join(texts), CAPTION_PT, COLUMN_IN * POINTS_AN_INCH)
    return PAGE_HIGH_PT - CAPTION_SKIP_PT - caption


@dataclass(frozen=True, slots=True)
class Float:
    """How the text refers to a figure or a table."""

    word: str
    label: LatexText


@dataclass(slots=True)
class Printer:
    """Prints the sections of one run.

    Attributes:
        prefix: before the names of its files and labels; empty for the only run of a paper.
        pictures: name of a file in the paper to its bytes; each figure that was printed.
        frames: name of a file in the paper to its table; those behind figures and tables.
    """

    prefix: str
    pictures: dict[str, bytes] = field(default_factory=dict)
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    charts: dict[str, Chart] = field(default_factory=dict)
    _tables: dict[int, str] = field(default_factory=dict)
    _drawn: dict[str, FigureInText] = field(default_factory=dict)
    _kept: list[Section] = field(default_factory=list)

    def take(self, sections: Iterable[Section]) -> None:
        """Number the tables of sections, and keep the data of all their floats."""
        for section in sections:
            self._kept.append(section)  # so that no id of a block is another's later
            for block in blocks_in(section):
                if isinstance(block, Tabled):
                    label = f"tab:{self.prefix}{len(self._tables) + 1}"
                    self._tables.setdefault(id(block), label)  # one may be in text and appendix
                    if block.file is not None:
                        self.frames[self._csv(block.file.stem)] = block.file.data
                if isinstance(block, Charted):
                    self.frames[self._csv(block.chart.name)] = block.chart.data
                    self.charts[f"{self.prefix}{block.chart.name}"] = block.chart
            for file in section.files:
                self.frames[self._csv(file.stem)] = file.data

    def _csv(self, stem: str) -> str:
        return f"{DATA}/{self.prefix}{stem}.csv"

    def laid(self, block: Tabled, is_further: bool) -> Laid:  # noqa: FBT001 - a template's words
        """Set a table for its place."""
        file = self._csv(block.file.stem) if block.file is not None else None
        return laid(block, self._tables[id(block)], file, is_further=is_further)

    def drawn(self, block: Charted) -> FigureInText:
        """Print a chart, once."""
        name = f"{self.prefix}{block.chart.name}"
        if name not in self._drawn:
            figure = printed(block.chart, min(TALLEST_IN, _room_above(block) / POINTS_AN_INCH))
            self.pictures[f"{FIGURES}/{name}.pdf"] = figure.pdf
            said = block.chart.description
            seen = say(SEEN, description=said) if said and len(said) <= LONGEST_SEEN else ""
            if figure.height_pt > _room_above(block, seen):
                seen = ""
            place, label = LatexText(f"{FIGURES}/{name}"), LatexText(f"fig:{name}")
            self._drawn[name] = FigureInText(place, label, figure.is_wide, seen)
        return self._drawn[name]

    def floats_of(self, section: Section) -> list[Float]:
        """The figures and tables of a section that are in the text, in their order."""
        return list(self._floats(section.blocks))

    def _floats(self, blocks: Sequence[Block]) -> Iterator[Float]:
        for block in blocks:
            if isinstance(block, Tabled):
                yield Float("Table", LatexText(self._tables[id(block)]))
            elif isinstance(block, Charted):
                yield Float("Figure", self.drawn(block).label)
            elif isinstance(block, Grid | Part):
                yield from self._floats(block.blocks)

    def has_text(self, block: Part) -> bool:
        """Whether a part has more in the text than figures and tables, and so needs its heading."""
        return any(one.kind in ("prose", "bullets", "code", "cited") for one in block.blocks)
