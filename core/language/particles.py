"""Korean particles after a filled place: 은(는) and the others become the one that is right."""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.language.sounds import Ending, ending_of

PAIRS: Mapping[str, tuple[str, str]] = {
    "은(는)": ("은", "는"),
    "이(가)": ("이", "가"),
    "을(를)": ("을", "를"),
    "과(와)": ("과", "와"),
    "와(과)": ("과", "와"),
    "아(야)": ("아", "야"),
    "(이)": ("이", ""),
    "(으)": ("으", ""),
}
"""As a template writes a particle, and what it is after a consonant and after a vowel."""
_MARK = re.compile("|".join(map(re.escape, PAIRS)))


def with_particles(before: str, text: str) -> str:
    """Return a piece of a template with its particles chosen.

    Args:
        before: what comes before it, filled in.
        text: the piece, as a translator wrote it. Text from outside must not be in it.

    Returns:
        The piece; after something without a reading, both forms stay.
    """
    made = ""
    at = 0
    for found in _MARK.finditer(text):
        made += text[at : found.start()]
        made += _chosen(found[0], ending_of(before + made))
        at = found.end()
    return made + text[at:]


def _chosen(mark: str, ending: Ending | None) -> str:
    if ending is None:
        return mark
    after_consonant, after_vowel = PAIRS[mark]
    if mark == "(으)" and ending is Ending.RIEUL:
        return after_vowel
    return after_vowel if ending is Ending.VOWEL else after_consonant
