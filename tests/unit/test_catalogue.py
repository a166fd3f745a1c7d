"""The Korean catalogue has every text of the program, with its places, and nothing else."""

from __future__ import annotations

import re
import string

import pytest

from core.language.catalogue import FOLDER, catalogue_of, literal_of, po_files
from core.language.choice import ENGLISH, LANGUAGES
from core.language.extract import BY_HAND, extracted, read
from core.language.particles import PAIRS

GRAMMAR = {"whose", "value"}
"""Places that hold a word of English grammar (`its`, `are`), which a translation leaves out."""
OTHERS = [code for code in LANGUAGES if code != ENGLISH]
ENTRIES = [
    (path.stem, message)
    for code in OTHERS
    for path in po_files(code)
    for message in read(path, code)
    if message.id
]
WORD = re.compile(r"[A-Za-z]+")
HANGUL = re.compile(r"[가-힣]")
SAME = frozenset({"fab", "probe", "log", "p", "McNemar", "Holm", "Karp", "Flatt", "TTFT", "net"}
                 | {"turbo", "GPU", "spans", "tokens", "s", "ms", "Mbit"})  # fmt: skip
"""Words that a Korean writes as they are."""


def _first(text: object) -> str:
    return str(text[0]) if isinstance(text, tuple | list) else str(text)


def _places(template: str) -> set[tuple[str, str, str | None]]:
    parts = string.Formatter().parse(template)
    return {(name, spec or "", how) for _, name, spec, how in parts if name is not None}


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_of_the_program_is_in_the_catalogue(code: str) -> None:
    rooms = extracted()
    for name, room in rooms.items():
        held = {_first(message.id) for message in read(FOLDER / code / f"{name}.po", code)} - {""}
        assert held == room.plurals.keys(), "run python -m core.language.extract"
    assert {path.stem for path in po_files(code)} == {*rooms} | BY_HAND


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_of_the_catalogue_is_translated(code: str) -> None:
    texts = catalogue_of(code).texts
    open_ones = [_first(m.id) for _, m in ENTRIES if _first(m.id) not in texts and not m.fuzzy]
    assert open_ones == []
    assert not [_first(m.id) for _, m in ENTRIES if m.fuzzy]


def test_no_place_is_lost_or_added() -> None:
    for _, message in ENTRIES:
        wanted, found = _places(_first(message.id)), _places(_first(message.string))
        lost = {name for name, *_ in wanted - found} - GRAMMAR
        assert not lost, (message.id, message.string)
        assert found <= wanted, (message.id, message.string)


def test_a_translation_is_korean() -> None:
    for _, message in ENTRIES:
        text, told = _first(message.id), _first(message.string)
        if not {*WORD.findall(literal_of(told))} <= SAME:
            assert HANGUL.search(told), (text, told)


def test_a_place_before_a_particle_that_depends_on_it_has_both_forms() -> None:
    # After `word({place})` the word decides, as a remark in brackets is not read.
    one_form = re.compile(
        r"(?<![가-힣]\()\{[^{}]*\}[”\")]?(은|는|이|가|을|를|과|와|으로|로)(?=[ ,.]|$)"
    )
    for _, message in ENTRIES:
        assert not one_form.search(_first(message.string)), message.string


def test_particles_are_written_as_they_are_read() -> None:
    odd = re.compile(r"(는\(은\)|가\(이\)|를\(을\)|으로\(로\)|로\(으로\))")
    for _, message in ENTRIES:
        assert not odd.search(_first(message.string)), message.string
    assert {"은(는)", "이(가)", "을(를)", "과(와)", "와(과)", "(으)"} <= PAIRS.keys()
