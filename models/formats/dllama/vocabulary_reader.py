"""Reads distributed-llama's `.t` vocabularies into the intermediate representation.

A `.t` file states neither the kind of its vocabulary nor the type of each piece. Both are
recognised: a sentencepiece-like one has the 256 bytes in a row; ids from bos on are special, unless
they are a character. The format is described in `models.formats.dllama.vocabulary_writer`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.errors import HerdError
from models.formats.dllama.vocabulary_writer import MAGIC, VocabularyKey
from models.formats.model_files import read_small
from models.tokenizer import (
    NEVER,
    SPACE,
    PieceType,
    Tokenizer,
    byte_letters,
    byte_piece,
    checked,
    merges_of_scores,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_OLD_MAGIC = 0x567123
_START = struct.Struct("<2i")
"""The magic number and how many bytes the header has."""
_UNKNOWN = b"<unk>"
_PUSHED_DOWN = -1e8
"""A score below that of any rank."""
_MARKS = {
    b"<|start_header_id|>": "llama-bpe",
    b"<|object_ref_start|>": "qwen2",
    b"<empty_output>": "smollm",
}
"""Special pieces that only one family has, with GGUF's name for how it cuts a text."""


@dataclass(frozen=True)
class DllamaTokenizer:
    """What a `.t` file holds: pieces and scores in the engine's order."""

    pieces: tuple[bytes, ...]
    scores: tuple[float, ...]
    bos_id: int
    eos_ids: tuple[int, ...]
    add_bos: bool
    chat_template: str | None


@dataclass(frozen=True)
class DllamaVocabulary:
    """A `.t` file in the intermediate representation.

    Attributes:
        tokenizer: the vocabulary. LLaMA 2's order is restored where the file has another; the order
            of a byte-level vocabulary is left as it is, because nothing in the file indicates
            another one.
        order: id in `tokenizer` of each id of the file, and so of each row of embedding and
            classifier in the `.m` file next to it.
    """

    tokenizer: Tokenizer
    order: NDArray[np.int64]


def read_vocabulary(path: Path) -> DllamaVocabulary:
    """Read a `.t` file into the intermediate representation.

    Raises:
        HerdError: it is no such file, is cut short, or holds text that is not UTF-8.
    """
    stored = read_dllama_tokenizer(path)
    first_byte = _first_byte(stored.pieces)
    try:
        read = _byte_level(stored) if first_byte is None else _sentencepiece(stored, first_byte)
        return replace(read, tokenizer=_with_merges(checked(read.tokenizer, path)))
    except UnicodeDecodeError as error:
        raise HerdError(f"{path} has a token that is not valid UTF-8: {error.object!r}.") from None


def read_dllama_tokenizer(path: Path) -> DllamaTokenizer:
    """Read a `.t` file as it is.

    Raises:
        HerdError: it is no such file or is cut short.
    """
    content = read_small(path)
    try:
        return _stored(content, path)
    except struct.error:
        raise HerdError(
            f"{path} is truncated or damaged. Delete it, and fetch or build it again."
        ) from None
    except KeyError as error:
        raise HerdError(f"{path} does not give its {error.args[0].name.lower()}.") from None


