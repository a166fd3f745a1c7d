"""Charts in the language in force: their texts, a font that has its letters, names of files."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, Formatter, FuncFormatter

from analysis.charts import style
from analysis.text.sentence import translated
from core.language.choice import ENGLISH, language

FONTS = Path(__file__).with_name("fonts")
"""Fonts of the project, with the licence of each. `docs/languages.md` says how they are made."""
LINE = 40
"""Characters of a line of a text on several lines: those of Hangul are wide."""
HANGUL = "Herd Hangul"
"""Family of the fonts there."""


def ending_of_files(code: str) -> str:
    """Return what comes before the suffix of a file in a language: nothing, or `.ko`."""
    return "" if code == ENGLISH else f".{code}"


@contextmanager
def in_language(figure: Figure) -> Iterator[dict[Any, Any]]:
    """Give a figure its texts in the language in force while it is drawn.

    Yields:
        Settings of Matplotlib to draw it with. Where letters need a font that a reader may not
        have, texts become paths.
    """
    if language() == ENGLISH:
        yield dict(style.RC)
        return
    families = [*_families(), HANGUL]
    undo = [*map(_in_words(families), figure.findobj(Text))]
    undo += [_ticks_in_words(axis, families) for axis in figure.findobj(Axis)]
    try:
        yield {**style.RC, "font.family": families, "svg.fonttype": "path"}
    finally:
        for one in reversed(undo):
            one()


@functools.cache
def _families() -> tuple[str, ...]:
    """Register the project's fonts, and return the families that come before them."""
    for path in sorted(FONTS.glob("*.ttf")):
        font_manager.fontManager.addfont(path)
    return (str(style.RC["font.family"]),)


def _in_words(families: list[str]) -> Callable[[Text], Callable[[], None]]:
    def change(text: Text) -> Callable[[], None]:
        before, family = text.get_text(), text.get_fontfamily()
        text.set_text(_in_lines(before))
        text.set_fontfamily(families)

        def undo() -> None:
            text.set_text(before)
            text.set_fontfamily(family)

        return undo

    return change


def _in_lines(text: str) -> str:
    """Translate a text; one that was written on several lines is written on several again."""
    if "\n" not in text:
        return translated(text)
    return textwrap.fill(translated(" ".join(text.split("\n"))), LINE)


def _ticks_in_words(axis: Axis, families: list[str]) -> Callable[[], None]:
    """Change the words next to an axis; numbers are the same in all languages."""
    before = axis.get_major_formatter()
    axis.set_tick_params(labelfontfamily=families)
    if isinstance(before, FuncFormatter | FixedFormatter):
        axis.set_major_formatter(_spoken_by(before))

    def undo() -> None:
        axis.set_tick_params(labelfontfamily=str(style.RC["font.family"]))
        axis.set_major_formatter(before)

    return undo


def _spoken_by(formatter: Formatter) -> FuncFormatter:
    return FuncFormatter(lambda value, position: translated(formatter(value, position)))
