"""What comes from outside, and what may be made of it: names, numbers, text.

A run's folder may have been sent by a stranger, a node may have been taken over, an API may answer
anything. Records hold such values by the types of this module; what prints one uses `visible`.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from core.errors import HerdError

LONGEST_NAME_BYTES = 255
"""What file systems allow (NAME_MAX of Linux)."""
LARGEST_COUNT = 2**53
"""Largest whole number that every reader of a table keeps exactly (IEEE 754, binary64)."""

LONGEST_NUMBER = 40
_WHOLE = re.compile(r"[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,19}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,3})?")

_STAY = frozenset("\n\t")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They reorder the text around them, so that a reader sees another text (CVE-2021-42574)."""
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


@functools.lru_cache(maxsize=4096)  # a run says the same few names in thousands of records
def as_file_name(name: str) -> str:
    """The name, if it can be one component of a path and nothing else.

    Raises:
        ValueError: it is empty or too long, begins with `.` or `-`, or holds a separator, a
            control character or one that hides or reorders text.
    """
    if not name:
        raise ValueError("it must be a name, but it is empty")
    if name[0] in ".-":
        raise ValueError("it must be a name that does not begin with `.` or `-`")
    if "/" in name or "\\" in name or visible(name) != name or "\n" in name or "\t" in name:
        raise ValueError("it must be a name without `/`, `\\` or control characters")
    if len(name.encode("utf-8")) > LONGEST_NAME_BYTES:
        raise ValueError(f"it must be a name no longer than {LONGEST_NAME_BYTES} bytes")
    return name


def _as_relative_path(path: str) -> str:
    for part in path.split("/"):
        as_file_name(part)
    return path


FileName = Annotated[str, AfterValidator(as_file_name)]
"""A name that becomes one component of a path: of a run, an attempt, a node, a log, a model …"""
RelativePath = Annotated[str, AfterValidator(_as_relative_path)]
"""File names with `/` between them: a place below a folder, never above or outside it."""
Count = Annotated[int, Field(strict=True, ge=0, le=LARGEST_COUNT)]
"""How many: whole, not negative, exact in every table."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that can be reckoned with."""
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A time, a size, a rate: finite and not negative."""


def is_file_name(name: str) -> bool:
    """Whether `as_file_name` takes it."""
    try:
        as_file_name(name)
    except ValueError:
        return False
    return True


def inside(folder: Path, name: str) -> Path:
    """The path of `name` below `folder`, links followed: proof before it is read or removed.

    Args:
        folder: exists, or will.
        name: one file name, or several with `/` between them.

    Raises:
        HerdError: it is no such name, or a link leads out of the folder.
    """
    try:
        path = folder / _as_relative_path(name)
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except (ValueError, OSError, RuntimeError) as error:
        raise HerdError(f"`{visible(name)}` cannot be in {folder}: {error}.") from None
    if not is_inside:
        raise HerdError(f"`{visible(name)}` points outside {folder} and is left alone.")
    return path


def whole(text: str | None) -> int | None:
    """A whole number as programs write it; None for anything else, and beyond what is counted."""
    if text is None or not _WHOLE.fullmatch(text):
        return None
    number = int(text)
    return number if number <= LARGEST_COUNT else None


def decimal(text: str | None) -> float | None:
    """A number as programs write it; None for anything else."""
    if text is None or len(text) > LONGEST_NUMBER or not _DECIMAL.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) and abs(number) <= LARGEST_COUNT else None


def visible(text: str) -> str:
    r"""The text with every character that acts instead of being seen shown as its escape.

    ESC becomes `\x1b`, a mark of writing direction `\u202e`; line feeds and tabs stay. A terminal,
    a text file and a page then show what is there, and do nothing.
    """
    if text.isprintable():  # most is, and records hold thousands of names
        return text
    return "".join(
        character if character in _STAY or not _acts(character) else _escape(character)
        for character in text
    )


def one_line(text: str, most: int = 400) -> str:
    """The text on one line, visible; of more than `most` characters the first words and `…`.

    A word of more than half of them is cut within.
    """
    flat = re.sub(r"\s+", " ", visible(text[: 4 * most])).strip()
    if len(flat) <= most:
        return flat
    words = flat[:most].rpartition(" ")[0].rstrip()
    return f"{words if len(words) >= most // 2 else flat[: most - 1]}…"


def _acts(character: str) -> bool:
    return character in _BIDI or unicodedata.category(character) in _HIDDEN_CATEGORIES


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - Latin-1


_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")
_FORMULA = re.compile(r"""\t|[\s'"]*[=+\-@＝＋－＠]""")  # noqa: RUF001 - they compute full-width signs, too
_FORMULA_BELOW = re.compile(r"""[\s'"]*([=@＝＠]|[+\-＋－](?!\s))""")  # noqa: RUF001
"""As `_FORMULA`, on the further lines of a cell: a sign with a blank after it begins a list."""


def cell_text(text: str) -> str:
    r"""The text as a cell of a CSV file that a spreadsheet program shows and does not run.

    Each line of it that begins like a formula (`=`, `+`, `-`, `@`, their full-width forms, also
    after blanks and quotes) gets an apostrophe before it; `cell_source` takes it away again. Plain
    numbers stay as they are. Characters that act are shown as by `visible`.
    """
    shown = visible(text)
    if _NUMBER.fullmatch(shown):
        return shown
    return "\n".join(f"'{line}" if begins.match(line) else line for begins, line in _lines(shown))


def cell_source(cell: str) -> str:
    """The text, control characters shown, that `cell_text` made this cell of."""
    return "\n".join(
        line[1:] if line.startswith("'") and begins.match(line[1:]) else line
        for begins, line in _lines(cell)
    )


def _lines(text: str) -> Iterator[tuple[re.Pattern[str], str]]:
    """Each line with the pattern of what a spreadsheet program would run there."""
    for index, line in enumerate(text.split("\n")):
        yield _FORMULA_BELOW if index else _FORMULA, line