def _stored(content: bytes, path: Path) -> DllamaTokenizer:
    """Parse the bytes of a `.t` file; every length is checked against them."""
    values, offset = _header(content, path)
    template_bytes = content[offset : offset + values.get(VocabularyKey.CHAT_TEMPLATE_BYTES, 0)]
    offset += len(template_bytes)
    try:
        template = template_bytes.decode()
    except UnicodeDecodeError as error:
        raise HerdError(
            f"{path} has a chat template that is not valid UTF-8: {error.reason}."
        ) from None
    eos_ids = struct.unpack_from(f"<{values.get(VocabularyKey.EOS_COUNT, 0)}i", content, offset)
    offset += 4 * len(eos_ids)
    pieces: list[bytes] = []
    scores: list[float] = []
    for _ in range(values[VocabularyKey.VOCAB]):
        score, length = struct.unpack_from("<fI", content, offset)
        pieces += struct.unpack_from(f"{length}s", content, offset + 8)
        scores.append(score)
        offset += 8 + length
    earlier = tuple(
        values[key] for key in (VocabularyKey.EOS, VocabularyKey.CHAT_EOS) if key in values
    )
    stored = DllamaTokenizer(
        pieces=tuple(pieces),
        scores=tuple(scores),
        bos_id=values[VocabularyKey.BOS],
        eos_ids=tuple(dict.fromkeys((*earlier, *eos_ids))),
        add_bos=values.get(VocabularyKey.ADD_BOS, 1) == 1,
        chat_template=template or None,
    )
    wrong = [end for end in (stored.bos_id, *stored.eos_ids) if not 0 <= end < len(pieces)]
    if wrong:
        raise HerdError(
            f"{path} names {wrong[0]} as the begin or end of a text, but has no such token."
        )
    return stored


def _header(content: bytes, path: Path) -> tuple[dict[int, int], int]:
    """The keys of the header, and where what follows it begins."""
    magic, header_bytes = _START.unpack_from(content)
    if magic == _OLD_MAGIC:
        raise HerdError(
            f"{path} is a vocabulary for distributed-llama before version 0.8. Convert the "
            "model's vocabulary again with a newer version."
        )
    if magic != MAGIC:
        raise HerdError(f"{path} is not a distributed-llama vocabulary (.t).")
    if not _START.size <= header_bytes <= len(content) or header_bytes % 8:
        raise HerdError(f"{path} is damaged: its header cannot be {header_bytes} bytes long.")
    numbers = struct.unpack_from(f"<{(header_bytes - _START.size) // 4}i", content, _START.size)
    values = dict(zip(numbers[::2], numbers[1::2], strict=True))
    unknown = sorted(values.keys() - set(VocabularyKey))
    if unknown:
        raise HerdError(
            f"{path} has the header key {unknown[0]}, which distributed-llama 0.16 does not "
            "know: the file is damaged or from another version."
        )
    if values.get(VocabularyKey.VERSION, 1) != 1:
        raise HerdError(
            f"{path} is a vocabulary of version {values[VocabularyKey.VERSION]}; distributed-llama "
            "0.16 reads version 1. Convert the model's vocabulary again."
        )
    lengths = (
        VocabularyKey.CHAT_STOP,
        VocabularyKey.CHAT_TEMPLATE_BYTES,
        VocabularyKey.EOS_COUNT,
        VocabularyKey.VOCAB,
    )
    wrong = [key for key in lengths if not 0 <= values.get(key, 0) <= len(content)]
    if wrong:
        raise HerdError(
            f"{path} is damaged: its {wrong[0].name.lower()} cannot be {values[wrong[0]]}."
        )
    return values, header_bytes + values.get(VocabularyKey.CHAT_STOP, 0)


def _first_byte(pieces: tuple[bytes, ...]) -> int | None:
    """Return the id of byte 0 where all bytes follow each other, written raw or as `<0xNN>`."""
    for start, text in enumerate(pieces[:-255]):
        if text in {b"\0", byte_piece(0).encode()}:
            row = pieces[start : start + 256]
            allowed = ((bytes([byte]), byte_piece(byte).encode()) for byte in range(256))
            return start if all(text in both for text, both in zip(row, allowed)) else None  # noqa: B905  # both have 256
    return None


