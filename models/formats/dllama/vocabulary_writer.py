"""Writes distributed-llama's `.t` vocabularies.

Format: b4rtaz/distributed-llama, `converter/tokenizer-writer.py` and `src/tokenizer.cpp` (v0.16):
int32 magic, int32 header size, (key, value) pairs, the chat template, int32 eos ids, then per piece
float32 score, uint32 length and bytes.

The engine takes ids below bos for ordinary pieces. It walks through a prompt, at each place first
looking for a piece from bos on that matches there, else for the shortest ordinary one, which is a
byte; then it merges neighbours by the score of the result. It neither adds a leading space (a
prompt that llama.cpp gets as "Once" must be given to it as " Once") nor cuts a text into words
first, as byte-level vocabularies expect.
"""

from __future__ import annotations

import struct
from collections import Counter
from enum import IntEnum
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from core.errors import HerdError
from models.tokenizer import LLAMA_3, NEVER, SPACE, PieceType, byte_piece

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.tokenizer import Tokenizer

MAGIC = 0x567124
_FORMAT_VERSION = 1


class VocabularyKey(IntEnum):
    """The keys of the header; `EOS` and `CHAT_EOS` are those of versions before 0.13."""

    VERSION = 0
    VOCAB = 1
    LONGEST = 2
    BOS = 3
    EOS = 4
    PAD = 5
    CHAT_EOS = 6
    CHAT_TEMPLATE_BYTES = 7
    CHAT_STOP = 8
    EOS_COUNT = 9
    ADD_BOS = 10


