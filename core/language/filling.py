"""Fill in the places of a translated template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import Formatter

from core.language.particles import with_particles

_FORMATTER = Formatter()


def filled(template: str, places: Mapping[str, object], told: Callable[[object], object]) -> str:
    """Fill in a template, and choose the particles that it writes behind its places.

    Args:
        template: with named places, as `str.format_map` reads them.
        places: what fills them.
        told: makes of a value what is printed of it, before its format is applied. A number that
            is text already, as it was read from a finished sentence, stays as it is.
    """
    made = ""
    for literal, name, form, conversion in _FORMATTER.parse(template):
        made += with_particles(made, literal)
        if name is None:
            continue
        value, _ = _FORMATTER.get_field(name, (), places)
        value = told(_FORMATTER.convert_field(value, conversion or None))
        is_done = isinstance(value, str) and (form or "")[-1:].isalpha()
        made += _FORMATTER.format_field(value, "" if is_done else form or "")
    return made
