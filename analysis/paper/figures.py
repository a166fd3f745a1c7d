"""Charts as vector figures for print: in the width of a column, and readable without colour.

A chart of a report is redrawn, not scaled: its figure gets the width of a column, type of about
8 pt, and lays itself out again. Where that makes texts overlap or leaves no room for the drawing,
the figure goes over both columns.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.charts.languages import in_language
from analysis.paper.widths import COLUMN_IN, POINTS_AN_INCH

WIDE_IN = style.WIDTH_IN
"""Width over both columns: as on the page, which the chart was laid out for."""
LOWEST = 0.72
"""A panel's height in a column, as a share of its height on the page."""
SMALLEST_PT, LARGEST_PT = 7.0, 8.0
TALLEST_IN = 8.4
"""What fits on a page with a caption of a few lines."""
LEAST_DRAWN = 0.5
"""Share of a figure's width that the axes have at least."""
TOUCHING_PT = 1.0
"""By so much two texts may overlap."""
GREYS = MappingProxyType(
    dict(
        zip(
            style.PALETTE,
            ("#013c61", "#e86d18", "#037152", "#fda6d6", "#0182b3", "#e39e08", "#643d7f"),
            strict=True,
        )
    )
)
"""A colour of the page to one for paper: of the same hue, each with another lightness (CIE L* from
24 to 78, eight apart or more), so that a print without colour distinguishes them."""
PATTERNS: tuple[style.Dash, ...] = (
    "-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)),
    (0, (8, 2)), (0, (2, 2)),
)  # fmt: skip
"""The line of each colour: a reader of grey lines has the marker and the pattern as well."""
INTERVAL_PT = 2.0
"""Lines from this width on are intervals: they stay whole."""
RC: MappingProxyType[Any, Any] = MappingProxyType(
    {**style.RC, "pdf.fonttype": 42, "pdf.compression": 9, "figure.facecolor": "white",
     "savefig.facecolor": "white"}
)  # fmt: skip
TEXT_GREY = "#333333"
"""Text that is grey on the page."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A figure of a paper.

    Attributes:
        pdf: the file, the same bytes for the same chart.
        is_wide: it goes over both columns.
        height_pt: in points of TeX.
    """

    pdf: bytes
    is_wide: bool
    height_pt: float


def printed(chart: Chart, tallest_in: float = TALLEST_IN) -> Printed:
    """Draw a chart for print. Its figure is changed, and of no use to a page afterwards.

    Args:
        chart: to be drawn.
        tallest_in: the most that its caption leaves of a page, in inches.
    """
    figure = chart.figure
    with in_language(figure), mpl.rc_context(dict(RC)):
        for_paper(figure)
        is_wide = not _fits_column(figure, tallest_in)
        buffer = io.BytesIO()
        about = {"Title": chart.title, "CreationDate": None, "Creator": None, "Producer": None}
        figure.savefig(buffer, format="pdf", metadata=about)
    height = float(figure.get_size_inches()[1]) * POINTS_AN_INCH
    return Printed(buffer.getvalue(), is_wide, height)


def for_paper(figure: Figure) -> None:
    """Give a figure the colours, the lines and the sizes of type of a paper."""
    figure.set_facecolor("white")
    for artist in figure.findobj():
        if isinstance(artist, Line2D):
            _line(artist)
        elif isinstance(artist, Text):
            _text(artist)
        elif isinstance(artist, Patch):
            artist.set(facecolor=_grey(artist.get_facecolor()),
                       edgecolor=_grey(artist.get_edgecolor()))  # fmt: skip
        elif isinstance(artist, Collection):
            artist.set(facecolor=_greys(artist.get_facecolor()),
                       edgecolor=_greys(artist.get_edgecolor()))  # fmt: skip


def _line(line: Line2D) -> None:
    color = to_hex(line.get_color())
    is_guide = line.get_linestyle() == "-" and float(line.get_linewidth()) < INTERVAL_PT
    if color in GREYS and is_guide:
        line.set_linestyle(PATTERNS[style.PALETTE.index(color)])
    line.set(
        color=_grey(line.get_color()),
        markerfacecolor=_grey(line.get_markerfacecolor()),
        markeredgecolor=_grey(line.get_markeredgecolor()),
    )


