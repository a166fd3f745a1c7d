"""Which language is in force, and which ones a report is written in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from core.errors import HerdError

ENGLISH, KOREAN = "en", "ko"
LANGUAGES: Mapping[str, str] = {ENGLISH: "English", KOREAN: "한국어"}
"""Code of each language to what it calls itself. Programs are written in the first."""
BOTH = "both"
VARIABLE = "LLAMA_HERD_LANG"
"""Of the environment: the language of reports, where nothing else is asked for."""

_SPOKEN: ContextVar[str] = ContextVar("language", default=ENGLISH)


def language() -> str:
    """Return the code of the language in force."""
    return _SPOKEN.get()


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Put a language in force for what is done inside.

    Args:
        code: one of `LANGUAGES`.
    """
    before = _SPOKEN.set(known_language(code))
    try:
        yield
    finally:
        _SPOKEN.reset(before)


def switch_to(code: str) -> str:
    """Put a language in force for the rest of this context; templates call it between two parts.

    Returns:
        Nothing to print.
    """
    _SPOKEN.set(known_language(code))
    return ""


def known_language(code: str) -> str:
    """Return the code, if there is such a language.

    Raises:
        ValueError: there is none.
    """
    if code not in LANGUAGES:
        raise ValueError(f"{code}: a language must be one of {', '.join(LANGUAGES)}")
    return code


def languages_of(
    asked: str | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Return the languages that a report is written in, the one that is shown first at the front.

    Args:
        asked: `en`, `ko` or `both`, as the flag `--lang` has it; None: what the environment says.
        environment: its variable `LLAMA_HERD_LANG` counts where no flag is given.

    Raises:
        HerdError: it is none of these.
    """
    where = "--lang" if asked is not None else VARIABLE
    code = (environment.get(VARIABLE) or ENGLISH) if asked is None else asked
    if code == BOTH:
        return tuple(LANGUAGES)
    if code not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise HerdError(f"{where} {code!r}: it must be one of {known} or {BOTH}.")
    return (code,)