def _sentencepiece(stored: DllamaTokenizer, first_byte: int) -> DllamaVocabulary:
    special = {stored.bos_id, *stored.eos_ids}
    reordered = stored.bos_id > first_byte
    pieces, types = [], []
    for index, text in enumerate(stored.pieces):
        if first_byte <= index < first_byte + 256:
            pieces.append(byte_piece(index - first_byte))
            types.append(PieceType.BYTE)
        elif index in special or (reordered and index >= stored.bos_id and len(text.decode()) > 1):
            pieces.append(text.decode())
            types.append(PieceType.CONTROL)
        else:
            pieces.append(text.decode().replace(" ", SPACE))
            types.append(PieceType.UNKNOWN if text == _UNKNOWN else PieceType.NORMAL)
    moved = reordered and stored.pieces[0] == _UNKNOWN and stored.bos_id + 1 in stored.eos_ids
    old_ids = _order_of_llama2(stored, types) if moved else list(range(len(pieces)))
    order = np.argsort(old_ids)
    tokenizer = Tokenizer(
        pieces=tuple(pieces[index] for index in old_ids),
        scores=tuple(stored.scores[index] for index in old_ids),
        types=tuple(types[index] for index in old_ids),
        unknown_id=0 if stored.pieces[0] == _UNKNOWN else None,
        bos_id=int(order[stored.bos_id]),
        eos_ids=tuple(int(order[end]) for end in stored.eos_ids),
        add_bos=stored.add_bos,
        chat_template=stored.chat_template,
    )
    return DllamaVocabulary(tokenizer=tokenizer, order=order)


def _order_of_llama2(stored: DllamaTokenizer, types: list[PieceType]) -> list[int]:
    """Ids of the file as LLaMA 2 orders them: unknown, bos, eos, bytes, ordinary pieces, the rest.

    Ordinary pieces below bos have kept their order. The characters that were moved behind it go
    back in front of the first one with a lower score, for single characters are numbered by falling
    score. Pieces that were pushed far down (runs of spaces, in LLaMA 2) mean nothing.
    """
    front = [0, stored.bos_id, stored.bos_id + 1]
    middle = [index for index, kind in enumerate(types) if kind is PieceType.BYTE]
    ordinary = [index for index, kind in enumerate(types) if kind is PieceType.NORMAL]
    moved = [index for index in ordinary if index > stored.bos_id]
    following = 0
    for index in ordinary[: len(ordinary) - len(moved)]:
        score = stored.scores[index]
        while following < len(moved) and _PUSHED_DOWN < score < stored.scores[moved[following]]:
            middle.append(moved[following])
            following += 1
        middle.append(index)
    middle += moved[following:]
    listed = {*front, *middle}
    return [*front, *middle, *(index for index in range(len(types)) if index not in listed)]


def _with_merges(tokenizer: Tokenizer) -> Tokenizer:
    """A byte-level vocabulary with the pairs that its scores come from."""
    if tokenizer.kind != "byte-level":
        return tokenizer
    return replace(tokenizer, merges=merges_of_scores(tokenizer))


def _byte_level(stored: DllamaTokenizer) -> DllamaVocabulary:
    nul = byte_piece(0).encode()
    pieces = [
        byte_letters(text.replace(nul, b"\0") if score <= NEVER else text)
        for text, score in zip(
            stored.pieces[: stored.bos_id], stored.scores[: stored.bos_id], strict=True
        )
    ]
    pieces += [text.decode() for text in stored.pieces[stored.bos_id :]]
    special = len(pieces) - stored.bos_id
    types = [PieceType.NORMAL] * stored.bos_id + [PieceType.CONTROL] * special
    marks = (name for mark, name in _MARKS.items() if mark in stored.pieces)
    tokenizer = Tokenizer(
        pieces=tuple(pieces),
        scores=stored.scores,
        types=tuple(types),
        unknown_id=None,
        bos_id=stored.bos_id,
        eos_ids=stored.eos_ids,
        kind="byte-level",
        pre_tokenizer=next(marks, None),
        add_bos=stored.add_bos,
        add_space="never",
        chat_template=stored.chat_template,
    )
    return DllamaVocabulary(
        tokenizer=tokenizer,
        order=np.arange(len(pieces)),
    )
