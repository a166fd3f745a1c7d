"""The pages of a report: the same sections as HTML and as Markdown, and the files next to them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from analysis.blocks import Controls, Part, Section
from analysis.charts import pictures
from analysis.charts.languages import ending_of_files
from analysis.charts.page_font import font_of
from analysis.text.csv_file import write_csv
from analysis.text.markdown import as_block, as_link, as_markdown
from analysis.text.sentence import translated
from analysis.within import blocks_in, charts_in, files_in
from core.foreign import visible
from core.language.choice import ENGLISH, LANGUAGES, language, speaking, switch_to

TEMPLATES = Path(__file__).with_name("templates")
FORMULAS = Path(__file__).with_name("model")
"""Folder of the script that a panel shares with the cost model."""
BLANK_LINES = re.compile(r"\n{3,}")
WORDS: Mapping[str, str] = {
    "drawing": "drawing",
    "understanding": "Understanding this chart.",
    "numbers": "Numbers behind it",
    "whole_table": "Whole table:",
    "picture": "picture:",
    "theme": "Switch between light and dark",
    "menu": "Sections",
    "sources": "Sources:",
    "lost": "No answer: fab watch has ended, or the way to it is closed. This is from before.",
    "found": "{hits} of {all}",
    "languages": "Language",
}
"""The words of the templates."""


def _as_html(value: object) -> object:
    """What a template of HTML prints of a value, before it is escaped."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


PAGES: Mapping[str, Callable[[object], object]] = {"html": _as_html, "md": as_markdown}
"""Ending of a template to what is done with every value that it prints."""
INDEX, MARKDOWN = "index.html", "report{ending}.md"


@dataclass(frozen=True, slots=True)
class Page:
    """What the templates print.

    Attributes:
        title: of the run.
        run: its name.
        sections: in their order; the first is the head of the page.
        drawings: name of a chart, with the ending of a language, to its drawing as part of an
            HTML page.
        has_files: the data and pictures behind it are next to it as files.
        beside: where the files of charts and tables are, from the page: empty, or `FOLDER/`.
        languages: in which the page can be read, the one that it shows first at the front.
    """

    title: str
    run: str
    sections: tuple[Section, ...]
    drawings: Mapping[str, str]
    has_files: bool = True
    beside: str = ""
    languages: tuple[str, ...] = (ENGLISH,)

    @property
    def is_english(self) -> bool:
        """Whether it can be read in no other language."""
        return self.languages == (ENGLISH,)

    @property
    def menu(self) -> tuple[tuple[str, str], ...]:
        """Anchors with their names, in the order of the page."""
        places: list[Section | Part] = []
        for section in self.sections:
            places += [section, *(block for block in section.blocks if isinstance(block, Part))]
        return tuple((place.anchor, place.menu) for place in places if place.menu)

    @property
    def has_controls(self) -> bool:
        """Whether a reader can ask what would be: only then the page has the script for it."""
        return any(
            isinstance(block, Controls) for section in self.sections for block in blocks_in(section)
        )


def write_pages(
    folder: Path,
    title: str,
    run: str,
    sections: Sequence[Section],
    tell: Callable[[str], None],
    *,
    beside: str = "",
    languages: tuple[str, ...] = (ENGLISH,),
) -> None:
    """Write a report: its pages, and every file of the charts and tables on them.

    In English, a chart's picture is `NAME.png` and the Markdown is `report.md`; in another
    language `NAME.ko.png` and `report.ko.md`. The one HTML page has all languages that are asked
    for. What CSV files hold is the same in all.

    Args:
        folder: of the report.
        title: of the run.
        run: its name.
        sections: in the order of the page.
        tell: gets the progress, a line a chart.
        beside: of pages that are moved away from their files: where these are from there.
        languages: in which the report is written.
    """
    for file in files_in(sections):
        write_csv(file.data, folder / f"{file.stem}.csv")
    found = charts_in(sections)
    drawings = {}
    for place, chart in enumerate(found, start=1):
        tell(f"Report: writing chart {place} of {len(found)}, {chart.title}")
        for code in languages:
            with speaking(code):
                drawings[f"{chart.name}{ending_of_files(code)}"] = pictures.write(chart, folder)
    page = Page(title, run, tuple(sections), drawings, beside=beside, languages=languages)
    (folder / INDEX).write_text(render(page, "html"), encoding="utf-8")
    for code in languages:
        name = MARKDOWN.format(ending=ending_of_files(code))
        text = render(replace(page, languages=(code,)), "md")
        (folder / name).write_text(text, encoding="utf-8")


@pass_context
def _mark(context: Context) -> str:
    """What ids of the page begin with: in every language but its first, with the language."""
    page: Page = context["page"]
    return "" if language() == page.languages[0] else f"{language()}-"


def render(page: Page, ending: str, template: str = "page") -> str:
    """Print a page by a template with this ending.

    Args:
        page: what is printed.
        ending: `html` or `md`.
        template: stem of the template's name: `page`, or one that extends it.
    """
    printed = _environment(ending).get_template(f"{template}.{ending}.j2")
    with speaking(page.languages[0]):
        text = printed.render(page=page, words=WORDS)
    if ending == "md":
        return BLANK_LINES.sub("\n\n", text)
    # Only a page that is a file brings its font along.
    return _with_font(text) if page.has_files else text


@functools.cache
def _environment(ending: str) -> Environment:
    """The templates with one ending; compiling them takes longer than a small page."""
    environment = Environment(
        loader=FileSystemLoader((TEMPLATES, FORMULAS)),
        # Of Markdown, too: there `as_markdown` has escaped all that is not the template's own.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=PAGES[ending],
    )
    environment.filters |= {"block": as_block, "link": as_link, "said": translated}
    environment.globals |= {
        "names": LANGUAGES,
        "speak": switch_to,
        "mark": _mark,
        "pictures": lambda: ending_of_files(language()),
    }
    return environment


def _with_font(page: str) -> str:
    """A page of HTML with a font of its letters that are not Latin."""
    font = font_of(page)
    return page.replace("</head>", f"<style>\n{font}</style>\n</head>", 1) if font else page
