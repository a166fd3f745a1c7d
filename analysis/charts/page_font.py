"""The part of the project's font that a page needs where a reader's machine has no Korean font."""

from __future__ import annotations

import base64
import io
import re

from fontTools import subset

from analysis.charts.style import FONTS, HANGUL

SERVED = FONTS / "HerdHangul.ttf"
_SYLLABLES = re.compile(r"[\u3131-\u318e\uac00-\ud7a3]")
LETTERS = "U+3131-318E, U+AC00-D7A3"
"""The same as a style sheet says it."""
FIRST = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans"'
"""Families for Latin letters, as in `report.css`."""
SYSTEM = ("Apple SD Gothic Neo", "Malgun Gothic", "Noto Sans KR", "Noto Sans CJK KR")
"""Korean fonts of phones and desktops, which are preferred."""


def font_of(page: str) -> str:
    """Return a style sheet with a font of the Korean letters of a page, and of no others.

    Args:
        page: as HTML.

    Returns:
        CSS that names the font after those of the reader's machine; empty without such letters.
    """
    letters = "".join(sorted(set(_SYLLABLES.findall(page))))
    if not letters:
        return ""
    source = base64.b64encode(_part(letters)).decode("ascii")
    return _style(f"data:font/woff;base64,{source}", "woff")


def served_font(address: str) -> str:
    """Return a style sheet with a font that is fetched where a reader's machine has no Korean one.

    Args:
        address: of the font's file (`SERVED`), as the page reaches it.
    """
    return _style(address, "truetype")


def _style(source: str, kind: str) -> str:
    # The first family, for these letters alone: as a later one, Chromium draws boxes instead of the
    # first letters of each size.
    own = ", ".join(f'local("{name}")' for name in SYSTEM)
    return (
        f'@font-face {{ font-family: "{HANGUL}"; unicode-range: {LETTERS}; '
        f'src: {own}, url("{source}") format("{kind}"); }}\n'
        f'body {{ font-family: "{HANGUL}", {FIRST}, sans-serif; word-break: keep-all; }}\n'
    )


def _part(letters: str) -> bytes:
    options = subset.Options(flavor="woff", hinting=False, layout_features=[], name_IDs=[1, 13, 14])
    font = subset.load_font(str(SERVED), options)
    cut = subset.Subsetter(options)
    cut.populate(text=letters)
    cut.subset(font)
    made = io.BytesIO()
    subset.save_font(font, made, options)
    return made.getvalue()
