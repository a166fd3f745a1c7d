"""The intermediate representation of a vocabulary, between every source and every format.

Two kinds are known. A *sentencepiece-like* one (LLaMA 2, TinyLlama) holds text with U+2581 for a
space and 256 pieces `<0xNN>` for what it cannot spell; neighbours are merged by the score of the
result. A *byte-level* one (Llama 3, Qwen3, SmolLM2) spells bytes with the 256 letters of GPT-2;
neighbours are merged by the rank of the pair, inside the words that a pre-tokeniser cuts. Both
split greedily, best merge first, the leftmost of equals.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

from core.errors import HerdError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SPACE = "\u2581"
"""What stands for a space in the pieces of a sentencepiece-like vocabulary."""
NEVER = -(2.0**100)
"""A score with which no merge is ever chosen; float32 holds it exactly."""
LLAMA_3 = frozenset({"llama-bpe", "llama-v3", "llama3"})
"""GGUF's names for how Llama 3 cuts a text: runs of digits by threes from the left, for one."""

LONGEST_PIECE = 512
"""Characters of a piece that are believed; merges of longer ones would take too long to find."""

Kind = Literal["sentencepiece", "byte-level"]
Spacing = Literal["never", "first", "always"]
Merge = tuple[str, str]


class PieceType(IntEnum):
    """What a piece of the vocabulary is; the numbers are sentencepiece's and GGUF's."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary with what its engine must know to split text as the model was trained.

    Attributes:
        pieces: text of each id. Ordinary and unused pieces are spelled as the kind does (see
            above), bytes of a sentencepiece-like vocabulary `<0xNN>`, all others as they appear in
            a text.
        scores: merge priority of each id, higher merges first; `NEVER` for what no merge makes.
        types: what each id is.
        unknown_id: id for what cannot be written otherwise, if there is one.
        bos_id: id that begins a text, if there is one.
        eos_ids: ids that end a text or a turn, the usual one first.
        kind: how ordinary pieces are spelled and merged.
        merges: pairs of a byte-level vocabulary, first one first; empty for sentencepiece.
        pre_tokenizer: GGUF's name for how text is cut before merging; None if unknown.
        add_bos: a text begins with `bos_id`.
        add_space: where a space is put that the text has not; sentencepiece-like only. `always`:
            before the text and after every special piece in it; `first`: before the text alone.
        chat_template: how a conversation is written out, in Jinja.
    """

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    types: tuple[PieceType, ...]
    unknown_id: int | None = 0
    bos_id: int | None = 1
    eos_ids: tuple[int, ...] = (2,)
    kind: Kind = "sentencepiece"
    merges: tuple[Merge, ...] = ()
    pre_tokenizer: str | None = "default"
    add_bos: bool = True
    add_space: Spacing = "always"
    chat_template: str | None = None

    def piece_bytes(self, piece_id: int) -> bytes:
        """What the piece adds to a text, for example a space and letters, or one byte.

        Raises:
            KeyError: an ordinary byte-level piece holds a letter that stands for no byte.
        """
        piece, kind = self.pieces[piece_id], self.types[piece_id]
        if kind is PieceType.BYTE:
            return bytes([int(piece[3:5], 16)])
        if self.kind == "sentencepiece" and kind in {PieceType.NORMAL, PieceType.UNUSED}:
            return piece.replace(SPACE, " ").encode()
        if kind is not PieceType.NORMAL:
            return piece.encode()
        return bytes(_BYTE_OF_LETTER[letter] for letter in piece)

    def with_rows(self, rows: int, path: Path) -> Tokenizer:
        """The vocabulary of a model with so many rows: the rows without a piece get unused ones.

        Publishers round rows up (Qwen3: 151936 rows for 151669 pieces); engines never choose them.

        Raises:
            HerdError: there are more pieces than rows.
        """
        missing = range(len(self.pieces), rows)
        if len(self.pieces) > rows:
            raise HerdError(
                f"{path} has {rows} rows in its embedding and {len(self.pieces)} tokens in its "
                "vocabulary: they belong to different models. There must be at least as many "
                "rows as tokens."
            )
        return replace(
            self,
            pieces=(*self.pieces, *map(unused_piece, missing)),
            scores=(*self.scores, *[NEVER] * len(missing)),
            types=(*self.types, *[PieceType.UNUSED] * len(missing)),
        )


