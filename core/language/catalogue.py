"""Catalogues: what templates and words of the program are in another language."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from babel.messages.pofile import read_po

from core.language.choice import ENGLISH

FOLDER = Path(__file__).parent
"""Has a folder of `.po` files for each language but English."""
OF_ONE_PLACE, TELLING = 8, 13
"""Letters outside its places from which a template is recognised, no matter what fills them: of one
with a single place, and of others. With fewer, only a number or one word may."""
ANY, NUMBER, SHORT = ".+?", r"[\d.,\u202f]+", r"(?:[\d.,%\u202f\u2013 -]+?|[\w.+/-]+)"
NUMBERS = frozenset({"n", "status", "signal"})
"""Places that only a number fills."""
_LETTERS = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True, slots=True)
class Recognised:
    """A finished text: the template that it was made of, and what fills its places."""

    template: str
    places: Mapping[str, str]


class Translations:
    """What a language has for each text of the program.

    Attributes:
        texts: English text or template to that of the language, those without one left out.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        self._found: dict[str, Recognised | None] = {}

    def of(self, text: str) -> str | None:
        """Return what it is in this language; None if the catalogue lacks it."""
        return self.texts.get(text)

    def recognised(self, text: str) -> Recognised | None:
        """Find the template that a finished text was made of: a stored cause of a failure.

        Of several that fit, it is the one with the longest text outside its places.
        """
        if text not in self._found:
            self._found[text] = next(self._fitting(text), None)
        return self._found[text]

    def _fitting(self, text: str) -> Iterator[Recognised]:
        for template, longest, pattern in self._patterns:
            if longest in text and (found := pattern.fullmatch(text)):
                yield Recognised(template, found.groupdict())

    @functools.cached_property
    def _patterns(self) -> list[tuple[str, str, re.Pattern[str]]]:
        """Each template, its longest piece and a pattern of what it makes; the longest first."""
        made = [_pattern_of(template) for template in self.texts if _is_telling(template)]
        return sorted(made, key=lambda one: -len(literal_of(one[0])))


@functools.cache
def catalogue_of(code: str) -> Translations:
    """Read the catalogue of a language; that of English is empty.

    Args:
        code: of the language.
    """
    return Translations(dict(_read(code)) if code != ENGLISH else {})


def po_files(code: str) -> list[Path]:
    """List the files of a language's catalogue, in the order of their names."""
    return sorted((FOLDER / code).glob("*.po"))


def _read(code: str) -> Iterator[tuple[str, str]]:
    for path in po_files(code):
        with path.open("rb") as file:
            for message in read_po(file, locale=code, abort_invalid=True):
                ids, strings = _forms(message.id), _forms(message.string)
                if ids[0] and strings[0] and not message.fuzzy:
                    yield from ((text, strings[0]) for text in ids)


def _forms(text: object) -> tuple[str, ...]:
    return tuple(map(str, text)) if isinstance(text, (tuple, list)) else (str(text),)


def literal_of(template: str) -> str:
    """Return what a template says itself, its places left out."""
    return "".join(literal for literal, *_ in Formatter().parse(template))


def has_words(template: str) -> bool:
    """Whether there is something in it to translate."""
    return bool(_LETTERS.search(literal_of(template)))


def _is_telling(template: str) -> bool:
    """Whether what a template made can be recognised: it has places, each once, and own words."""
    names = [name for _, name, *_ in Formatter().parse(template) if name is not None]
    return bool(names) and has_words(template) and len(set(names)) == len(names)


def _pattern_of(template: str) -> tuple[str, str, re.Pattern[str]]:
    pieces = [(literal, name) for literal, name, *_ in Formatter().parse(template)]
    own = sum(map(len, _LETTERS.findall(literal_of(template))))
    places = sum(name is not None for _, name in pieces)
    filling = ANY if own >= (OF_ONE_PLACE if places == 1 else TELLING) else SHORT
    shape = "".join(
        re.escape(literal)
        + (f"(?P<{name}>{NUMBER if name in NUMBERS else filling})" if name else "")
        for literal, name in pieces
    )
    longest = max((literal for literal, _ in pieces), key=len)
    return template, longest, re.compile(shape, re.DOTALL)
