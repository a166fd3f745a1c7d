"""The proof that no name is left: every file of an archive is read again, in every spelling."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from pathlib import Path

from pyarrow import ArrowException, parquet

from collect.sharing.encodings import is_plain, texts_in
from collect.sharing.pseudonyms import Pseudonyms

LONG = 6
"""Letters from which a name is also looked for inside other words, and encoded."""
MOST_WORDS = 10
_AROUND = "[A-Za-z0-9]{0,20}"
"""What may be around a name in a word; longer ones are hashes and data."""


def leftovers(folder: Path, names: Pseudonyms) -> Iterator[tuple[str, str]]:
    """Find names that are still below a folder.

    Args:
        folder: what is packed.
        names: what was replaced.

    Yields:
        The file, and what is left in it.
    """
    long = {name for name in (*names.names, *names.exact, *names.found) if len(name) >= LONG}
    long -= {*names.names.values()}
    hidden = {name: _encoded(name) for name in long}
    for path in sorted(folder.rglob("*")):
        shown = path.relative_to(folder).as_posix()
        if names.text(shown) != shown:
            yield shown, shown
        if not path.is_file():
            continue
        for text in _texts(path):
            if (left := _first_difference(text, names.text(text))) is not None:
                yield shown, left
            folded = text.casefold()
            yield from ((shown, name) for name in long if name.casefold() in folded)
            yield from (
                (shown, name) for name, ways in hidden.items() for way in ways if way in text
            )
        if path.suffix not in {".parquet", ".png"}:
            content = path.read_bytes()
            if not is_plain(content) and names.data(content) != content:
                yield shown, "a name in UTF-16 or another encoding"


def words_around(folder: Path, names: Pseudonyms) -> tuple[str, ...]:
    """Words in which a short name is, between letters: another word, or the name all the same.

    Args:
        folder: of a run that was written without names.
        names: what was replaced.

    Returns:
        At most `MOST_WORDS`, in the order of files.
    """
    short = [name for name in (*names.names, *names.exact) if len(name) < LONG]
    told = "|".join(map(re.escape, sorted(short, key=len, reverse=True))) or r"(?!)"
    word = re.compile(rf"(?<![A-Za-z0-9+/=]){_AROUND}(?i:{told}){_AROUND}(?![A-Za-z0-9+/=])")
    found: dict[str, None] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".parquet":
            for text in texts_in(path.read_bytes()):
                found |= dict.fromkeys(one[0] for one in word.finditer(text))
    return tuple(found)[:MOST_WORDS]


def _texts(path: Path) -> Iterator[str]:
    """What a file says, as it is stored and as its reader sees it."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        yield from _cells(path)
        return
    if path.suffix == ".png":
        yield from _chunks(content)
        return
    yield from texts_in(content)
    if path.suffix in {".html", ".svg"}:
        yield html.unescape(content.decode("utf-8", "surrogateescape"))


def _chunks(picture: bytes) -> Iterator[str]:
    """All of a PNG file but its pixels, which were drawn from the numbers next to it."""
    at = 8
    while at + 8 <= len(picture):
        size, kind = int.from_bytes(picture[at : at + 4]), picture[at + 4 : at + 8]
        if kind != b"IDAT":
            yield picture[at + 8 : at + 8 + size].decode("latin-1")
        at += 12 + size


def _cells(path: Path) -> Iterator[str]:
    try:
        frame = parquet.read_table(path).to_pandas()
    except (ArrowException, OSError):  # it was written by this program a moment ago
        return
    yield "\n".join(map(str, frame.columns))
    for name in frame.columns:
        if frame[name].dtype.kind not in "biuf":
            yield "\n".join(map(str, frame[name].dropna().unique()))


def _first_difference(before: str, after: str) -> str | None:
    """The word at which two texts part; None if they are the same."""
    if before == after:
        return None
    at = next((n for n, pair in enumerate(zip(before, after, strict=False)) if len({*pair}) > 1), 0)
    begin = max(before.rfind(mark, 0, at) for mark in " \n\"'>,") + 1
    return (
        before[begin : at + 40].split(maxsplit=1)[0]
        if before[begin : at + 40].split()
        else before[at:][:40]
    )


def _encoded(name: str) -> tuple[str, ...]:
    """How a name looks in base64, wherever it begins."""
    ways = []
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + name.encode()).decode().rstrip("=")
        ways.append(coded[(0, 2, 3)[shift] : -1])
    return tuple(ways)
