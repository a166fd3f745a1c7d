"""Reads the vocabulary in a Hugging Face directory.

`tokenizer.json` or, where it is absent, `tokenizer.model` holds the pieces. What begins and ends a
text, added pieces and the chat template are in separate files
(`models.formats.huggingface.settings`), further ends in `generation_config.json` and `config.json`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel

from core.errors import HerdError
from models.formats.huggingface.json_file import as_kind, read_json, read_object
from models.formats.huggingface.known import require_computable_generation
from models.formats.huggingface.sentencepiece_model import read_sentencepiece_model
from models.formats.huggingface.settings import Settings, read_settings, require_plain_piece
from models.formats.huggingface.tokenizer_json import Added, read_tokenizer_json
from models.formats.model_files import is_there
from models.formats.unsayable import unsayable
from models.shape import MOST_PIECES
from models.tokenizer import SPACE, PieceType, Tokenizer, checked

if TYPE_CHECKING:
    from pathlib import Path

_PIECES = "tokenizer.json"
_SENTENCEPIECE = "tokenizer.model"


class _ModelSettings(BaseModel):
    """`config.json` or `generation_config.json`, as far as it concerns the vocabulary."""

    eos_token_id: int | list[int] | None = None
    vocab_size: int | None = None


def read_vocabulary(folder: Path) -> Tokenizer:
    """The vocabulary of a Hugging Face directory.

    It has as many pieces as the model has rows (`vocab_size` of `config.json`, which the caller has
    checked against the weights); a row without a piece gets an unused one.

    Raises:
        HerdError: a file is absent or damaged, or the vocabulary is of a kind that no engine here
            computes.
    """
    settings = read_settings(folder)
    if is_there(folder / _PIECES):
        file = read_tokenizer_json(folder / _PIECES)
        tokenizer, first = file.tokenizer, file.first
        added = _together(file.added, settings.added, folder)
        _require_same_spacing(tokenizer, settings, folder)
    elif is_there(folder / _SENTENCEPIECE):
        tokenizer = _spaced(read_sentencepiece_model(folder / _SENTENCEPIECE), settings)
        added, own = settings.added, tokenizer.bos_id
        begin = settings.bos or (None if own is None else tokenizer.pieces[own])
        first = None if begin is None else (begin, None)
    else:
        raise HerdError(
            f"{folder} needs a vocabulary: put tokenizer.json or tokenizer.model there."
        )
    model, generation = _model_settings(folder)
    rows = min(model.vocab_size or MOST_PIECES, MOST_PIECES)
    tokenizer = _with_added(tokenizer, added, rows, folder)
    if model.vocab_size is not None:
        tokenizer = tokenizer.with_rows(rows, folder)
    tokenizer = _with_special(tokenizer, settings.special)
    return checked(_with_ends(tokenizer, settings, first, [generation, model], folder), folder)


def _model_settings(folder: Path) -> tuple[_ModelSettings, _ModelSettings]:
    """What `config.json` and `generation_config.json` say; absent ones say nothing."""
    config, generation = folder / "config.json", folder / "generation_config.json"
    model = read_json(config, _ModelSettings) if is_there(config) else _ModelSettings()
    if not is_there(generation):
        return model, _ModelSettings()
    stated = read_object(generation)
    require_computable_generation(stated, generation)
    return model, as_kind(stated, _ModelSettings, generation)


def _with_ends(
    tokenizer: Tokenizer,
    settings: Settings,
    first: tuple[str, int | None] | None,
    listing: list[_ModelSettings],
    folder: Path,
) -> Tokenizer:
    """The vocabulary with what begins and ends a text."""
    bos = _id(tokenizer, settings.bos, folder)
    bos = bos if bos is not None else tokenizer.bos_id
    if bos is None and first is not None:  # named by nothing but the template that puts it
        bos = _id(tokenizer, first[0], folder)
    eos = _id(tokenizer, settings.eos, folder)
    ends = [*([] if eos is None else [eos]), *tokenizer.eos_ids]
    for listed in listing:
        ends += _listed(listed.eos_token_id)
    wrong = next((end for end in ends if not 0 <= end < len(tokenizer.pieces)), None)
    if wrong is not None:
        raise HerdError(
            f"{folder} names {wrong} as the end of a text, which is not one of its tokens."
        )
    begins = first is not None and settings.add_bos is not False
    if begins and first is not None and bos is not None:
        _require_bos(tokenizer, bos, first, folder)
    unknown = _id(tokenizer, settings.unknown, folder)
    return replace(
        tokenizer,
        unknown_id=unknown if unknown is not None else tokenizer.unknown_id,
        bos_id=bos,
        eos_ids=tuple(dict.fromkeys(ends)),
        add_bos=begins if settings.add_bos is None else settings.add_bos,
        chat_template=settings.chat_template,
    )


def _require_bos(
    tokenizer: Tokenizer, bos: int, first: tuple[str, int | None], folder: Path
) -> None:
    """Refuse a template that puts something else than bos before every text."""
    text, number = first
    if text != tokenizer.pieces[bos] or number not in {None, bos}:
        raise unsayable(
            folder,
            f"puts {text!r} (number {number}) before every text in the post_processor of {_PIECES},"
            f" and names {tokenizer.pieces[bos]!r} (number {bos}) as bos_token",
        )


def _together(file: dict[int, Added], beside: dict[int, Added], folder: Path) -> dict[int, Added]:
    """Return the added pieces of `tokenizer.json` and of the files next to it, which must agree."""
    numbers = {piece.content: number for number, piece in file.items()}
    for number, piece in beside.items():
        there = file.get(number)
        if (there and there.content != piece.content) or numbers.get(
            piece.content, number
        ) != number:
            raise HerdError(
                f"{folder} gives the added token {piece.content!r} the number {number}, but "
                f"{_PIECES} has {numbers.get(piece.content, there and there.content)!r} for it, "
                "so it is unclear which file is right."
            )
    return beside | file


def _spaced(tokenizer: Tokenizer, settings: Settings) -> Tokenizer:
    """A vocabulary of sentencepiece with spaces where transformers puts them."""
    if tokenizer.add_space == "never" or settings.add_prefix_space is False:
        return replace(tokenizer, add_space="never")
    return replace(tokenizer, add_space="first" if settings.legacy is False else "always")


def _require_same_spacing(tokenizer: Tokenizer, settings: Settings, folder: Path) -> None:
    puts_one = tokenizer.add_space != "never"
    if settings.add_prefix_space not in {None, puts_one}:
        raise unsayable(
            folder,
            f"has `add_prefix_space` {settings.add_prefix_space} in its settings, and {_PIECES} "
            f"{'puts one' if puts_one else 'puts none'}",
        )


def _with_added(
    tokenizer: Tokenizer, added: dict[int, Added], rows: int, folder: Path
) -> Tokenizer:
    """The vocabulary with the pieces that are found before merging in their places."""
    last = max(added, default=-1)
    first = min(added, default=0)
    if first < 0:
        raise HerdError(
            f"{folder} gives the added token {added[first].content!r} the number {first}; "
            "numbers start at 0."
        )
    if last >= rows:
        raise HerdError(
            f"{folder} gives the added token {added[last].content!r} the number {last}, but the "
            f"model has {rows} rows: they belong to different models."
        )
    tokenizer = tokenizer.with_rows(max(len(tokenizer.pieces), last + 1), folder)
    pieces, types = list(tokenizer.pieces), list(tokenizer.types)
    for number, piece in added.items():
        require_plain_piece(piece, folder)
        text = _as_in_a_text(piece, tokenizer)
        before = pieces[number]
        if types[number] is PieceType.NORMAL and before not in {piece.content, text}:
            raise unsayable(
                folder, f"gives the added token {text!r} the number {number} of {before!r}"
            )
        pieces[number] = text
        if types[number] is not PieceType.UNKNOWN:
            types[number] = PieceType.CONTROL if piece.special else PieceType.USER_DEFINED
    return replace(tokenizer, pieces=tuple(pieces), types=tuple(types))


def _as_in_a_text(piece: Added, tokenizer: Tokenizer) -> str:
    """Return how a piece appears in a text, with marks if spaces are marked first."""
    marked = tokenizer.kind == "sentencepiece" and piece.normalized and not piece.special
    return piece.content.replace(SPACE, " ") if marked else piece.content


def _with_special(tokenizer: Tokenizer, special: tuple[str, ...]) -> Tokenizer:
    """The vocabulary with the pieces that the settings list as special ones found first."""
    listed = set(special)
    types = tuple(
        PieceType.CONTROL
        if piece in listed and kind in {PieceType.NORMAL, PieceType.USER_DEFINED}
        else kind
        for piece, kind in zip(tokenizer.pieces, tokenizer.types, strict=True)
    )
    return replace(tokenizer, types=types)


def _id(tokenizer: Tokenizer, text: str | None, folder: Path) -> int | None:
    if text is None:
        return None
    if text not in tokenizer.pieces:
        raise HerdError(f"{folder} names {text!r} in its settings, which is not one of its tokens.")
    return tokenizer.pieces.index(text)


def _listed(numbers: int | list[int] | None) -> list[int]:
    if numbers is None:
        return []
    return [numbers] if isinstance(numbers, int) else numbers
