"""Reads the vocabulary in a Hugging Face directory.

`tokenizer.json` or, where it is absent, `tokenizer.model` holds the pieces. What begins and ends a
text and the chat template stand beside it: in `tokenizer_config.json` (of old, also
`special_tokens_map.json`), further ends in `generation_config.json` and `config.json`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel

from models.errors import HerdError
from models.formats.json_file import read_json
from models.formats.sentencepiece_model import read_sentencepiece_model
from models.formats.tokenizer_json import Added, read_tokenizer_json
from models.tokenizer import NEVER, PieceType, Tokenizer, unused_piece

if TYPE_CHECKING:
    from pathlib import Path


class _NamedTemplate(BaseModel):
    name: str
    template: str


class _Settings(BaseModel):
    """`tokenizer_config.json`, or `special_tokens_map.json`, which has a part of it."""

    bos_token: Added | str | None = None
    eos_token: Added | str | None = None
    unk_token: Added | str | None = None
    add_bos_token: bool | None = None
    chat_template: str | list[_NamedTemplate] | None = None
    added_tokens_decoder: dict[int, Added] = {}


class _ModelSettings(BaseModel):
    """`config.json` or `generation_config.json`, as far as it concerns the vocabulary."""

    eos_token_id: int | list[int] | None = None
    vocab_size: int | None = None


def read_vocabulary(folder: Path) -> Tokenizer:
    """The vocabulary of a Hugging Face directory.

    It has as many pieces as the model has rows (`vocab_size` of `config.json`); a row without a
    piece gets an unused one.

    Raises:
        HerdError: a file is absent or damaged, or the vocabulary is of a kind that no engine here
            computes.
    """
    settings = _settings(folder)
    if (folder / "tokenizer.json").is_file():
        file = read_tokenizer_json(folder / "tokenizer.json")
        tokenizer, added, first = file.tokenizer, file.added, file.first
    elif (folder / "tokenizer.model").is_file():
        tokenizer = read_sentencepiece_model(folder / "tokenizer.model")
        added = settings.added_tokens_decoder
        first = None if tokenizer.bos_id is None else tokenizer.pieces[tokenizer.bos_id]
    else:
        raise HerdError(
            f"{folder} needs a vocabulary: put tokenizer.json or tokenizer.model there."
        )
    model, generation = (
        read_json(path, _ModelSettings) if path.is_file() else _ModelSettings()
        for path in (folder / "config.json", folder / "generation_config.json")
    )
    tokenizer = _with_rows(_with_added(tokenizer, added), model.vocab_size, folder)
    bos = _id(tokenizer, settings.bos_token, folder)
    eos = _id(tokenizer, settings.eos_token, folder)
    ends = [*([] if eos is None else [eos]), *tokenizer.eos_ids]
    ends += _listed(generation.eos_token_id) + _listed(model.eos_token_id)
    _require_pieces(tokenizer, ends, folder)
    unknown = _id(tokenizer, settings.unk_token, folder)
    bos = bos if bos is not None else tokenizer.bos_id
    begins = bos is not None and first == tokenizer.pieces[bos]
    return replace(
        tokenizer,
        unknown_id=unknown if unknown is not None else tokenizer.unknown_id,
        bos_id=bos,
        eos_ids=tuple(dict.fromkeys(ends)),
        add_bos=begins if settings.add_bos_token is None else settings.add_bos_token,
        chat_template=_template(settings),
    )


def _settings(folder: Path) -> _Settings:
    """What stands beside the vocabulary, `tokenizer_config.json` before all others."""
    stated, older = (
        read_json(path, _Settings) if path.is_file() else _Settings()
        for path in (folder / "tokenizer_config.json", folder / "special_tokens_map.json")
    )
    template = folder / "chat_template.jinja"
    newer = template.read_text(encoding="utf-8") if template.is_file() else None
    return stated.model_copy(
        update={
            "bos_token": stated.bos_token or older.bos_token,
            "eos_token": stated.eos_token or older.eos_token,
            "unk_token": stated.unk_token or older.unk_token,
            "chat_template": stated.chat_template or newer,
        }
    )


def _template(settings: _Settings) -> str | None:
    """The chat template; of several, the one called `default`."""
    stated = settings.chat_template
    if isinstance(stated, list):
        named = {entry.name: entry.template for entry in stated}
        return named.get("default")
    return stated


def _with_added(tokenizer: Tokenizer, added: dict[int, Added]) -> Tokenizer:
    """The vocabulary with the pieces that are found before merging in their places."""
    tokenizer = _extended(tokenizer, max(added, default=-1) + 1)
    pieces, types = list(tokenizer.pieces), list(tokenizer.types)
    for number, piece in added.items():
        pieces[number] = piece.content
        if types[number] is not PieceType.UNKNOWN:
            types[number] = PieceType.CONTROL if piece.special else PieceType.USER_DEFINED
    return replace(tokenizer, pieces=tuple(pieces), types=tuple(types))


def _with_rows(tokenizer: Tokenizer, rows: int | None, folder: Path) -> Tokenizer:
    if rows is not None and rows < len(tokenizer.pieces):
        raise HerdError(
            f"{folder} has {len(tokenizer.pieces)} pieces in its vocabulary, but config.json says "
            f"vocab_size {rows}. Right would be at least as many rows as pieces."
        )
    return _extended(tokenizer, rows or 0)


def _extended(tokenizer: Tokenizer, rows: int) -> Tokenizer:
    """The vocabulary with unused pieces up to `rows`."""
    missing = range(len(tokenizer.pieces), rows)
    return replace(
        tokenizer,
        pieces=(*tokenizer.pieces, *map(unused_piece, missing)),
        scores=(*tokenizer.scores, *[NEVER] * len(missing)),
        types=(*tokenizer.types, *[PieceType.UNUSED] * len(missing)),
    )


def _id(tokenizer: Tokenizer, named: Added | str | None, folder: Path) -> int | None:
    if named is None:
        return None
    text = named if isinstance(named, str) else named.content
    if text not in tokenizer.pieces:
        raise HerdError(f"{folder} names {text!r} in its settings, which is no piece of it.")
    return tokenizer.pieces.index(text)


def _listed(numbers: int | list[int] | None) -> list[int]:
    if numbers is None:
        return []
    return [numbers] if isinstance(numbers, int) else numbers


def _require_pieces(tokenizer: Tokenizer, ends: list[int], folder: Path) -> None:
    wrong = next((end for end in ends if not 0 <= end < len(tokenizer.pieces)), None)
    if wrong is not None:
        raise HerdError(f"{folder} names {wrong} as the end of a text, which is no piece of it.")
