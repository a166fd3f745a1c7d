"""The ways in which a text may spell a secret."""

from __future__ import annotations

import base64
import contextlib
import html
import re
import sys
import unicodedata

SHORTEST_KEY = 8
"""A shorter text is a word such as `ollama` that represents none, and may occur in answers."""
LONG_KEY = 16
"""Of so many letters and digits, blanks between them are looked past in answers, too."""
_ESCAPES = re.compile(
    r"\\+u([0-9a-f]{4})|\\+u\{([0-9a-f]{1,6})\}|\\+x([0-9a-f]{2})|%u([0-9a-f]{4})|%([0-9a-f]{2})"
    r"|=([0-9a-f]{2})|U\+([0-9a-f]{4})|\\+([0-7]{3})|\\+[abfnrtv]",
    re.IGNORECASE,
)
_BASE64 = re.compile(r"[A-Za-z0-9_-]{10,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-f]{2}[\s:,-]?){8,}", re.IGNORECASE)
_CODES = re.compile(r"(?:[0-9]{2,3}[\s,;]{1,9}){7,}[0-9]{2,3}")
MOST_READINGS = 40
LONGEST_READ = 1 << 18
"""A longer text is no answer of a language model, and is read only literally."""


def readings(text: str) -> list[str]:
    """Return the text literally, and as a reader that undoes escapes and encodings sees it."""
    found = [text]
    for one in found if len(text) <= LONGEST_READ else ():  # grows meanwhile
        for undo in (_unescaped, _without_strokes, _of_hex, _of_codes, _of_base64, _turned):
            other = undo(one)
            if len(found) < MOST_READINGS and other not in found:
                found.append(other)
    return found


def _unescaped(text: str) -> str:
    def sign(match: re.Match[str]) -> str:
        octal = match.group(8)
        digits = next(filter(None, match.groups()), "")
        code = int(octal, 8) if octal else int(digits or "20", 16)
        return chr(code) if code <= sys.maxunicode else ""

    return html.unescape(_ESCAPES.sub(sign, text))


def _without_strokes(text: str) -> str:
    return text.replace("\\", "")


def _turned(text: str) -> str:
    return text[::-1]


def _of_hex(text: str) -> str:
    return _HEX.sub(
        lambda found: bytes.fromhex(re.sub(r"[^0-9a-fA-F]", "", found.group())).decode("latin-1"),
        text,
    )


def _of_codes(text: str) -> str:
    return _CODES.sub(
        lambda found: "".join(chr(int(code)) for code in re.findall(r"[0-9]+", found.group())), text
    )


def _of_base64(text: str) -> str:
    def told(match: re.Match[str]) -> str:
        word = match.group().rstrip("=")
        whole = len(word) // 4 * 4
        return base64.b64decode(word[:whole] + _padding(word[whole:]), b"-_").decode("latin-1")

    with contextlib.suppress(ValueError):
        return _BASE64.sub(told, text.replace("+", "-").replace("/", "_"))
    return text


def _padding(rest: str) -> str:
    """The last group of a word in base64, complete; a single sign is no part of one."""
    return rest + "=" * (4 - len(rest)) if len(rest) > 1 else ""


def squeezed(text: str) -> str:
    """Its letters and digits, small and of usual width."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text))).lower()


def parts_of(secret: str) -> list[str]:
    """Every half of a secret's letters and digits, but nothing so short that a word may hold it."""
    plain = squeezed(secret)
    length = max(SHORTEST_KEY, len(plain) // 2)
    if len(plain) < length:
        return []
    return [plain[begin : begin + length] for begin in range(len(plain) - length + 1)]
