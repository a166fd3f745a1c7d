"""Charts in the language in force: their texts, a font that has its letters, names of files."""

from __future__ import annotations

import textwrap
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, Formatter, FuncFormatter

from analysis.charts import style
from analysis.charts.letters import in_letters
from analysis.text.sentence import translated
from core.language.choice import ENGLISH, language

LINE = 40
"""Characters of a line of a text on several lines: those of Hangul are wide."""
LACKED = r"Glyph .* missing from font"
"""How Matplotlib's warning about a letter begins that no font of a chart has."""


def ending_of_files(code: str) -> str:
    """Return what comes before the suffix of a file in a language: nothing, or `.ko`."""
    return "" if code == ENGLISH else f".{code}"


@contextmanager
def in_language(figure: Figure, *, is_text: bool = False) -> Iterator[dict[Any, Any]]:
    """Give a figure its texts in the language in force while it is drawn.

    Args:
        figure: is as before afterwards.
        is_text: it becomes an SVG, for a browser. In English its texts stay
            texts there, with letters that the fonts of charts lack.

    Yields:
        Settings of Matplotlib to draw it with. Where letters need a font that a reader may not
        have, texts become paths.
    """
    stays_text = is_text and language() == ENGLISH
    shape = _composed if stays_text else _in_letters
    undo = [_in_words(text, shape) for text in figure.findobj(Text)]
    undo += [_ticks_in_words(axis, shape) for axis in figure.findobj(Axis)]
    try:
        with warnings.catch_warnings():
            if stays_text:  # measured with a box, shown with another font
                warnings.filterwarnings("ignore", LACKED)
            yield {**style.RC, "svg.fonttype": "none" if stays_text else "path"}
    finally:
        for one in reversed(undo):
            one()


def _in_letters(text: str) -> str:
    return in_letters(_in_lines(text))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _in_words(text: Text, shape: Callable[[str], str]) -> Callable[[], None]:
    before = text.get_text()
    text.set_text(shape(before))
    return lambda: text.set_text(before)


def _in_lines(text: str) -> str:
    """Translate a text; one that was written on several lines is written on several again."""
    if "\n" not in text or language() == ENGLISH:
        return translated(text)
    return textwrap.fill(translated(" ".join(text.split("\n"))), LINE)


def _ticks_in_words(axis: Axis, shape: Callable[[str], str]) -> Callable[[], None]:
    """Change the words next to an axis; numbers are the same in all languages."""
    before = axis.get_major_formatter()
    if isinstance(before, FuncFormatter | FixedFormatter):
        axis.set_major_formatter(_spoken_by(before, shape))
    return lambda: axis.set_major_formatter(before)


def _spoken_by(formatter: Formatter, shape: Callable[[str], str]) -> FuncFormatter:
    return FuncFormatter(lambda value, position: shape(formatter(value, position)))
