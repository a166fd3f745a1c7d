"""Whether two vocabularies are the same, token by token, with all that begins and ends a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from models.tokenizer import PieceType, merges_of_scores

if TYPE_CHECKING:
    from models.tokenizer import Merge, Tokenizer

Split = Callable[[str], Sequence[str]]
_SHOWN = 60


def differences(found: Tokenizer, base: Tokenizer, split: Split) -> tuple[str, ...]:
    """Say what of a vocabulary is not as the base has it, with the first token that differs.

    Args:
        found: the vocabulary of a file of the tuned model.
        base: that of the base's file in the same form.
        split: cuts a text into tokens, for the chat template.

    Returns:
        Parts of sentences such as "ends a text with …"; none where both are the same.
    """
    checks = (
        _pieces(found, base),
        _types(found, base),
        _number("begins a text with", found, base, (found.bos_id,), (base.bos_id,)),
        _number("ends a text with", found, base, found.eos_ids, base.eos_ids),
        _number("has for unknown text", found, base, (found.unknown_id,), (base.unknown_id,)),
        _setting("puts the beginning before a text", found.add_bos, base.add_bos),
        _setting("puts a space before a text", found.add_space, base.add_space),
        _setting("cuts a text into words by the way", found.pre_tokenizer, base.pre_tokenizer),
        _merges(found, base),
        _template(found.chat_template, base.chat_template, split),
    )
    return tuple(what for what in checks if what)


def _pieces(found: Tokenizer, base: Tokenizer) -> str | None:
    if found.kind != base.kind:
        return f"has a {found.kind} vocabulary, the base a {base.kind} one"
    at = _first_other(found.pieces, base.pieces)
    return at and _other(f"has for token {at[0]}", at[1], at[2])


def _types(found: Tokenizer, base: Tokenizer) -> str | None:
    at = _first_other(found.types, base.types)
    if at is None:
        return None
    piece = (*found.pieces, *base.pieces[len(found.pieces) :])[at[0]]
    return _other(f"takes token {at[0]} ({_short(piece)}) for", _named(at[1]), _named(at[2]))


def _number(
    what: str,
    found: Tokenizer,
    base: Tokenizer,
    ids: Sequence[int | None],
    wanted: Sequence[int | None],
) -> str | None:
    at = _first_other(ids, wanted)
    return at and _other(what, _token(found, at[1]), _token(base, at[2]))


def _setting(what: str, found: object, base: object) -> str | None:
    return None if found == base else _other(f"{what}:", found, base)


def _merges(found: Tokenizer, base: Tokenizer) -> str | None:
    """Compare which pairs are merged first: each source has its own scale of scores."""
    at = _first_other(_ranked(found), _ranked(base))
    return at and _other(f"merges as pair {at[0] + 1}", at[1], at[2])


def _ranked(tokenizer: Tokenizer) -> Sequence[Merge]:
    return tokenizer.merges or merges_of_scores(tokenizer)


def _template(found: str | None, base: str | None, split: Split) -> str | None:
    if found == base:
        return None
    if found is None or base is None:
        return f"has {'no' if found is None else 'a'} chat template, unlike the base"
    at = _first_other(split(found), split(base))
    if at is None:  # the cut loses what differs, such as kinds of spaces
        at = _first_other(found, base)
    number, here, there = at or (0, None, None)
    return _other(f"has in its chat template as token {number + 1}", here, there)


def _first_other(
    found: Sequence[object], base: Sequence[object]
) -> tuple[int, object, object] | None:
    """Where two sequences differ first, and what is there; None behind an end."""
    pairs = enumerate(zip_longest(found, base))
    return next(((index, here, there) for index, (here, there) in pairs if here != there), None)


def _token(tokenizer: Tokenizer, number: object) -> str | None:
    if not isinstance(number, int):
        return None
    return f"token {number} ({_short(tokenizer.pieces[number])})"


def _named(kind: object) -> str | None:
    return kind.name.lower().replace("_", " ") if isinstance(kind, PieceType) else None


def _other(what: str, found: object, base: object) -> str:
    return f"{what} {_shown(found)}, the base {_shown(base)}"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) and value.startswith("token ") else _short(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
