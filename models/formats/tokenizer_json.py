"""Reads `tokenizer.json`, the vocabulary file of Hugging Face's `tokenizers` library.

Byte-level vocabularies (a part `ByteLevel`) and those made from sentencepiece (`byte_fallback`) are
read; pairs to merge (`BPE`) is the only kind of the library's that the engines here compute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from models.errors import HerdError
from models.formats.json_file import read_json
from models.formats.pre_tokenizers import Component, components, way_of_cutting
from models.tokenizer import (
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
_MOST_PIECES = 4_000_000


class Added(BaseModel):
    """A piece that is found in a text before anything is merged."""

    content: str
    special: bool = False


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


class _File(BaseModel):
    model: _Bpe
    added_tokens: list[_NumberedAdded] = []
    normalizer: Component | None = None
    pre_tokenizer: Component | None = None
    post_processor: Component | None = None


@dataclass(frozen=True)
class TokenizerJson:
    """What a `tokenizer.json` says.

    Attributes:
        tokenizer: the vocabulary without `added`; begin and ends are not named in the file.
        added: pieces that are found first, by id.
        first: what the file puts before every text, if anything.
    """

    tokenizer: Tokenizer
    added: dict[int, Added]
    first: str | None


def read_tokenizer_json(path: Path) -> TokenizerJson:
    """Read a `tokenizer.json`.

    Raises:
        HerdError: it is damaged or of a kind that no engine here computes.
    """
    kind_of_model = read_json(path, _AnyFile).model.type
    if kind_of_model != "BPE":
        raise HerdError(
            f"{path} has a vocabulary of the kind {kind_of_model}; right would be BPE "
            "(merged pairs, as LLaMA and Qwen have). The engines here split a text in no other way."
        )
    file = read_json(path, _File)
    byte_level = any(part.get("type") == "ByteLevel" for part in components(file.pre_tokenizer))
    if not byte_level and not file.model.byte_fallback:
        raise HerdError(
            f"{path} has a vocabulary that spells neither bytes (ByteLevel) nor falls back to them "
            "(byte_fallback), so that not every text could be written."
        )
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
        pre_tokenizer=way_of_cutting(file.pre_tokenizer) if byte_level else "default",
        add_space="always" if not byte_level and _puts_a_space_first(file) else "never",
    )
    added = {added.id: Added.model_validate(added.model_dump()) for added in file.added_tokens}
    return TokenizerJson(tokenizer=tokenizer, added=added, first=_first(file.post_processor))


def _pieces(path: Path, file: _File, *, byte_level: bool) -> tuple[list[str], list[PieceType]]:
    """Text and type of each id; an id without a piece is an unused one."""
    ids = sorted(file.model.vocab.values())
    if not ids or ids[0] < 0 or ids[-1] >= _MOST_PIECES or len(set(ids)) != len(ids):
        raise HerdError(
            f"{path} numbers its pieces wrongly: each needs a number of its own from 0."
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
            raise HerdError(f"{path} merges {left!r} and {right!r}, which its vocabulary lacks.")
        merges.append((left, right))
    return tuple(merges)


def _puts_a_space_first(file: _File) -> bool:
    parts = [*components(file.normalizer), *components(file.pre_tokenizer)]
    return any(
        part.get("type") == "Prepend"
        or (part.get("type") == "Metaspace" and _metaspace_puts_a_space(part))
        for part in parts
    )


def _metaspace_puts_a_space(part: Component) -> bool:
    return (
        part.get("prepend_scheme", "always") != "never"
        and part.get("add_prefix_space") is not False
    )


def _first(post_processor: Component | None) -> str | None:
    """The special piece with which a template of one text begins."""
    for part in components(post_processor):
        single = part.get("single")
        if isinstance(single, list) and single and isinstance(single[0], dict):
            special = single[0].get("SpecialToken")
            if isinstance(special, dict):
                return str(special.get("id"))
    return None
