"""Reads llama2.c's `tokenizer.bin`.

Format: karpathy/llama2.c, `run.c` and `tokenizer.py`: int32 longest length, then float32 score,
int32 length and bytes of each piece.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from core.errors import HerdError
from models.formats.model_files import read_small
from models.tokenizer import SPACE, PieceType, Tokenizer, byte_piece, checked

if TYPE_CHECKING:
    from pathlib import Path

_FIRST_BYTE_ID = 3


def read_tokenizer(path: Path, vocab: int) -> Tokenizer:
    """Read the first `vocab` pieces of `tokenizer.bin`.

    Its spelling of byte pieces and of bos and eos differs between editions, and bytes from 0x80 on
    are stored as the UTF-8 of U+00NN in one of them, so both are made from the id instead.

    Raises:
        HerdError: the file does not hold `vocab` pieces.
    """
    content = read_small(path)
    bytes_end = _FIRST_BYTE_ID + 256
    pieces = ["<unk>", "<s>", "</s>", *map(byte_piece, range(256))]
    if vocab < bytes_end:
        raise HerdError(
            f"{path} belongs to a model with {vocab} tokens; a llama2.c vocabulary has at least "
            f"{bytes_end}: three special tokens and the bytes."
        )
    scores: list[float] = []
    offset = 4
    try:
        for index in range(vocab):
            score, length = struct.unpack_from("<fi", content, offset)
            (text,) = struct.unpack_from(f"{length}s", content, offset + 8)
            if index >= bytes_end:
                pieces.append(text.decode("utf-8").replace(" ", SPACE))
            scores.append(score)
            offset += 8 + length
    except UnicodeDecodeError:
        raise HerdError(
            f"{path} is damaged: its token {len(scores)} is not valid UTF-8. Fetch it again."
        ) from None
    except struct.error:
        raise HerdError(
            f"{path} does not hold a vocabulary of {vocab} tokens (it ends after "
            f"{len(scores)}). Delete it and fetch the model again."
        ) from None
    if offset != len(content):
        raise HerdError(
            f"{path} continues after the {vocab} tokens that match the model's rows: they "
            "belong to different models."
        )
    types = [
        PieceType.UNKNOWN,
        PieceType.CONTROL,
        PieceType.CONTROL,
        *[PieceType.BYTE] * 256,
        *[PieceType.NORMAL] * (vocab - bytes_end),
    ]
    tokenizer = Tokenizer(pieces=tuple(pieces), scores=tuple(scores), types=tuple(types))
    return checked(tokenizer, path)
