"""Reads `tokenizer.json`, the vocabulary file of Hugging Face's `tokenizers` library.

Byte-level vocabularies (a part `ByteLevel`) and those made from sentencepiece (`byte_fallback`) are
read; pairs to merge (`BPE`) is the only kind of the library's that the engines here compute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from core.errors import HerdError
from models.formats.huggingface.json_file import as_kind, read_object
from models.formats.huggingface.known import require_known
from models.formats.huggingface.pre_tokenizers import Component
from models.formats.huggingface.tokenizer_parts import (
    Parts,
    byte_level_way,
    first_piece,
    sentencepiece_spacing,
)
from models.formats.unsayable import unsayable
from models.shape import MOST_PIECES
from models.tokenizer import (
    SPACE,
    PieceType,
    Tokenizer,
    scores_of_characters,
    scores_of_merges,
    unused_piece,
)

if TYPE_CHECKING:
    from pathlib import Path

    from models.tokenizer import Merge

_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")


class Added(BaseModel):
    """A piece that is found in a text before anything is merged.

    Attributes:
        content: its text.
        special: it has no text.
        lstrip: spaces before it belong to it; `rstrip`: spaces behind it.
        single_word: it is found only as a separate word.
        normalized: it is looked for after spaces have been marked.
    """

    content: str
    special: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False


class _NumberedAdded(Added):
    id: int


class _Kind(BaseModel):
    type: str = "BPE"


class _AnyFile(BaseModel):
    model: _Kind


class _Bpe(BaseModel):
    vocab: dict[str, int]
    merges: list[tuple[str, str] | str]
    unk_token: str | None = None
    byte_fallback: bool = False
    ignore_merges: bool = False
    dropout: float | None = None
    continuing_subword_prefix: str | None = None
    end_of_word_suffix: str | None = None


_OF_TRAINING = ("truncation", "padding")
"""Lengths of the batches that a model was trained with. A saved fine-tune often has them; they
change no text: transformers switches both off in a plain call (`set_truncation_and_padding`)."""


class _File(BaseModel):
    model: _Bpe
    added_tokens: list[_NumberedAdded] = []
    normalizer: Component | None = None
    pre_tokenizer: Component | None = None
    post_processor: Component | None = None
    decoder: Component | None = None


@dataclass(frozen=True)
class TokenizerJson:
    """What a `tokenizer.json` says.

    Attributes:
        tokenizer: the vocabulary without `added`; begin and ends are not named in the file.
        added: pieces that are found first, by id.
        first: what the file puts before every text, if anything, and its number if it is given.
    """

    tokenizer: Tokenizer
    added: dict[int, Added]
    first: tuple[str, int | None] | None


def read_tokenizer_json(path: Path) -> TokenizerJson:
    """Read a `tokenizer.json`.

    Raises:
        HerdError: it is damaged or of a kind that no engine here computes.
    """
    stated = read_object(path)
    kind_of_model = as_kind(stated, _AnyFile, path).model.type
    if kind_of_model != "BPE":
        raise HerdError(
            f"{path} has a vocabulary of the kind {kind_of_model}; it must be BPE (merged "
            "pairs, as in LLaMA and Qwen), the only kind that the engines support."
        )
    require_known(stated, {"version", *_File.model_fields, *_OF_TRAINING}, path)
    file = as_kind(stated, _File, path)
    parts = Parts(
        normalizer=file.normalizer,
        pre_tokenizer=file.pre_tokenizer,
        post_processor=file.post_processor,
        decoder=file.decoder,
    )
    byte_level = parts.byte_level
    if not byte_level and not file.model.byte_fallback:
        raise HerdError(
            f"{path} has a vocabulary with neither bytes (ByteLevel) nor byte fallback "
            "(byte_fallback), so it cannot represent every text."
        )
    _require_plain_merging(stated, file.model, path, byte_level=byte_level)
    whole = file.model.ignore_merges
    pieces, types = _pieces(path, file, byte_level=byte_level)
    merges = _merges(path, file.model)
    scores = scores_of_merges(pieces, merges)
    unknown = file.model.unk_token
    tokenizer = Tokenizer(
        pieces=tuple(pieces),
        scores=scores if byte_level else scores_of_characters(pieces, scores),
        types=tuple(types),
        unknown_id=file.model.vocab.get(unknown) if unknown is not None else None,
        bos_id=None,
        eos_ids=(),
        kind="byte-level" if byte_level else "sentencepiece",
        merges=merges if byte_level else (),
        pre_tokenizer=(
            byte_level_way(parts, path, whole_words_first=whole) if byte_level else "default"
        ),
        add_space=(
            "never"
            if byte_level
            else sentencepiece_spacing(parts, path, spans_words=_spans_words(pieces, types))
        ),
    )
    added = {
        added.id: Added.model_validate(added.model_dump(exclude={"id"}))
        for added in file.added_tokens
    }
    if len(added) != len(file.added_tokens):
        raise HerdError(f"{path} gives two added tokens the same number.")
    return TokenizerJson(tokenizer=tokenizer, added=added, first=first_piece(parts, path))


def _spans_words(pieces: list[str], types: list[PieceType]) -> bool:
    return any(
        kind is PieceType.NORMAL and SPACE in piece[1:]
        for piece, kind in zip(pieces, types, strict=True)
    )


def _require_plain_merging(
    stated: dict[str, object], model: _Bpe, path: Path, *, byte_level: bool
) -> None:
    """Refuse merging in another way than by rank alone."""
    inner = stated["model"]
    known = {"type", "fuse_unk", *_Bpe.model_fields}
    require_known(inner if isinstance(inner, dict) else {}, known, path)
    settings = {
        "dropout": model.dropout,
        "continuing_subword_prefix": model.continuing_subword_prefix,
        "end_of_word_suffix": model.end_of_word_suffix,
        "ignore_merges": model.ignore_merges and not byte_level,
    }
    wrong = next((name for name, value in settings.items() if value), None)
    if wrong is not None:
        raise unsayable(path, f"merges with `model.{wrong}` ({settings[wrong]})")


def _pieces(path: Path, file: _File, *, byte_level: bool) -> tuple[list[str], list[PieceType]]:
    """Text and type of each id; an id without a piece is an unused one."""
    ids = sorted(file.model.vocab.values())
    most = min(MOST_PIECES, path.stat().st_size)  # a piece takes some bytes
    if not ids or ids[0] < 0 or ids[-1] >= most or len(set(ids)) != len(ids):
        raise HerdError(
            f"{path} numbers its tokens wrongly: each needs its own number, counted from 0."
        )
    pieces = [unused_piece(number) for number in range(ids[-1] + 1)]
    types = [PieceType.UNUSED] * len(pieces)
    for piece, number in file.model.vocab.items():
        pieces[number] = piece
        types[number] = PieceType.NORMAL
        if not byte_level and _BYTE_PIECE.fullmatch(piece):
            types[number] = PieceType.BYTE
        elif not byte_level and piece == file.model.unk_token:
            types[number] = PieceType.UNKNOWN
    return pieces, types


def _merges(path: Path, model: _Bpe) -> tuple[Merge, ...]:
    """The pairs; files of old write a pair as one text with a space."""
    merges: list[Merge] = []
    for merge in model.merges:
        left, _, right = (
            merge.partition(" ") if isinstance(merge, str) else (merge[0], "", merge[1])
        )
        if not {left, right, left + right} <= model.vocab.keys():
            raise HerdError(
                f"{path} merges {left!r} and {right!r}, but its vocabulary does not contain them."
            )
        merges.append((left, right))
    return tuple(merges)
