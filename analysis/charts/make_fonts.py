"""Make the project's font for Hangul again: `python -m analysis.charts.make_fonts FONT.ttf NAME`.

It is a part of Nanum Barun Gothic, which Debian has as the package `fonts-nanum`. The licence asks
for another name of a changed font.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

from analysis.charts.style import FONTS, HANGUL

SIGNS = (
    "\N{MIDDLE DOT}\N{HORIZONTAL ELLIPSIS}\N{PLUS-MINUS SIGN}\N{DEGREE SIGN}\N{MULTIPLICATION SIGN}"
    "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{EN DASH}\N{RIGHTWARDS ARROW}"
)
BOLD = 700
"""Weight by which the bold one is found (OpenType, `OS/2`)."""
NAMES = {"family": (1, 4, 16), "file": (6,), "style": (2, 17)}
"""What the records of a font's table of names are for, by their numbers (OpenType, `name`)."""


def characters() -> str:
    """Return the 2350 syllables of KS X 1001, the letters of Hangul, ASCII and a few signs."""
    rows, columns = range(0xB0, 0xC9), range(0xA1, 0xFF)
    syllables = "".join(bytes((row, at)).decode("euc_kr") for row in rows for at in columns)
    letters = "".join(map(chr, range(0x3131, 0x3164)))
    return syllables + letters + "".join(map(chr, range(0x20, 0x7F))) + SIGNS


def make(source: Path, target: Path) -> None:
    """Write the part of a font that has these characters, under the project's name.

    Args:
        source: the whole font.
        target: where the part is written.
    """
    options = subset.Options(hinting=False, layout_features=[], name_IDs=[0, 1, 2, 4, 6, 13, 14])
    font: TTFont = subset.load_font(str(source), options)
    cut = subset.Subsetter(options)
    cut.populate(text=characters())
    cut.subset(font)
    for record in font["name"].names:
        if record.nameID in NAMES["family"]:
            record.string = HANGUL
        if record.nameID in NAMES["file"]:
            record.string = target.stem
    if "Bold" in target.stem:
        font["OS/2"].usWeightClass = BOLD
    subset.save_font(font, str(target), options)


if __name__ == "__main__":
    make(Path(sys.argv[1]), FONTS / sys.argv[2])