def _text(text: Text) -> None:
    text.set_fontsize(min(LARGEST_PT, max(SMALLEST_PT, float(text.get_fontsize()))))
    color = to_hex(text.get_color())
    text.set_color(TEXT_GREY if color == style.MUTED else _grey(text.get_color()))


def _greys(colors: Any) -> list[Any]:  # noqa: ANN401 - Matplotlib has a dozen forms of colours
    return [_grey(color) for color in colors]


def _grey(color: Any) -> Any:  # noqa: ANN401 - as above; "none" and "auto" stay what they are
    if isinstance(color, str) and color in ("none", "auto"):
        return color
    *_, alpha = to_rgba(color)
    known = to_hex(color)
    if known in (style.PAPER, style.SHADE):
        return (*to_rgba("white" if known == style.PAPER else "#f0f0f0")[:3], alpha)
    return (*to_rgba(GREYS.get(known, color))[:3], alpha)


def _fits_column(figure: Figure, tallest_in: float) -> bool:
    """Give the figure the width of a column if it is readable there, else that of the page."""
    width, height = figure.get_size_inches()
    panels = len([axes for axes in figure.axes if axes.get_subplotspec() is not None])
    saved = style.PANEL_IN * (1 - LOWEST) * max(1, panels) if height >= style.PANEL_IN else 0.0
    legends = _legends(figure)
    columns = [int(getattr(legend, "_ncols", 1)) for legend in legends]  # no method says it
    ends = [axes.get_xlim() for axes in figure.axes]
    for most in (2, 1):
        figure.set_size_inches(COLUMN_IN, min(height - saved, tallest_in))
        for legend, own in zip(legends, columns, strict=True):
            legend.set_ncols(min(own, most))
        _make_room(figure)
        if is_readable(figure):
            return True
    figure.set_size_inches(max(WIDE_IN, width), min(height, tallest_in))
    for legend, own in zip(legends, columns, strict=True):
        legend.set_ncols(own)
    for axes, own_ends in zip(figure.axes, ends, strict=True):
        axes.set_xlim(own_ends)
    return False


def _legends(figure: Figure) -> list[Legend]:
    return [one for one in figure.findobj(Legend) if isinstance(one, Legend)]


def is_readable(figure: Figure) -> bool:
    """Whether all text is inside the figure, no two texts overlap, and the axes have room."""
    figure.draw_without_rendering()
    page = figure.bbox.padded(TOUCHING_PT)
    drawn = [axes.get_position().width for axes in figure.axes]
    if drawn and max(drawn) < LEAST_DRAWN:
        return False
    boxes = [text.get_window_extent() for text in _texts(figure)]
    if any(not _inside(box, page) for box in boxes):
        return False
    slack = -TOUCHING_PT * figure.dpi / 72
    shrunk = [box.padded(slack) for box in boxes]
    return not any(
        one.overlaps(other)
        for place, one in enumerate(shrunk)
        for other in shrunk[place + 1 :]
        if one.width > 0 and other.width > 0
    )


def _texts(figure: Figure) -> Iterator[Text]:
    """Every text that is drawn: labels of ticks beyond the ends of an axis are not."""
    beyond = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not _is_between(tick.get_loc(), *sorted(axis.get_view_interval()))
        for label in (tick.label1, tick.label2)
    }
    for artist in figure.findobj(Text):
        is_seen = isinstance(artist, Text) and artist.get_visible() and artist not in beyond
        if is_seen and artist.get_text().strip():
            yield artist


def _is_between(place: float, low: float, high: float) -> bool:
    slack = 1e-9 * (high - low)
    return low - slack <= place <= high + slack


def _make_room(figure: Figure) -> None:
    """Move the right end of a linear axis so far that what is written next to its data fits."""
    for _ in range(2):
        figure.draw_without_rendering()
        for axes in figure.axes:
            written = [one for one in axes.texts if isinstance(one, Annotation)]
            ends = [float(one.get_window_extent().x1) for one in written]
            width = axes.bbox.width
            beyond = max(ends, default=0.0) - float(figure.bbox.x1) + 2
            if axes.get_xscale() == "linear" and 0 < beyond < width / 2:
                left, right = axes.get_xlim()
                axes.set_xlim(left, left + (right - left) * width / (width - beyond))


def _inside(box: Bbox, page: Bbox) -> bool:
    return bool(box.x0 >= page.x0 and box.x1 <= page.x1 and box.y0 >= page.y0 and box.y1 <= page.y1)