def checked(tokenizer: Tokenizer, path: Path) -> Tokenizer:
    """The vocabulary that was read from `path`, if its parts can be used.

    Raises:
        HerdError: what says so names the piece.
    """
    for number, (piece, kind) in enumerate(zip(tokenizer.pieces, tokenizer.types, strict=True)):
        if len(piece) > LONGEST_PIECE:
            raise HerdError(
                f"{path} has a token of {len(piece)} characters (number {number}, "
                f"{piece[:16]!r}…); the limit is {LONGEST_PIECE}."
            )
        if kind is PieceType.BYTE and not _BYTE_PIECE.fullmatch(piece):
            raise HerdError(
                f"{path} marks token {number} as a byte but spells it {piece!r}; write a byte "
                "like <0x0A>."
            )
    if tokenizer.kind == "sentencepiece":
        _require_bytes(tokenizer, path)
    for number, score in enumerate(tokenizer.scores):
        if not math.isfinite(score):
            raise HerdError(
                f"{path} gives token {number} the score {score}, which is not a number."
            )
    named = (tokenizer.unknown_id, tokenizer.bos_id, *tokenizer.eos_ids)
    wrong = [one for one in named if one is not None and not 0 <= one < len(tokenizer.pieces)]
    if wrong:
        raise HerdError(
            f"{path} uses {wrong[0]} as the begin-of-text, end-of-text or unknown token; its "
            f"tokens are numbered from 0 to {len(tokenizer.pieces) - 1}."
        )
    return tokenizer


def _require_bytes(tokenizer: Tokenizer, path: Path) -> None:
    there = {
        piece.upper()
        for piece, kind in zip(tokenizer.pieces, tokenizer.types, strict=True)
        if kind is PieceType.BYTE
    }
    missing = next((byte for byte in range(256) if byte_piece(byte).upper() not in there), None)
    if missing is not None:
        raise HerdError(
            f"{path} has a vocabulary without byte fallback (it lacks {byte_piece(missing)}), "
            "so it cannot represent every text."
        )


def byte_letters(text: bytes) -> str:
    """`text` as a byte-level piece spells it, for example `Ġthe` for ` the`."""
    return "".join(_LETTER_OF_BYTE[byte] for byte in text)


def byte_piece(byte: int) -> str:
    """What a sentencepiece-like vocabulary calls a byte, for example `<0x0A>`."""
    return f"<0x{byte:02X}>"


def unused_piece(number: int) -> str:
    """What a row of the model is called for which the vocabulary has no piece."""
    return f"[PAD{number}]"


def scores_of_merges(pieces: Iterable[str], merges: Iterable[Merge]) -> tuple[float, ...]:
    """Score of each piece by which an engine that merges by score makes the same choices.

    It is minus the rank of the first merge that makes the piece, or `NEVER`.
    """
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges):
        ranks.setdefault(left + right, rank)
    return tuple(-float(ranks[piece]) if piece in ranks else NEVER for piece in pieces)


def scores_of_characters(pieces: Iterable[str], scores: Sequence[float]) -> tuple[float, ...]:
    """The scores with single characters below all merges, falling, as sentencepiece has them.

    No merge makes a character, so that no text is split otherwise; but a `.t` file, which moves
    some characters, can recognise by them where they came from.
    """
    lowest = min((score for score in scores if score > NEVER), default=0.0)
    return tuple(
        lowest - number - 1 if len(piece) == 1 and score == NEVER else score
        for number, (piece, score) in enumerate(zip(pieces, scores, strict=True))
    )


def merges_of_scores(tokenizer: Tokenizer) -> tuple[Merge, ...]:
    """Pairs by which an engine that merges by rank makes the same choices as by score.

    For each ordinary piece, the best score first, these are all pairs of ordinary pieces that
    spell it.
    """
    ordinary = {
        piece: index
        for index, (piece, kind) in enumerate(zip(tokenizer.pieces, tokenizer.types, strict=True))
        if kind is PieceType.NORMAL
    }
    made = [piece for piece, index in ordinary.items() if tokenizer.scores[index] > NEVER]
    made.sort(key=lambda piece: (-tokenizer.scores[ordinary[piece]], ordinary[piece]))
    return tuple(
        (piece[:cut], piece[cut:])
        for piece in made
        for cut in range(1, len(piece))
        if piece[:cut] in ordinary and piece[cut:] in ordinary
    )


def _letters() -> tuple[str, ...]:
    """GPT-2's letter of each byte: itself if it is seen in print, else one from U+0100 on."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    codes = {byte: byte for byte in printed}
    codes |= {byte: 256 + index for index, byte in enumerate(others)}
    return tuple(chr(codes[byte]) for byte in range(256))


_BYTE_PIECE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_LETTER_OF_BYTE = _letters()
_BYTE_OF_LETTER = {letter: byte for byte, letter in enumerate(_LETTER_OF_BYTE)}
