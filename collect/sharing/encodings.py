"""Text in a file of any bytes: UTF-8, and what programs of Windows write into the same log.

A log may hold lines of several programs, so UTF-16 is found piece by piece, without a mark.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

LONGEST_PIECE = 1 << 30
"""Characters; no log has as many, so none is cut within a name."""
_SIGN = rb"[\t\n\r\x1b\x20-\x7e]"
WIDE = (
    ("utf-16-le", re.compile(rb"(?:%b\x00){3,%d}" % (_SIGN, LONGEST_PIECE))),
    ("utf-16-be", re.compile(rb"(?:\x00%b){3,%d}" % (_SIGN, LONGEST_PIECE))),
)
"""What UTF-16 makes of ASCII."""
OTHERS = ("utf-16-le", "utf-16-be", "cp949", "cp1252")
"""Encodings in which names that are not ASCII are looked for as they are known."""


def texts_in(content: bytes) -> Iterator[str]:
    """What a file says: as UTF-8, and every piece of UTF-16 in it, a text for each encoding."""
    yield content.decode("utf-8", "surrogateescape")
    for encoding, pieces in WIDE if b"\0" in content else ():
        if found := pieces.findall(content):
            yield "\n".join(piece.decode(encoding) for piece in found)


def is_plain(content: bytes) -> bool:
    """Whether a file is UTF-8 alone."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def replaced(content: bytes, names: Mapping[str, str], text: Callable[[str], str]) -> bytes:
    """A file with its names replaced, in the encoding that each has there.

    Args:
        content: of the file.
        names: each name to what stands for it.
        text: replaces them, and more, in a text.
    """
    for spelt, told in () if is_plain(content) else _spelt(names):
        content = content.replace(spelt, told)
    for encoding, pieces in WIDE if b"\0" in content else ():
        content = pieces.sub(partial(_in, encoding, text), content)
    return text(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _in(encoding: str, text: Callable[[str], str], piece: re.Match[bytes]) -> bytes:
    return text(piece[0].decode(encoding)).encode(encoding)


def _spelt(names: Mapping[str, str]) -> Iterable[tuple[bytes, bytes]]:
    """Names that are not ASCII in other encodings, longest first; with what stands for each."""
    found = {
        form.encode(encoding): told.encode(encoding)
        for name, told in names.items()
        if not name.isascii()
        for form in (unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
        for encoding in OTHERS
        if _can(form, encoding)
    }
    return sorted(found.items(), key=lambda one: -len(one[0]))


def _can(name: str, encoding: str) -> bool:
    try:
        name.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
