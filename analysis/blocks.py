"""What a report is made of: sections, and the few kinds of block that a section holds.

A subject of the report makes sections; the two templates print them and know no subject. What a
block holds is text: no template takes any of it for markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import pandas as pd
from markupsafe import Markup

from analysis.cells.tabulate import Table
from analysis.charts.chart import Chart
from analysis.text.sentence import say, together, translated
from analysis.text.wording import plural

FOLDED = 30
"""Rows from which the page folds a table."""


@dataclass(frozen=True, slots=True)
class File:
    """A table that is written as a CSV file next to the page.

    Attributes:
        stem: name of the file without `.csv`.
        data: what the file holds.
        label: what the link to it is called.
    """

    stem: str
    data: pd.DataFrame
    label: str = "CSV"


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph.

    Attributes:
        sentences: one after the other.
        is_note: in small type: how to read what is above it.
        file: linked at its end; None: no file.
    """

    kind: ClassVar[str] = "prose"
    sentences: tuple[str, ...]
    is_note: bool = False
    file: File | None = None

    @property
    def text(self) -> str:
        """The whole paragraph."""
        return together(self.sentences)


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences.

    Attributes:
        is_warning: a reader must know them before quoting a figure.
    """

    kind: ClassVar[str] = "bullets"
    items: tuple[str, ...]
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class Tabled:
    """A table with its caption, how to read it, and its data as a file.

    Attributes:
        notes: sentences below the table.
        file: what the table was made from; None where there is no file of it.
        most: rows that are shown; the file holds all.
        is_sortable: a reader may sort it on the page.
    """

    kind: ClassVar[str] = "tabled"
    caption: str
    table: Table
    notes: tuple[str, ...] = ()
    file: File | None = None
    most: int = 100
    is_sortable: bool = False

    @property
    def text(self) -> str:
        """The notes as one paragraph."""
        return together(self.notes)

    @property
    def is_long(self) -> bool:
        """The page folds it."""
        return len(self.table.rows) > FOLDED

    @property
    def summary(self) -> str:
        """The text on the fold."""
        return say("{caption}: {rows} rows", caption=self.caption, rows=len(self.table.rows))

    @property
    def rest(self) -> str:
        """How many rows are not shown; empty if all are."""
        rest = len(self.table.rows) - self.most
        return say("{rows} not shown here.", rows=plural(rest, "more row")) if rest > 0 else ""


@dataclass(frozen=True, slots=True)
class Charted:
    """A chart with the table behind it. Its CSV file and pictures are written with the page.

    Attributes:
        footnotes: why cells are missing, by the number at their cross.
        rest: where the other reasons are; empty if all are here.
    """

    kind: ClassVar[str] = "charted"
    chart: Chart
    table: Tabled
    footnotes: tuple[str, ...]
    rest: str


@dataclass(frozen=True, slots=True)
class Card:
    """One of several answers side by side.

    Attributes:
        mark: a word on it: `right`, `wrong`; may be empty.
        facts: a few words each.
    """

    kind: ClassVar[str] = "card"
    title: str
    mark: str
    text: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Blocks side by side where the screen is wide enough.

    Attributes:
        style: `charts`, `cards` or `columns`: how wide each is at least.
    """

    kind: ClassVar[str] = "grid"
    blocks: tuple[Block, ...]
    style: str


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks that the page shows only when a reader opens them.

    Attributes:
        summary: the text on the fold.
        lead: the beginning of the summary, in bold type; may be empty.
        is_printed: on paper it is open.
    """

    kind: ClassVar[str] = "folded"
    summary: str
    blocks: tuple[Block, ...]
    lead: str = ""
    is_printed: bool = False


@dataclass(frozen=True, slots=True)
class Searched:
    """Folded blocks with a field that finds those which hold some words.

    Attributes:
        label: what the field asks for.
        anchor: its id on the page.
    """

    kind: ClassVar[str] = "searched"
    label: str
    blocks: tuple[Folded, ...]
    anchor: str = "search"


@dataclass(frozen=True, slots=True)
class Code:
    """Text to be copied as it is: a command, a prompt."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what it is, its value with unit, and what it belongs to."""

    name: str
    value: str
    unit: str
    about: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Key figures in large type."""

    kind: ClassVar[str] = "figures"
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """A sum and its parts, which are also drawn as a bar.

    Attributes:
        anchor: its id on the page.
        counts: name of each part to how many it has, in the order of the sum.
        rest: what else must be said of it; may be empty.
    """

    kind: ClassVar[str] = "tally"
    anchor: str
    name: str
    whole: str
    counts: Mapping[str, int]
    rest: str = ""

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Controls:
    """Controls with which a reader of the page asks what would be (`templates/what_if.js`).

    Other pages have no controls: another block has the same for these.

    Attributes:
        anchor: its id on the page.
        data: what the controls offer and compute from, as JSON has it.
    """

    kind: ClassVar[str] = "controls"
    anchor: str
    data: Mapping[str, object]

    @property
    def script(self) -> Markup:
        """The data as text inside a script element: nothing in it ends that element."""
        text = json.dumps(_spoken_data(self.data), separators=(",", ":"))
        for mark in "<>&":
            text = text.replace(mark, f"\\u{ord(mark):04x}")
        return Markup(text)  # noqa: S704 - nothing in it is markup any more


def _spoken_data(data: object) -> object:
    """Data for a script with its texts in the language in force; names must be `verbatim`."""
    if isinstance(data, Mapping):
        return {key: _spoken_data(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_spoken_data(value) for value in data]
    return translated(data) if isinstance(data, str) else data


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a section with its own heading.

    Attributes:
        anchor: its id on the page; may be empty.
        menu: what the menu calls it; empty: it is not in the menu.
    """

    kind: ClassVar[str] = "part"
    title: str
    blocks: tuple[Block, ...]
    anchor: str = ""
    menu: str = ""


