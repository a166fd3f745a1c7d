"""Sentences of a report: a template with named places, and what fills them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self


class Sentence(str):
    """A sentence that remembers what it was made of.

    It is the finished English text wherever a string is wanted. Its template is a constant of the
    program, so it can be looked up in a catalogue and filled in again in another language.

    Attributes:
        template: with a named place (`{nodes}`) for each value.
        places: what fills the places.
    """

    __slots__ = ("places", "template")

    template: str
    places: Mapping[str, object]

    def __new__(cls, template: str, places: Mapping[str, object]) -> Self:
        """Fill in the template."""
        made = super().__new__(cls, template.format_map(places))
        made.template, made.places = template, places
        return made


def say(template: str, **values: object) -> Sentence:
    """Make a sentence.

    Args:
        template: a constant; braces mark places, each by its name.
        values: numbers and text as they are to be read; a sentence may fill a place of another.
    """
    return Sentence(template, values)


def together(sentences: Iterable[str], between: str = " ") -> Sentence:
    """Join the sentences that are not empty, each still with its own template.

    Args:
        sentences: finished sentences or clauses.
        between: what is put between two of them.
    """
    parts = {f"part_{n}": part for n, part in enumerate(filter(None, sentences), start=1)}
    return Sentence(between.join(f"{{{name}}}" for name in parts), parts)


def capital(sentence: str) -> str:
    """Begin a sentence with a large letter; what it was made of stays known."""
    large = sentence[:1].upper() + sentence[1:]
    if not isinstance(sentence, Sentence):
        return large
    if not sentence.template.startswith("{"):
        return Sentence(sentence.template[:1].upper() + sentence.template[1:], sentence.places)
    name = sentence.template[1 : sentence.template.index("}")]
    places = {**sentence.places, name: _large(sentence.places[name])}
    return Sentence(sentence.template, places)


def _large(value: object) -> object:
    return capital(value) if isinstance(value, str) else value