def vocabulary_order(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Old id of each new id, for `.t` and for the rows of embedding and classifier in `.m` alike.

    Ordinary pieces come first, then bos, then what is to be found before anything is merged: the
    other special pieces and, of a sentencepiece-like vocabulary, characters of several bytes, which
    sentencepiece does not make of bytes. LLaMA 2's bos and eos move from the front to the end;
    Llama 3's and Qwen3's vocabularies have that order already.
    """
    special = _special_ids(tokenizer)
    ids = np.arange(len(tokenizer.pieces))
    first = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    found_first = [*first, *(number for number in special if number not in first)]
    found_first += _character_ids(tokenizer)
    return np.concatenate([np.delete(ids, found_first), np.array(found_first, dtype=np.int64)])


def write_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write `tokenizer` as a `.t` file, in the order of `vocabulary_order`.

    Raises:
        HerdError: two pieces that the engine would take for each other, a special piece that it
            cannot hold, or none at all.
    """
    _require_spelt(tokenizer)
    order = vocabulary_order(tokenizer).tolist()
    special = _special_ids(tokenizer)
    _require_special(tokenizer, special)
    bos = len(order) - len(special) - len(_character_ids(tokenizer))
    entries = _entries(tokenizer, order)
    for texts in ([text for text, _ in entries[:bos]], [text for text, _ in entries[bos:]]):
        _require_distinct(texts)
    new_ids = {old: new for new, old in enumerate(order)}
    template = (tokenizer.chat_template or "").encode()
    ends = _ends(tokenizer)
    pairs = {
        VocabularyKey.BOS: bos,
        VocabularyKey.VERSION: _FORMAT_VERSION,
        VocabularyKey.VOCAB: len(entries),
        VocabularyKey.LONGEST: max(len(text) for text, _ in entries),
        **({VocabularyKey.CHAT_TEMPLATE_BYTES: len(template)} if template else {}),
        VocabularyKey.EOS_COUNT: len(ends),
        VocabularyKey.ADD_BOS: int(tokenizer.add_bos and tokenizer.bos_id is not None),
    }
    header = [MAGIC, 8 + 8 * len(pairs), *chain.from_iterable(pairs.items())]
    with path.open("wb") as file:
        file.write(struct.pack(f"<{len(header)}i", *header) + template)
        file.write(struct.pack(f"<{len(ends)}i", *(new_ids[end] for end in ends)))
        for text, score in entries:
            file.write(struct.pack("<fI", score, len(text)) + text)


def _special_ids(tokenizer: Tokenizer) -> list[int]:
    """Return the ids of pieces without a text, in their order."""
    named = {tokenizer.bos_id, *tokenizer.eos_ids}
    return [
        number
        for number, kind in enumerate(tokenizer.types)
        if kind in {PieceType.CONTROL, PieceType.USER_DEFINED} or number in named
    ]


def _character_ids(tokenizer: Tokenizer) -> list[int]:
    """Ids of the characters of several bytes in a sentencepiece-like vocabulary, in their order."""
    named = {tokenizer.bos_id, *tokenizer.eos_ids}
    return [
        number
        for number, (piece, kind) in enumerate(zip(tokenizer.pieces, tokenizer.types, strict=True))
        if tokenizer.kind == "sentencepiece"
        and kind is PieceType.NORMAL
        and number not in named
        and len(piece) == 1
        and not piece.isascii()
        and piece != SPACE
    ]


def _ends(tokenizer: Tokenizer) -> list[int]:
    """The eos ids, first the one that ends a turn: the engine's chat writes the first one there."""
    template = tokenizer.chat_template or ""
    return sorted(tokenizer.eos_ids, key=lambda end: tokenizer.pieces[end] not in template)


def _entries(tokenizer: Tokenizer, order: list[int]) -> list[tuple[bytes, float]]:
    """Text and score of each piece, as the engine must see them.

    The engine finds ordinary pieces by binary search over their texts, which end at NUL. So a piece
    without a text is written as letters that no merge can reach: an unknown or unused piece, a byte
    that an ordinary piece spells already, and any piece that contains a NUL.
    """
    spelled = {
        tokenizer.piece_bytes(old)
        for old, kind in enumerate(tokenizer.types)
        if kind is PieceType.NORMAL
    }
    nul = byte_piece(0).encode()
    entries = []
    for old in order:
        kind, text = tokenizer.types[old], tokenizer.piece_bytes(old)
        if kind is PieceType.BYTE:
            literal = b"\0" in text or text in spelled
            entries.append((tokenizer.pieces[old].encode() if literal else text, NEVER))
        elif kind in {PieceType.UNKNOWN, PieceType.UNUSED}:
            entries.append((text, NEVER))
        elif kind is PieceType.NORMAL:
            score = NEVER if b"\0" in text else _score(tokenizer, old)
            entries.append((text.replace(b"\0", nul), score))
        else:
            entries.append((text, 0.0))
    return entries


def _score(tokenizer: Tokenizer, old: int) -> float:
    """Priority of an ordinary piece.

    Llama 3's runs of digits are cut by threes from the left before merging. The engine comes to the
    same if pairs of digits merge before all else, the leftmost first, and triples before pairs.
    """
    piece = tokenizer.pieces[old]
    digits = len(piece) if piece.isascii() and piece.isdigit() else 1
    if digits > 1 and tokenizer.pre_tokenizer in LLAMA_3:
        return float(digits)
    return tokenizer.scores[old]


def _require_spelt(tokenizer: Tokenizer) -> None:
    for number, kind in enumerate(tokenizer.types):
        if kind is PieceType.NORMAL:
            try:
                tokenizer.piece_bytes(number)
            except KeyError as error:
                raise HerdError(
                    f"The ordinary token {tokenizer.pieces[number]!r} has the letter {error}, "
                    "which represents no byte in a byte-level vocabulary. Use another "
                    "tokenizer for this model."
                ) from None


def _require_special(tokenizer: Tokenizer, special: list[int]) -> None:
    if not special:
        raise HerdError(
            "The vocabulary has no special token (such as the begin or end of a text), and "
            "distributed-llama needs one to find the end of the ordinary tokens. Define one in "
            "its source."
        )
    wrong = next((number for number in special if "\0" in tokenizer.pieces[number]), None)
    if wrong is not None:
        raise HerdError(
            f"The special token {tokenizer.pieces[wrong]!r} contains a NUL, which ends a text "
            "in distributed-llama. Use another tokenizer for this model."
        )


def _require_distinct(texts: list[bytes]) -> None:
    repeated = next((text for text, times in Counter(texts).items() if times > 1), None)
    if repeated is not None:
        raise HerdError(
            f"The vocabulary has the token {repeated!r} twice; distributed-llama cannot "
            "distinguish them. Use another tokenizer for this model."
        )
    if b"" in texts:
        raise HerdError(
            "The vocabulary has a token with an empty text, which distributed-llama refuses to "
            "load. Use another tokenizer for this model."
        )
