"""Writes and reads distributed-llama's `.t` vocabularies.

Format: b4rtaz/distributed-llama, `converter/tokenizer-writer.py` and `src/tokenizer.cpp` (v0.16):
int32 magic, int32 header size, (key, value) pairs, int32 eos ids, then per piece float32 score,
uint32 length and bytes. The engine adds no leading space: a prompt that llama.cpp gets as "Once"
must be given to distributed-llama as " Once".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from models.checkpoint import PieceType
from models.errors import HerdError
from models.formats.dllama import vocabulary_order

if TYPE_CHECKING:
    from pathlib import Path

    from models.checkpoint import Tokenizer

_MAGIC = 0x567124
_KEY_VERSION, _KEY_VOCAB, _KEY_LONGEST, _KEY_BOS, _KEY_EOS_COUNT, _KEY_ADD_BOS = 0, 1, 2, 3, 9, 10
_NEVER = -1e30
"""A score with which no merge is ever chosen."""


@dataclass(frozen=True)
class DllamaTokenizer:
    """What a `.t` file holds: pieces and scores in the engine's order."""

    pieces: tuple[bytes, ...]
    scores: tuple[float, ...]
    bos_id: int
    eos_ids: tuple[int, ...]


def write_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Write `tokenizer` as a `.t` file, in the order of `vocabulary_order`.

    Raises:
        HerdError: two ordinary pieces have the same text; the engine would take either.
    """
    order = vocabulary_order(tokenizer)
    single = {
        piece.replace("\u2581", " ").encode()
        for piece, kind in zip(tokenizer.pieces, tokenizer.types, strict=True)
        if kind is PieceType.NORMAL
    }
    entries = [_entry(tokenizer, int(old), single) for old in order]
    texts = [text for text, _ in entries]
    if len(set(texts)) != len(texts):
        repeated = next(text for text in texts if texts.count(text) > 1)
        raise HerdError(
            f"The vocabulary has the piece {repeated!r} twice; distributed-llama "
            "cannot tell them apart. Use another tokenizer for this model."
        )
    bos = len(texts) - 2
    pairs = {
        _KEY_BOS: bos,
        _KEY_VERSION: 1,
        _KEY_VOCAB: len(texts),
        _KEY_LONGEST: max(map(len, texts)),
        _KEY_EOS_COUNT: 1,
        _KEY_ADD_BOS: 1,
    }
    numbers = [_MAGIC, 8 + 8 * len(pairs), *chain.from_iterable(pairs.items()), bos + 1]
    with path.open("wb") as file:
        file.write(struct.pack(f"<{len(numbers)}i", *numbers))
        for text, score in entries:
            file.write(struct.pack("<fI", score, len(text)) + text)


def read_dllama_tokenizer(path: Path) -> DllamaTokenizer:
    """Read a `.t` file back.

    Raises:
        HerdError: it is no such file or is cut short.
    """
    content = path.read_bytes()
    try:
        magic, header_bytes = struct.unpack_from("<2i", content)
        if magic != _MAGIC:
            raise HerdError(f"{path} is not a distributed-llama vocabulary (.t).")
        numbers = struct.unpack_from(f"<{(header_bytes - 8) // 4}i", content, 8)
        values = dict(zip(numbers[::2], numbers[1::2], strict=True))
        offset = header_bytes
        eos_ids = struct.unpack_from(f"<{values[_KEY_EOS_COUNT]}i", content, offset)
        offset += 4 * len(eos_ids)
        pieces: list[bytes] = []
        scores: list[float] = []
        for _ in range(values[_KEY_VOCAB]):
            score, length = struct.unpack_from("<fI", content, offset)
            pieces += struct.unpack_from(f"{length}s", content, offset + 8)
            scores.append(score)
            offset += 8 + length
    except (struct.error, KeyError) as error:
        raise HerdError(f"{path} is cut short. Delete it and build it again.") from error
    return DllamaTokenizer(
        pieces=tuple(pieces), scores=tuple(scores), bos_id=values[_KEY_BOS], eos_ids=eos_ids
    )


def _entry(tokenizer: Tokenizer, old_id: int, ordinary: set[bytes]) -> tuple[bytes, float]:
    """Text and score of a piece, as the engine must see it.

    The engine finds pieces by binary search over their texts, so texts must be unique: the piece of
    a byte for which an ordinary piece exists, or of NUL (texts must not contain it), is written as
    the letters `<0xNN>` that no merge can reach.
    """
    piece, kind = tokenizer.pieces[old_id], tokenizer.types[old_id]
    if kind is PieceType.BYTE:
        raw = bytes([int(piece[3:5], 16)])
        literal = raw == b"\0" or raw in ordinary
        return (piece.encode() if literal else raw), _NEVER
    if kind is PieceType.UNKNOWN:
        return piece.encode(), _NEVER
    if kind is PieceType.CONTROL:
        return piece.encode(), 0.0
    return piece.replace("\u2581", " ").encode(), tokenizer.scores[old_id]
