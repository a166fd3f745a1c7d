"""The pages of a report: the same sections as HTML and as Markdown, and the files next to them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.blocks import Controls, Part, Section, blocks_in, charts_in, files_in
from analysis.charts import charts
from analysis.text.csv_file import write_csv
from analysis.text.markdown import as_block, as_link, as_markdown
from core.foreign import visible

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
}
"""The words of the templates."""


def _as_html(value: object) -> object:
    """What a template of HTML prints of a value, before it is escaped."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


PAGES: Mapping[str, Callable[[object], object]] = {"html": _as_html, "md": as_markdown}
"""Ending of a template to what is done with every value that it prints."""
FILES: Mapping[str, str] = {"html": "index.html", "md": "report.md"}


@dataclass(frozen=True, slots=True)
class Page:
    """What the templates print.

    Attributes:
        title: of the run.
        run: its name.
        sections: in their order; the first is the head of the page.
        drawings: name of a chart to its drawing as part of an HTML page.
        has_files: the data and pictures behind it are next to it as files.
        beside: where the files of charts and tables are, from the page: empty, or `FOLDER/`.
    """

    title: str
    run: str
    sections: tuple[Section, ...]
    drawings: Mapping[str, str]
    has_files: bool = True
    beside: str = ""

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
) -> None:
    """Write a report: both pages, and every file of the charts and tables on them.

    Args:
        folder: of the report.
        title: of the run.
        run: its name.
        sections: in the order of the page.
        tell: gets the progress, a line a chart.
        beside: of pages that are moved away from their files: where these are from there.
    """
    for file in files_in(sections):
        write_csv(file.data, folder / f"{file.stem}.csv")
    found = charts_in(sections)
    drawings = {}
    for place, chart in enumerate(found, start=1):
        tell(f"Report: writing chart {place} of {len(found)}, {chart.title}")
        drawings[chart.name] = charts.write(chart, folder)
    page = Page(title, run, tuple(sections), drawings, beside=beside)
    for ending, file_name in FILES.items():
        (folder / file_name).write_text(render(page, ending), encoding="utf-8")


def render(page: Page, ending: str, template: str = "page") -> str:
    """Print a page by a template with this ending.

    Args:
        page: what is printed.
        ending: `html` or `md`.
        template: stem of the template's name: `page`, or one that extends it.
    """
    printed = _environment(ending).get_template(f"{template}.{ending}.j2")
    text = printed.render(page=page, words=WORDS)
    return BLANK_LINES.sub("\n\n", text) if ending == "md" else text


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
    environment.filters["block"] = as_block
    environment.filters["link"] = as_link
    return environment
