r"""Text from outside as text in LaTeX: what it says is set, none of it is a command.

What pdfLaTeX can set with the fonts of every installation is set so. A character beyond goes to a
font that travels with the paper (`analysis.paper.fonts`), which needs LuaLaTeX, and one that no
font has is named by its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from types import MappingProxyType

from markupsafe import Markup

from analysis.paper.fonts import Font, font_with
from core.foreign import visible

SIGNS = MappingProxyType(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "`": r"\textasciigrave{}",
        # Each means something after `\\` or `\item`.
        "*": "{*}",
        "[": "{[}",
        "]": "{]}",
        "\u00a0": r"\nobreakspace{}",
        "\u202f": r"\,",
        "\u2009": r"\,",
        "\N{EN DASH}": r"\textendash{}",
        "\N{EM DASH}": r"\textemdash{}",
        "\N{HYPHEN}": "-",
        "\N{NON-BREAKING HYPHEN}": r"\mbox{-}",
        "\N{MINUS SIGN}": r"\ensuremath{-}",
        "\N{LEFT SINGLE QUOTATION MARK}": r"\textquoteleft{}",
        "\N{RIGHT SINGLE QUOTATION MARK}": r"\textquoteright{}",
        "\N{LEFT DOUBLE QUOTATION MARK}": r"\textquotedblleft{}",
        "\N{RIGHT DOUBLE QUOTATION MARK}": r"\textquotedblright{}",
        "\N{HORIZONTAL ELLIPSIS}": r"\textellipsis{}",
        "\N{BULLET}": r"\textbullet{}",
        "\N{DEGREE SIGN}": r"\textdegree{}",
        "\N{PLUS-MINUS SIGN}": r"\ensuremath{\pm}",
        "\N{MULTIPLICATION SIGN}": r"\ensuremath{\times}",
        "\N{DIVISION SIGN}": r"\ensuremath{\div}",
        "\N{MIDDLE DOT}": r"\textperiodcentered{}",
        "\N{MICRO SIGN}": r"\textmu{}",
        "\N{GREEK SMALL LETTER MU}": r"\textmu{}",
        "\N{EURO SIGN}": r"\texteuro{}",
        "\N{ALMOST EQUAL TO}": r"\ensuremath{\approx}",
        "\N{LESS-THAN OR EQUAL TO}": r"\ensuremath{\le}",
        "\N{GREATER-THAN OR EQUAL TO}": r"\ensuremath{\ge}",
        "\N{NOT EQUAL TO}": r"\ensuremath{\ne}",
        "\N{RIGHTWARDS ARROW}": r"\ensuremath{\rightarrow}",
        "\N{LEFTWARDS ARROW}": r"\ensuremath{\leftarrow}",
        "\N{BALLOT X}": r"\ensuremath{\times}",
    }
)
LETTERS = frozenset("¡¿£§¶©®ªº«»ÆæØøŒœßÐðÞþŁłŊŋıĐđ") | frozenset(
    chr(code) for code in range(0xC0, 0x17F) if chr(code) not in "\u00d7\u00f7ĦħĸĿŀŉŦŧ\u017fĲĳ"
)
"""Characters in addition to ASCII that the font encoding T1 has; the test sets each of them."""
_LIGATURES = frozenset("-,'")
"""Two of each would become another character."""
_BREAKS = frozenset("/_.-:=@,+&?\\")
"""After these a long word may go on in the next line."""
LONG_WORD, LONG_RUN = 20, 10
"""Characters from which a word may be broken, and after so many without any of `_BREAKS`."""
_EAST = re.compile(
    "[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef]"
)
BREAK = r"\allowbreak{}"
_PERCENT = re.compile(r"(?<=\d) (?=%)")
_UNIT = re.compile(
    r"(?<=\d) (?=(?:ms|s|min|h|J|W|Wh|V|°C|[KMGT]i?B|[kMG]?bit|[kMG]Hz|Mbit/s|tokens?|nodes?)\b)"
)
"""The blank between a figure and its unit, which stay on one line."""


def in_latex(text: str) -> str:
    r"""The text on one line, such that LaTeX sets it as it is.

    Characters with a meaning become commands, those that act are shown as by `visible`, line feeds
    and tabs become blanks. A long word gets places where a line may end.
    """
    return " ".join(_word(word) for word in glued(visible(text)).split(" "))


def glued(text: str) -> str:
    """The text on one line, without a blank where a line must not end."""
    line = re.sub(r"[ \t\n]+", " ", text)
    return _UNIT.sub("\u00a0", _PERCENT.sub("\u202f", line))


def lines_in_latex(text: str) -> str:
    r"""The text with its line feeds, and its blanks as wide as they are: a command, a prompt."""
    lines = (_word(line.expandtabs(4), is_kept=True) for line in visible(text).split("\n"))
    return "\\newline\n".join(line or r"\mbox{}" for line in lines)


def as_latex(value: object) -> object:
    """What a template of LaTeX prints of a value; what a macro or a module of ours made stays."""
    if hasattr(value, "__html__"):
        return value
    return Markup(in_latex("" if value is None else str(value)))  # noqa: S704 - nothing acts in it


def _word(word: str, *, is_kept: bool = False) -> str:
    told = list(_breakable(word)) if is_kept or len(word) >= LONG_WORD else list(word)
    return "".join(_run(font, list(run)) for font, run in groupby(told, _font))


def _breakable(word: str) -> Iterator[str]:
    """The characters of a word, with `BREAK` where a line may end."""
    run = 0
    for place, character in enumerate(word, start=1):
        yield character
        run += 1
        if place < len(word) and (character in _BREAKS or character == " " or run >= LONG_RUN):
            yield BREAK
            run = 0


def _font(character: str) -> Font | None:
    """The font that a character needs; None for the paper's own, and where no font has it."""
    is_own = character.isascii() or character in SIGNS or character in LETTERS
    return None if is_own else font_with(character)


def _run(font: Font | None, run: list[str]) -> str:
    """Characters of one font as LaTeX has them."""
    if font is None:
        return "".join(_plain(one, after) for one, after in zip(run, ["", *run], strict=False))
    return f"\\{font.command}{{{''.join(one + BREAK * bool(_EAST.match(one)) for one in run)}}}"


def _plain(character: str, after: str) -> str:
    """A character in the paper's own font, or its number.

    Args:
        character: to be set, or `BREAK`.
        after: the one before it.
    """
    if character == after and character in _LIGATURES:
        return "{}" + character
    if character == " ":
        return r"\ "
    if character in SIGNS:
        return SIGNS[character]
    if character == BREAK or character.isascii() or character in LETTERS:
        return character
    return rf"\texttt{{U+{ord(character):04X}}}{BREAK}"
