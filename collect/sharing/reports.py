"""Two reports of one run compared: what the one says and the other does not."""

from __future__ import annotations

import csv
import html
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from core.foreign import one_line

LARGEST_BYTES = 1 << 28
LONGER, ROOM_BYTES = 2, 1 << 20
"""How many times as long as ours, and how much more, a file of theirs may be and still be read: a
small archive may hold files that take hours."""
PAGE, TEXT = "index.html", "report.md"
COMPARED = (".csv", ".html", ".md")
FURTHER = "{file}: {more} more differences."
MOST_OF_A_FILE = 3
SAME = 1e-5
"""Relative difference of a figure that another processor may make; seen were differences in the
seventh digit."""
NUMBER = re.compile(r"(?<![\d.])\d{1,15}\.\d{1,10}(?![\d.])")
"""A figure that is rounded; whole numbers are counts and names, and must be equal."""
DRAWN = ("svg", "style", "script")
"""What of a page is no text."""


def lies(theirs: Path, ours: Path) -> Iterator[str]:
    """Say what a report has that the same logs do not give here, a sentence each.

    Args:
        theirs: a report's folder, of an archive; may lack.
        ours: the report that was made here.
    """
    if not theirs.is_dir():
        return
    made = {path.name for path in ours.iterdir()}
    for name in sorted(made - {path.name for path in theirs.iterdir()}):
        yield f"{name}, which its logs give, is missing."
    for path in sorted(theirs.iterdir()):
        if not path.is_file() or path.stat().st_size > LARGEST_BYTES:
            yield f"{one_line(path.name, 100)} is no file of a report."
        elif path.name not in made:
            yield f"{one_line(path.name, 100)} is not made from its logs."
        elif path.suffix in COMPARED and _is_longer(path, ours / path.name):
            yield f"{path.name} is several times as long as its logs give."
        elif path.suffix == ".csv":
            yield from _first(path.name, _cells(path, ours / path.name))
        elif path.name in {PAGE, TEXT}:
            yield from _first(path.name, _sentences(path, ours / path.name))


def _is_longer(theirs: Path, ours: Path) -> bool:
    return theirs.stat().st_size > LONGER * ours.stat().st_size + ROOM_BYTES


def _first(name: str, found: Iterator[str]) -> Iterator[str]:
    told = list(found)
    yield from told[:MOST_OF_A_FILE]
    if len(told) > MOST_OF_A_FILE:
        yield FURTHER.format(file=name, more=len(told) - MOST_OF_A_FILE)


def _cells(theirs: Path, ours: Path) -> Iterator[str]:
    first, second = (_rows(path) for path in (theirs, ours))
    head = second[0] if second else []
    nothing: list[str] = []
    for number, (row, made) in enumerate(zip_longest(first, second, fillvalue=nothing), start=1):
        for at, (cell, right) in enumerate(zip_longest(row, made, fillvalue="")):
            if not _agree(cell, right):
                column = head[at] if at < len(head) else f"column {at + 1}"
                yield (
                    f"{theirs.name}, line {number}, {one_line(column, 60)}: it says "
                    f"`{one_line(cell, 80)}`, and the logs give `{one_line(right, 80)}`."
                )


def _agree(cell: str, right: str) -> bool:
    """Whether two cells are the same figure; processors differ in the last digits of a fit."""
    if cell == right:
        return True
    try:
        return math.isclose(float(cell), float(right), rel_tol=SAME, abs_tol=SAME**2)
    except ValueError:
        return False


def _rounds_alike(figure: str, right: str) -> bool:
    """Whether two figures of a sentence differ by one in the last digit at most."""
    decimals = len(right.partition(".")[2])
    is_alike = len(figure.partition(".")[2]) == decimals
    return is_alike and abs(float(figure) - float(right)) < 1.5 * 10.0**-decimals


def _rows(path: Path) -> list[list[str]]:
    csv.field_size_limit(LARGEST_BYTES)
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return list(csv.reader(file))


def _sentences(theirs: Path, ours: Path) -> Iterator[str]:
    said, right = _said(theirs), _said(ours)
    for line in _further(said, right):
        yield f"{theirs.name} says `{one_line(line, 160)}`, which its logs do not give."
    for line in _further(right, said):
        yield f"{theirs.name} leaves out `{one_line(line, 160)}`, which its logs give."


def _further(lines: list[str], others: list[str]) -> Iterator[str]:
    """Lines that the others do not have, also not with figures that are rounded otherwise."""
    known, shapes = set(others), defaultdict(list)
    for line in others:
        shapes[NUMBER.sub("#", line)].append(NUMBER.findall(line))
    for line in lines:
        figures = NUMBER.findall(line)
        if line not in known and not any(
            all(map(_rounds_alike, figures, one)) for one in shapes[NUMBER.sub("#", line)]
        ):
            yield line


def _said(path: Path) -> list[str]:
    """What a page says, a piece of text each; drawings are made from the files with numbers."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".html":
        text = html.unescape("\n".join(_pieces(text)))
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def _pieces(page: str) -> Iterator[str]:
    """The text between the tags of a page."""
    left_out = ""
    for part in page.split("<"):
        tag, _, text = part.partition(">")
        name = tag.split(None, 1)[0].casefold() if tag.strip() else ""
        if left_out:
            left_out = "" if name == f"/{left_out}" else left_out
        elif name in DRAWN and not tag.endswith("/"):
            left_out = name
        if not left_out:
            yield text
