"""A report is a list of sections: both pages print all of it, and nothing of it contradicts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import matplotlib as mpl
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from matplotlib.figure import Figure as Drawing

from analysis import sections as subjects
from analysis.blocks import (
    Block,
    Bullets,
    Card,
    Cite,
    Cited,
    Code,
    Controls,
    Figure,
    Figures,
    File,
    Folded,
    Grid,
    ListedSource,
    Part,
    Prose,
    Searched,
    Section,
    Sources,
    Tabled,
    Tally,
)
from analysis.cells.tabulate import table
from analysis.charted import charted
from analysis.charts.chart import Chart
from analysis.pages import Page, render, write_pages
from analysis.paper.recipes import ANY_OTHER, recipe
from analysis.references import with_references
from analysis.sections import sections_of
from analysis.study import Study
from analysis.text.sentence import Sentence, say
from analysis.within import blocks_in, charts_in, files_in
from tests.doubles.run_kinds import KINDS
from tests.doubles.shared_kinds import sections_of_kind, study_of_kind

BLOCKS = {"p", "li", "td", "th", "h1", "h2", "h3", "h4", "summary", "pre", "div", "desc", "tr",
          "table", "ul", "ol", "details", "figure", "section", "blockquote"}  # fmt: skip
UNREAD = {"header", "nav", "script", "style", "caption", "title"}
"""Of a page: what is no part of the report's text, or is there for who hears it only."""
READER = MarkdownIt("commonmark").enable("table")
ANCHORS = (
    "verdict",
    "ledger",
    "before-after",
    "tuning",
    "sameness",
    "answers",
    "waiting",
    "accuracy",
    "detail",
    "price",
    "strengths",
    "side-by-side",
    "ratings",
    "limits",
    "additions",
    "machines",
    "together",
    "several",
    "decode",
    "scaling",
    "laws",
    "time",
    "cost-model",
    "what-if",
    "links",
    "prompt",
    "prompt-length",
    "agreement",
    "documents",
    "energy",
    "noise",
    "stability",
    "cells",
    "failures",
    "published",
    "provenance",
    "reproduce",
    "references",
)
"""Links into pages rest on them, and on their order."""


