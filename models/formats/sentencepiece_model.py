"""Reads `tokenizer.model`, the vocabulary file of sentencepiece.

Format: google/sentencepiece, `src/sentencepiece_model.proto`; read with the package's own classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from sentencepiece.sentencepiece_model_pb2 import (  # type: ignore[attr-defined]  # made on loading
    ModelProto,
)

from models.errors import HerdError
from models.tokenizer import SPACE, PieceType, Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

_MERGED_PAIRS = 2
_MODEL_TYPES = {1: "Unigram", _MERGED_PAIRS: "BPE", 3: "words", 4: "characters"}


def read_sentencepiece_model(path: Path) -> Tokenizer:
    """Read a `tokenizer.model`.

    Raises:
        HerdError: it is none, or its pieces do not come from merging pairs.
    """
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
        whole = bool(model.pieces)
    except DecodeError:
        whole = False
    except OSError as error:
        raise HerdError(f"Reading {path}: {error.strerror or error}.") from None
    if not whole:
        raise HerdError(
            f"{path} is not a vocabulary of sentencepiece. Fetch it again, or put the model's "
            "tokenizer.json beside it (Llama 3 and later have none of sentencepiece)."
        )
    kind = model.trainer_spec.model_type
    if kind != _MERGED_PAIRS:
        raise HerdError(
            f"{path} has a vocabulary of the kind {_MODEL_TYPES.get(kind, kind)}; right would be "
            "BPE (merged pairs, as LLaMA has). The engines here split a text in no other way."
        )
    types = tuple(PieceType(piece.type) for piece in model.pieces)
    if PieceType.BYTE not in types:
        raise HerdError(
            f"{path} has a vocabulary that does not fall back to bytes, so that not every text "
            "could be written."
        )
    trainer = model.trainer_spec
    return Tokenizer(
        pieces=tuple(
            piece.piece.replace(SPACE, " ") if kind is PieceType.USER_DEFINED else piece.piece
            for piece, kind in zip(model.pieces, types, strict=True)
        ),
        scores=tuple(piece.score for piece in model.pieces),
        types=types,
        unknown_id=_present(trainer.unk_id),
        bos_id=_present(trainer.bos_id),
        eos_ids=() if trainer.eos_id < 0 else (trainer.eos_id,),
        add_space="always" if model.normalizer_spec.add_dummy_prefix else "never",
    )


def _present(number: int) -> int | None:
    return None if number < 0 else number
