"""How a name, a number or a unit ends when a Korean reads it aloud: that decides its particle."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from enum import Enum


class Ending(Enum):
    """The last sound of what is read aloud."""

    VOWEL = "vowel"
    RIEUL = "rieul"
    """ㄹ: a consonant, but (으)로 follows it as it follows a vowel."""
    CONSONANT = "consonant"


TIMES = "\N{MULTIPLICATION SIGN}"
V, R, C = Ending.VOWEL, Ending.RIEUL, Ending.CONSONANT

_DIGITS = dict(zip("123456789", (R, V, C, V, V, C, R, R, V), strict=True))
"""일 이 삼 사 오 육 칠 팔 구."""
_FINAL_RIEUL = 8
"""The number of ㄹ among the 28 finals of a syllable; 0 is none."""
_LETTERS: Mapping[str, Ending] = {**dict.fromkeys("lr", R), **dict.fromkeys("mn", C)}
"""Names of letters: 엘 and 알, 엠 and 엔; all others end in a vowel."""
_UNITS: Mapping[str, Ending] = {
    **dict.fromkeys(("%", "°C", "°", "ms", "s", "µs", "us", "ns", "min", "h", "W", "Wh", "kWh"), V),
    **dict.fromkeys(("GB", "MB", "KB", "kB", "GiB", "MiB", "KiB", "B", "bit", "Mbit", "Gbit"), V),
    **dict.fromkeys(("Hz", "MHz", "GHz", "$", "€", TIMES, "+", "A", "x"), V),
    "J": R, "V": V, "£": V, "₩": C, "=": V, "&": V, "#": C, "@": C,
}  # fmt: skip
"""퍼센트, 도, 밀리초, 초, 와트시, 바이트, 비트, 헤르츠, 달러, 배 … and 줄 (J), 원 (₩)."""
_WORDS: Mapping[str, Ending] = {
    **dict.fromkeys(("kernel", "mobile", "mistral", "metal"), R),
    **dict.fromkeys(("phone", "machine", "engine", "online", "offline", "scheme"), C),
    **dict.fromkeys(("robot", "chat", "set", "net", "internet", "ethernet", "dataset", "slot"), C),
    **dict.fromkeys(("public", "basic", "fabric", "logic", "traffic", "mac", "book", "rock"), C),
    **dict.fromkeys(("desktop", "laptop", "top", "macbook", "notebook", "qwen", "vllm"), C),
    **dict.fromkeys(("loop", "group", "pc", "mini", "pro", "cuda", "llama", "gemma", "exo"), V),
}  # fmt: skip
"""English words whose ending the rules below do not find."""
_RULES: tuple[tuple[str, Ending], ...] = (
    (r"[aeiouy]l+e?", R),  # 모델, 파일
    (r"[bcdfgkptz]le", R),  # 테이블
    (r"l+", R),
    (r"[aiou][mn]e", C),  # 타임, 라인
    (r"[mn]|ng", C),  # 토큰, 스트리밍
    (r"[aeiou]ck", C),  # 블록
    (r"(?<![aeiou])[aeiou][bp]", C),  # 웹, 맵
)
"""Endings of English words as Korean writes them; all others end in a vowel (서버, 노드, 링크)."""

_BRACKETED = re.compile(r"(?<=\S)\s*[(\[{<][^()\[\]{}<>]*[)\]}>]$")
_SKIPPED = " \t\n\u00a0\u202f\"'`*_.,:;!?~\N{HORIZONTAL ELLIPSIS}"
_QUOTES = "\u00b4\u2018\u2019\u201c\u201d\u00ab\u00bb\u300c\u300d\u300e\u300f\u300a\u300b"
_BRACKETS = "()[]{}<>\u3008\u3009"
_WORD = re.compile(r"[A-Za-z]+$")
_NUMBER = re.compile(r"(?:\d+[\u00a0\u202f ,])*\d+(?:\.\d+)?$")


def ending_of(text: str) -> Ending | None:
    """Return how the text ends when it is read aloud; None if it has no reading.

    Quotes, full stops and a remark in brackets at its end are not read.
    """
    shown = _bare(text)
    if not shown:
        return None
    if (unit := _unit_of(shown)) is not None:
        return unit
    last = shown[-1]
    if "가" <= last <= "힣":
        final = (ord(last) - ord("가")) % 28
        return V if final == 0 else R if final == _FINAL_RIEUL else C
    if last.isdecimal():
        return _number_ends(shown)
    if found := _WORD.search(unicodedata.normalize("NFKD", shown)):
        return _word_ends(found[0], shown[: found.start()])
    return None


def _bare(text: str) -> str:
    """Without what is not read at the end."""
    shown = text.rstrip(_SKIPPED + _QUOTES)
    while (cut := _BRACKETED.sub("", shown).rstrip()) != shown and cut:
        shown = cut
    return shown.rstrip(_SKIPPED + _QUOTES + _BRACKETS)


def _unit_of(shown: str) -> Ending | None:
    """Return how a unit at the end is read; a rate (`tokens/s`) ends as its time does."""
    last = re.split(r"[\s\d\u00a0\u202f/]", shown)[-1]
    is_after_number = bool(re.search(r"[\d/][\s\u00a0\u202f]?$", shown[: len(shown) - len(last)]))
    if last in {"%", "°C", "°", "$", "€", TIMES, "+", "₩", "£", "=", "&", "#", "@"}:
        return _UNITS[last]
    return _UNITS.get(last) if is_after_number and last else None


def _number_ends(shown: str) -> Ending:
    """Digits are read as a number: 10 십, 100 백, 1000 천, 10000 만, 10^8 억, 10^12 조; 0 영."""
    found = _NUMBER.search(shown)
    digits = re.sub(r"[^\d.]", "", found[0]) if found else shown[-1]
    digits = unicodedata.normalize("NFKC", digits)
    if digits[-1] != "0":
        return _DIGITS[digits[-1]]
    whole = "." not in digits and not digits.startswith("0")
    zeros = len(digits) - len(digits.rstrip("0"))
    return V if whole and 12 <= zeros < 16 else C  # noqa: PLR2004 - 조


def _word_ends(word: str, before: str) -> Ending:
    """Letters are read one by one in an abbreviation, else as a word of English."""
    low = word.lower()
    if low in _WORDS and len(word) > 1:
        return _WORDS[low]
    is_spelled = (
        len(word) == 1
        or word.isupper()
        or not re.search(r"[aeiouy]", low)
        or (bool(before) and before[-1].isdecimal() and len(word) <= 2)  # noqa: PLR2004 - `1b`
        or (word[0].islower() and word[-1].isupper())  # iOS
    )
    if is_spelled:
        return _LETTERS.get(low[-1], V)
    return next((end for rule, end in _RULES if re.search(f"(?:{rule})$", low)), V)
