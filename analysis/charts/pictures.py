"""A chart as files, and as part of a page, in the language in force."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.charts.languages import ending_of_files, in_language
from analysis.text.csv_file import write_csv
from analysis.text.sentence import translated
from core.foreign import visible
from core.language.choice import ENGLISH, language


def write(chart: Chart, folder: Path) -> str:
    """Write a chart's CSV, PNG and SVG in the language in force; the page's SVG comes back."""
    write_csv(chart.data, folder / f"{chart.name}.csv")
    stem = f"{chart.name}{ending_of_files(language())}"
    figure = chart.figure
    with _laid_out_once(figure) as lay_out:
        with in_language(figure) as settings, mpl.rc_context(settings):
            lay_out()
            figure.savefig(folder / f"{stem}.png", dpi=style.PNG_DPI)
        svg = _svg(chart)
    (folder / f"{stem}.svg").write_text(svg, encoding="utf-8")
    return inline_svg(svg, chart)


@contextmanager
def _laid_out_once(figure: Figure) -> Iterator[Callable[[], None]]:
    """Give what makes the layout of a figure, for all files: it takes half the time of one."""
    engine, dpi = figure.get_layout_engine(), figure.dpi

    def lay_out() -> None:
        if engine is not None:
            figure.set_dpi(style.PNG_DPI)
            engine.execute(figure)
            figure.set_dpi(dpi)
        figure.set_layout_engine(None)

    try:
        yield lay_out
    finally:
        figure.set_layout_engine(engine)


def drawn(chart: Chart) -> str:
    """Draw a chart as part of a page that has no files."""
    return inline_svg(_svg(chart), chart)


def _svg(chart: Chart) -> str:
    buffer = io.StringIO()
    about = {"Date": None, "Title": translated(chart.title)}
    with in_language(chart.figure, is_text=True) as settings, mpl.rc_context(settings):
        chart.figure.savefig(buffer, format="svg", metadata=about)
    return buffer.getvalue()


def inline_svg(svg: str, chart: Chart) -> str:
    """A figure as part of a page: scales with it, follows its colours, keeps its ids apart.

    Who cannot see it hears its title and its description.
    """
    name = chart.name if language() == ENGLISH else f"{language()}-{chart.name}"
    body = svg[svg.index("<svg ") :]
    head_end = body.index(">")
    view_box = re.search(r'viewBox="([^"]+)"', body[:head_end])
    inner = re.sub(r"<metadata>.*?</metadata>", "", body[head_end + 1 :], flags=re.DOTALL)
    inner = re.sub(r"<style.*?</style>", "", inner, flags=re.DOTALL)
    inner = re.sub(r'\bid="', f'id="{name}-', inner)
    inner = re.sub(r'href="#', f'href="#{name}-', inner)
    inner = re.sub(r"url\(#", f"url(#{name}-", inner)
    for color, variable in style.CSS_VARIABLES.items():
        inner = inner.replace(color, f"var({variable})")
    box = view_box[1] if view_box else "0 0 400 300"
    told = Markup('role="img" aria-label="{}" aria-describedby="{}-said"').format(
        translated(chart.title), name
    )
    said = Markup('<desc id="{}-said">{}</desc>').format(
        name, visible(translated(chart.description))
    )
    return f'<svg viewBox="{box}" {told}>{said}{inner}'
