"""The templates of a report: whatever a value holds, it is text on the page and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.markdown import as_block, as_markdown
from analysis.wording import plural
from core.foreign import visible

TEMPLATES = Path(__file__).with_name("templates")
FOLDED = 30
"""Rows from which a table is folded on the page."""
FINDINGS = 12
"""Findings that the Markdown, which folds nothing, prints."""


def _as_html(value: object) -> object:
    """What a template of HTML prints of a value, before it is escaped."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


PAGES: Mapping[str, Callable[[object], object]] = {
    "index.html": _as_html,
    "report.md": as_markdown,
}
"""File of a report to what is done with every value that its template prints."""


def write_pages(folder: Path, content: object) -> None:
    """Write the page and the same in Markdown.

    Args:
        folder: of the report.
        content: what the templates call `content`.
    """
    for file_name, printed in PAGES.items():
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            # Of Markdown, too: there `as_markdown` has escaped all that is not the template's own.
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=printed,
        )
        environment.filters |= {"block": as_block, "plural": plural}
        environment.globals |= {"FOLDED": FOLDED, "FINDINGS": FINDINGS}
        page = environment.get_template(f"{file_name}.j2").render(content=content)
        (folder / file_name).write_text(page, encoding="utf-8")