@dataclass(frozen=True, slots=True)
class Cite:
    """Something with where it comes from.

    Attributes:
        what: a method, an engine, a table of others.
        keys: of its references (`analysis/references/references.bib`).
        numbers: of these on the page; empty until the page is put together.
    """

    what: str
    keys: tuple[str, ...]
    numbers: tuple[int, ...] = ()

    @property
    def marks(self) -> tuple[tuple[str, int], ...]:
        """Each key with its number."""
        return tuple(zip(self.keys, self.numbers, strict=bool(self.numbers)))


@dataclass(frozen=True, slots=True)
class Cited:
    """What the blocks before it draw on."""

    kind: ClassVar[str] = "cited"
    cites: tuple[Cite, ...]


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A reference in the list at the end of a page.

    Attributes:
        text: of authors, title, place and year.
        address: on the web; may be empty.
    """

    number: int
    key: str
    text: str
    address: str


@dataclass(frozen=True, slots=True)
class Sources:
    """The list of references."""

    kind: ClassVar[str] = "sources"
    sources: tuple[ListedSource, ...]


Block: TypeAlias = (
    Prose | Bullets | Tabled | Charted | Card | Grid | Folded | Searched | Code | Figures | Tally
    | Controls | Part | Cited | Sources
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the report.

    Attributes:
        anchor: its id on the page: links into the page depend on it.
        menu: what the menu calls it; empty: it is not in the menu.
        files: further data to write next to the page.
        opens_part: it begins a part of a run with several: its title is larger.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    menu: str = ""
    files: tuple[File, ...] = ()
    opens_part: bool = False


def note(*sentences: str, file: File | None = None) -> Prose:
    """Make a paragraph in small type of the sentences that are not empty."""
    return Prose(tuple(filter(None, sentences)), is_note=True, file=file)


def cited(*cites: tuple[str, str | tuple[str, ...]] | None) -> tuple[Cited, ...]:
    """Make a line of what a section draws on; nothing of nothing.

    Args:
        cites: a name and the key of its reference, or several; None for what is not used here.
    """
    named = (
        (what, (keys,) if isinstance(keys, str) else keys) for what, keys in filter(None, cites)
    )
    made = tuple(Cite(what, keys) for what, keys in named if keys)
    return (Cited(made),) if made else ()
