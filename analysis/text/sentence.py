"""Sentences of a report: a template with named places, and what fills them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

from markupsafe import Markup

from core.language import misses
from core.language.catalogue import catalogue_of, has_words
from core.language.choice import ENGLISH, language
from core.language.filling import filled

_JOINTS = re.compile(r"(; |, | · |: | and | \+ | \(|\))")
"""Where a text of several parts is cut, each part looked up alone."""
FOREIGN = frozenset({"why", "reason", "cause"})
"""Places of a stored message that may hold the words of an engine or a system."""


class Sentence(str):
    """A sentence that remembers what it was made of.

    It is the finished English text wherever a string is wanted, so that nothing which sorts,
    compares or stores it depends on a language. `translated` gives it in the language in force.

    Attributes:
        template: with a named place (`{nodes}`) for each value.
        places: what fills the places.
        shaped: gives it in the language in force, where that is more than to fill in the template.
    """

    __slots__ = ("places", "shaped", "template")

    template: str
    places: Mapping[str, object]
    shaped: Callable[[], str] | None

    def __new__(
        cls,
        template: str,
        places: Mapping[str, object],
        shaped: Callable[[], str] | None = None,
    ) -> Self:
        """Fill in the template."""
        made = super().__new__(cls, template.format_map(places))
        made.template, made.places, made.shaped = template, places, shaped
        return made

    def __str__(self) -> str:
        """Stay what it is: a library that keeps `str(text)` keeps what it was made of."""
        return self

    def __copy__(self) -> Sentence:
        """Return itself: it does not change."""
        return self

    def __deepcopy__(self, _seen: object) -> Sentence:
        """Return itself: it does not change."""
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """Become its finished text where it is stored or sent to another process."""
        return str, ("".join(self),)

    def __add__(self, other: str) -> Sentence:
        """Put a text behind it; both still know what they were made of."""
        return together((self, other), "")

    def __radd__(self, other: str) -> Sentence:
        """Put a text in front of it."""
        return together((other, self), "")


def say(template: str, **values: object) -> Sentence:
    """Make a sentence.

    Args:
        template: a constant; braces mark places, each by its name.
        values: numbers and text as they are to be read; a sentence may fill a place of another.
    """
    return Sentence(template, values)


def say_number(n: int, one: str, several: str, **values: object) -> Sentence:
    """Make a sentence about a number of things; a catalogue has both forms in one entry.

    Args:
        n: how many; it fills the place `n`.
        one: the template where there is one.
        several: for any other number.
        values: what fills further places.
    """
    places = {"n": n, **values}
    return Sentence(one if n == 1 else several, places, lambda: _of_template(one, places))


def say_of(word: str, what: str) -> Sentence:
    """Make a word that means several things; a catalogue has it as `word (what)`.

    Args:
        word: a constant.
        what: which of its meanings it has here, a constant.
    """
    return Sentence(word, {}, lambda: _of_template(f"{word} ({what})", {}))


def together(sentences: Iterable[str], between: str = " ") -> Sentence:
    """Join the sentences that are not empty, each still with its own template.

    Args:
        sentences: finished sentences or clauses.
        between: what is put between two of them.
    """
    parts = {f"part_{n}": part for n, part in enumerate(filter(None, sentences), start=1)}
    return Sentence(between.join(f"{{{name}}}" for name in parts), parts)


def reshaped(sentence: str, shape: Callable[[str], str]) -> str:
    """Change how a sentence looks, in every language; what it was made of stays known.

    Args:
        sentence: finished.
        shape: makes of its text another one.
    """
    if not isinstance(sentence, Sentence):
        return shape(sentence)
    return Sentence("{whole}", {"whole": shape(sentence)}, lambda: shape(translated(sentence)))


def capital(sentence: str) -> str:
    """Begin a sentence of English with a large letter; what it was made of stays known."""
    large = sentence[:1].upper() + sentence[1:]
    if not isinstance(sentence, Sentence):
        return large
    return Sentence("{whole}", {"whole": large}, lambda: translated(sentence))


def translated(value: object) -> str:
    """Return a text of the program in the language in force.

    Args:
        value: a sentence, a word or phrase that the catalogue may have, or a number. A name or
            another text that the catalogue does not have stays as it is.
    """
    if not isinstance(value, str):
        return str(value)
    if language() == ENGLISH or isinstance(value, Markup):
        return value
    if not isinstance(value, Sentence):
        return _plain(value)
    return value.shaped() if value.shaped else _of_template(value.template, value.places)


def verbatim(text: str) -> Sentence:
    """Make a text that no catalogue is asked about: an answer, a prompt, a name that users give."""
    return Sentence("{text}", {"text": text}, lambda: text)


def reported(text: str) -> Sentence:
    """Make a message that a run has stored: in another language it is recognised, or quoted."""
    return Sentence("{text}", {"text": text}, lambda: _recognised_or_quoted(text))


def _recognised_or_quoted(text: str) -> str:
    found = _known(language(), text, is_reported=True)
    if found is None:
        misses.missed(text)
    return _quoted(text) if found is None else found


def _quoted(text: str) -> str:
    return f"\N{LEFT DOUBLE QUOTATION MARK}{text}\N{RIGHT DOUBLE QUOTATION MARK}"


def _of_template(template: str, places: Mapping[str, object]) -> str:
    found = catalogue_of(language()).of(template)
    if found is None and has_words(template):
        misses.missed(template)
    return filled(found or template, places, _told)


def _told(value: object) -> object:
    return translated(value) if isinstance(value, str) else value


def _plain(text: str) -> str:
    """Look up a text that has lost, or never had, its template."""
    found = _known(language(), text)
    if found is None:
        misses.missed(text)
    return text if found is None else found


@functools.lru_cache(maxsize=8192)
def _known(code: str, text: str, *, is_reported: bool = False) -> str | None:
    """Return the text in a language: as a whole, by the template it was made of, part by part.

    In a message that a run has stored, what is known of it may contain other words than ours,
    such as an engine's: these are quoted.
    """
    catalogue = catalogue_of(code)
    if (found := catalogue.of(text)) is not None:
        return found
    parts = _JOINTS.split(text)
    again = functools.partial(_known, code, is_reported=is_reported)
    known = [again(part) for part in parts[::2]] if len(parts) > 1 else [None]
    if not all(known) and (made := catalogue.recognised(text)) is not None:
        places = {
            name: reported(value) if is_reported and name in FOREIGN else value
            for name, value in made.places.items()
        }
        return _of_template(made.template, places)
    if not any(known):
        return None
    joints = [catalogue.of(joint) or joint for joint in (*parts[1::2], "")]
    if is_reported:
        return _with_quotes(known, parts, joints)
    told = (own or part for own, part in zip(known, parts[::2], strict=True))
    return "".join(f"{part}{joint}" for part, joint in zip(told, joints, strict=True))


def _with_quotes(known: Sequence[str | None], parts: Sequence[str], joints: Sequence[str]) -> str:
    """Join the parts of a message; what follows one another unknown is quoted as it was."""
    made, foreign = "", ""
    for place, own in enumerate(known):
        if own is None and parts[2 * place]:
            foreign += parts[2 * place]
            is_last = place + 1 == len(known) or known[place + 1] is not None
            if not is_last:
                foreign += parts[2 * place + 1]
                continue
            made += _quoted(foreign) if " " in foreign else foreign
            foreign = ""
        else:
            made += own or ""
        made += joints[place]
    return made