class Text(HTMLParser):
    """What a page says, a piece of text for each of its paragraphs, rows' cells, headings."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said: list[str] = [""]
        self.unread: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        is_fold = tag == "summary" and self.get_starttag_text() == "<summary>" and self.is_long
        if tag in UNREAD or is_fold:
            self.unread.append(tag)
        self.is_long = tag == "details" and ("class", "printed long") in attrs
        self._part(tag)

    is_long = False

    def handle_endtag(self, tag: str) -> None:
        if self.unread and self.unread[-1] == tag:
            self.unread.pop()
        self._part(tag)

    def _part(self, tag: str) -> None:
        self.said.append("") if tag in BLOCKS else self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if not self.unread:
            self.said[-1] += data

    @property
    def pieces(self) -> set[str]:
        """Every piece of text, blanks made single, without the marks of footnotes."""
        said = (re.sub(r"^✗\d+ | (?=[;.,])", "", " ".join(one.split())) for one in self.said)
        return {piece for piece in said if piece}


def pages_of(sections: list[Section]) -> tuple[str, str]:
    """HTML and Markdown of sections; of each drawing its description alone."""
    drawings = {
        chart.name: f"<svg><desc>{html.escape(chart.description)}</desc></svg>"
        for chart in charts_in(sections)
    }
    page = Page("A title", "a-run", tuple(sections), drawings)
    return render(page, "html"), render(page, "md")


def said(sections: list[Section]) -> tuple[set[str], set[str]]:
    """What both pages of sections say."""
    return said_by(pages_of(sections))


def said_by(pages: tuple[str, str]) -> tuple[set[str], set[str]]:
    """What an HTML page and its Markdown say."""
    page, markdown = pages
    _, _, body = markdown.partition("\n")
    return Text(page).pieces, Text(READER.render(body)).pieces


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def study(kind: str) -> Study:
    return study_of_kind(kind)


@pytest.fixture(scope="module")
def made(kind: str, study: Study) -> list[Section]:
    return with_references(study.run, sections_of_kind(kind))


@pytest.fixture(scope="module")
def pages(made: list[Section]) -> tuple[str, str]:
    return pages_of(made)


@pytest.fixture(scope="module")
def texts(pages: tuple[str, str]) -> tuple[set[str], set[str]]:
    return said_by(pages)


def test_both_pages_say_the_same(texts: tuple[set[str], set[str]]) -> None:
    page, markdown = texts
    assert page - markdown == set()
    assert markdown - page == set()


def strings(block: object) -> Iterator[str]:
    """Every text that a block holds."""
    if isinstance(block, str):
        yield block
    elif isinstance(block, tuple):
        for one in block:
            yield from strings(one)
    elif is_dataclass(block) and not isinstance(block, File | Chart):
        for field in fields(block):
            if field.name not in ("anchor", "style", "menu", "label", "title"):
                yield from strings(getattr(block, field.name))


def test_what_sections_hold_is_on_both_pages(
    made: list[Section], texts: tuple[set[str], set[str]]
) -> None:
    page, markdown = (" ".join(sorted(pieces)) for pieces in texts)
    for section in made:
        for block in blocks_in(section):
            if isinstance(block, Prose | Bullets | Card | Code | Figures):
                for text in strings(block):
                    wanted = " ".join(text.split())
                    assert wanted in page
                    assert wanted in markdown


DENIALS = (
    ("energy was not measured", r"\d J\b|J/answer|J/token"),
    ("not timed", r"^$"),
    ("no time was measured", r"Questions timed"),
    ("nothing was measured", r"tokens/s: median"),
    ("no attempt has been made", r"attempt \d|Every failed"),
    ("no attempt failed", r"Every failed, invalid"),
    ("nothing odd", r"becomes (slower|faster)|two speeds:"),
    ("utilisation is unknown", r"Link used, mean"),
)
"""What a page may say is missing, and how it would show it all the same."""


def test_nothing_is_said_to_be_missing_that_is_shown(texts: tuple[set[str], set[str]]) -> None:
    page, _ = texts
    text = "\n".join(page)
    for denial, shown in DENIALS:
        if denial in text.lower():
            assert not re.search(shown, text), denial


def test_what_a_note_explains_is_shown(pages: tuple[str, str]) -> None:
    """A word that a note explains is a heading, a figure or a fact of the same page."""
    _, markdown = pages
    for explained, seen in (
        ("Efficiency is the speed-up", "| Efficiency |"),
        ("CV is the standard deviation", "| CV |"),
        ("Karp-Flatt is the share", "| Karp-Flatt |"),
        ("The range is from", "| Range |"),
        ("Round trip: of a ping", "| Round trip, ms |"),
        ("“From token”:", "| From token |"),
        ("“While syncing”", "Mbit/s, while syncing"),
        ("“Or more” tokens", "or more"),
        ("“Not reported if cut off”", "· not reported if cut off"),
        ("NVML for NVIDIA boards", "NVML gpu"),
        ("Throttling of Raspberry Pis", "never"),
        ("Replayed answers cost nothing", "replayed"),
        ("distributed-llama truncates times", "distributed-llama"),
        ("Times over the Internet", "over the Internet |"),
        ("A cross is a cell", "✗1"),
        ("Published: the same share", "| Published, 128 tokens |"),
        ("Energy section", "## Energy"),
        ("is under Energy", "## Energy"),
    ):
        if explained in markdown:
            assert seen in markdown.replace("\\", ""), explained


def test_sections_and_their_parts_have_the_anchors_of_before_in_their_order(
    made: list[Section], pages: tuple[str, str]
) -> None:
    page, _ = pages
    found = [name for name in re.findall(r' id="([^"]+)"', page) if name in ANCHORS]
    assert found == [name for name in ANCHORS if name in found]
    own = {section.anchor for section in made}
    assert own <= set(found)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


def test_every_file_that_is_linked_is_written(made: list[Section], pages: tuple[str, str]) -> None:
    page, markdown = pages
    written = {file.stem for file in files_in(made)} | {chart.name for chart in charts_in(made)}
    assert set(re.findall(r'href="([\w-]+)\.csv"', page)) <= written
    assert set(re.findall(r"\(([\w-]+)\.csv\)", markdown)) <= written


def test_no_chart_is_made_twice(made: list[Section]) -> None:
    names = [chart.name for chart in charts_in(made)]
    assert len(names) == len(set(names))


def test_a_notebook_has_a_recipe_for_every_chart(made: list[Section]) -> None:
    for chart in charts_in(made):
        call = recipe(chart.name)
        assert call != ANY_OTHER, chart.name
        words = set(re.findall(r'"([a-z_]+)"', call))
        assert words & set(map(str, chart.data.columns)), chart.name
    assert recipe("run2-part-a-decode-rate") == recipe("decode-rate")


def a_chart() -> Chart:
    return Chart(
        "new-chart", "A new chart", "How to read it.", pd.DataFrame({"value": [1.5, 2.5]}),
        Drawing, tuple(f"reason {n}" for n in range(1, 11)), "1.5 and 2.5.",
    )  # fmt: skip


def test_a_chart_that_a_section_makes_is_on_both_pages_and_beside_them(tmp_path: Path) -> None:
    with mpl.rc_context():
        new = Section("new", "New", charted([a_chart()]), "New")
        write_pages(tmp_path, "A title", "a-run", [Section("verdict", "Found.", ()), new], str)
    page, markdown = ((tmp_path / name).read_text() for name in ("index.html", "report.md"))
    for text in (page, markdown):
        for word in ("A new chart", "How to read it.", "1.5 and 2.5.", "reason 8", "2 more reasons",
                     "new-chart.csv", "new-chart.svg", "new-chart.png", "2.50"):  # fmt: skip
            assert word in text
        assert "reason 9" not in text
    assert '<a href="#new">New</a>' in page
    assert {path.name for path in tmp_path.iterdir()} == {
        "index.html", "report.md", "new-chart.csv", "new-chart.png", "new-chart.svg",
    }  # fmt: skip


def one_of_each() -> list[Block]:
    """A block of every kind, each with a word of its own."""
    shown = table(("Head", "Number"), [["row", "1"], ["other", "2"]], ["Number"])
    folded = Folded("summary", (Prose(("inside",)),), lead="lead")
    return [
        Prose(("prose",), file=File("prose-file", pd.DataFrame())),
        Bullets(("bullet",), is_warning=True),
        Tabled("caption", shown, ("note",), File("table-file", pd.DataFrame()), most=1),
        *charted([a_chart()]),
        Grid((Card("card", "right", "answer", ("fact", "another")),), "cards"),
        folded,
        Searched("label", (Folded("searched", (Prose(("found",)),)),)),
        Code("code"),
        Figures((Figure("figure", "7", "unit", "about"),)),
        Tally("ledger", "tally", "planned", {"done": 2, "failed": 1}, "rest of it"),
        Controls("panel", {"words": {}, "fits": []}),
        Part("part", (Prose(("in a part",)),), "anchor"),
        Cited((Cite("method", ("one", "two"), (1, 2)), Cite("other", ("one",), (1,)))),
        Sources(
            (
                ListedSource(1, "one", "A. One. Book.", "https://one.example/a_b"),
                ListedSource(2, "two", "B. Two.", ""),
            )
        ),
    ]


def test_every_kind_of_block_has_a_place_on_both_pages() -> None:
    blocks = one_of_each()
    section = Section("verdict", "Found.", tuple(blocks))
    kinds = {type(block) for block in blocks_in(section)}
    assert kinds == set(get_args(Block))
    page, markdown = said([section])
    assert page == markdown
    assert {"prose CSV", "bullet", "row", "note CSV", "1 more row not shown here. CSV",
            "card right", "answer", "fact · another", "lead summary", "inside", "found", "code",
            "figure 7 unit about", "tally planned 3 = done 2 + failed 1; rest of it", "part",
            "in a part", "Sources: method [1] [2]; other [1]",
            "A. One. Book. https://one.example/a_b", "B. Two."} <= page  # fmt: skip
    assert "other" not in page


def test_a_block_without_a_place_in_a_template_is_no_page() -> None:
    class Unknown:
        kind = "unknown"

    section = Section("verdict", "Found.", (Unknown(),))  # type: ignore[arg-type]
    for ending in ("html", "md"):
        with pytest.raises(Exception, match="has_no_place_in_this_template"):
            render(Page("t", "r", (section,), {}), ending)


def test_every_sentence_of_a_section_can_be_looked_up_by_its_template(made: list[Section]) -> None:
    for section in made:
        for block in blocks_in(section):
            notes = block.notes if isinstance(block, Tabled) else ()
            notes += block.sentences if isinstance(block, Prose) else ()
            for sentence in notes:
                assert isinstance(sentence, Sentence), sentence
                assert sentence == sentence.template.format_map(sentence.places)


def test_a_sentence_is_its_text_and_remembers_its_template() -> None:
    one = say("{n} of {all} on {where}", n=2, all="3 {trials}", where=say("node {n}", n=1))
    assert one == "2 of 3 {trials} on node 1"
    assert (one.template, one.places["n"]) == ("{n} of {all} on {where}", 2)


def test_the_section_of_the_manual_is_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual = Path(__file__).parents[2] / "docs" / "adding-a-section.md"
    (example,) = re.findall(r"```python\n(.*?)```", manual.read_text(), re.DOTALL)
    module: dict[str, object] = {"__name__": "analysis.sections.slowest"}
    exec(compile(example, "slowest.py", "exec"), module)  # noqa: S102 - the manual's own
    monkeypatch.setattr(subjects, "SUBJECTS", (*subjects.SUBJECTS, module["sections"]))
    study = study_of_kind("several nodes")

    made = list(sections_of(study))

    assert made[-1].anchor == "slowest"
    page, markdown = said(made)
    assert page == markdown
    assert "slowest-trials" in {file.stem for file in files_in(made)}
    assert "slowest-trial" in {chart.name for chart in charts_in(made)}
