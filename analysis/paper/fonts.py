"""Fonts that travel with a paper, for characters that LaTeX's own fonts lack."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.ft2font import FT2Font

from analysis.charts import style


@dataclass(frozen=True, slots=True)
class Font:
    """A font with its command in LaTeX.

    Attributes:
        command: without the backslash.
        path: where the file is.
        bold: the same for bold type.
        licence: the file that must travel with it.
    """

    command: str
    path: Path
    bold: Path
    licence: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All that travels with a paper."""
        return (self.path, self.bold, self.licence)


_MATPLOTLIB = Path(mpl.get_data_path()) / "fonts" / "ttf"
DEJAVU = Font(
    "herdother",
    _MATPLOTLIB / "DejaVuSans.ttf",
    _MATPLOTLIB / "DejaVuSans-Bold.ttf",
    _MATPLOTLIB / "LICENSE_DEJAVU",
)
"""It comes with Matplotlib, and has most alphabets and signs."""
HANGUL = Font(
    "herdhangul",
    style.FONTS / "HerdHangul.ttf",
    style.FONTS / "HerdHangul-Bold.ttf",
    style.FONTS / "OFL.txt",
)
"""That of Korean reports."""
FONTS: tuple[Font, ...] = (DEJAVU, HANGUL)
"""In the order in which they are asked for a character."""


@functools.cache
def _has(font: Font) -> frozenset[int]:
    return frozenset(FT2Font(str(font.path)).get_charmap())


@functools.lru_cache(maxsize=4096)
def font_with(character: str) -> Font | None:
    """The first font that has a character; None if none has it."""
    return next((font for font in FONTS if ord(character) in _has(font)), None)


def fonts_in(text: str) -> tuple[Font, ...]:
    """The fonts whose command a text in LaTeX uses."""
    return tuple(font for font in FONTS if f"\\{font.command}{{" in text)
