"""Reads `tokenizer.model`, the vocabulary file of sentencepiece.

Format: google/sentencepiece, `src/sentencepiece_model.proto`; read with the package's own classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from sentencepiece.sentencepiece_model_pb2 import (  # type: ignore[attr-defined]  # made on loading
    ModelProto,
)

from core.errors import HerdError
from models.formats.model_files import read_small
from models.formats.unsayable import unsayable
from models.tokenizer import SPACE, PieceType, Tokenizer, checked

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
    content = read_small(path)
    try:
        model.ParseFromString(content)
        spelt = [piece.piece for piece in model.pieces]
    except (DecodeError, UnicodeDecodeError):
        spelt = []
    # protobuf gives text that is no UTF-8 as bytes
    if not spelt or not all(isinstance(piece, str) for piece in spelt):
        raise HerdError(
            f"{path} is not a sentencepiece vocabulary, or is damaged. Fetch it again, or put "
            "the model's tokenizer.json in the same folder (Llama 3 and later do not use "
            "sentencepiece)."
        )
    kind = model.trainer_spec.model_type
    if kind != _MERGED_PAIRS:
        raise HerdError(
            f"{path} has a vocabulary of the kind {_MODEL_TYPES.get(kind, kind)}; it must be "
            "BPE (merged pairs, as in LLaMA), the only kind that the engines support."
        )
    types = tuple(PieceType(piece.type) for piece in model.pieces)
    _require_plain_text(model, path)
    trainer = model.trainer_spec
    tokenizer = Tokenizer(
        pieces=tuple(
            piece.replace(SPACE, " ") if kind is PieceType.USER_DEFINED else piece
            for piece, kind in zip(spelt, types, strict=True)
        ),
        scores=tuple(piece.score for piece in model.pieces),
        types=types,
        unknown_id=_present(trainer.unk_id),
        bos_id=_present(trainer.bos_id),
        eos_ids=() if trainer.eos_id < 0 else (trainer.eos_id,),
        add_space="always" if model.normalizer_spec.add_dummy_prefix else "never",
    )
    return checked(tokenizer, path)


def _require_plain_text(model: ModelProto, path: Path) -> None:
    """Refuse what is done with a text before it is split, beyond the marking of spaces.

    LLaMA's file normalises by the rule `identity`; sentencepiece's own default is `nmt_nfkc`.
    """
    rules = model.normalizer_spec
    if rules.precompiled_charsmap or rules.normalization_rule_tsv:
        raise unsayable(path, f"normalises a text by the rule `{rules.name or 'its own'}`")
    back = model.denormalizer_spec
    if back.precompiled_charsmap or back.normalization_rule_tsv:
        raise unsayable(path, "changes the spelling of its tokens (`denormalizer_spec`)")
    if rules.remove_extra_whitespaces:
        raise unsayable(path, "removes repeated spaces from a text (`remove_extra_whitespaces`)")
    if not rules.escape_whitespaces:
        raise unsayable(path, "leaves spaces unmarked (`escape_whitespaces` is false)")
    if model.trainer_spec.treat_whitespace_as_suffix:
        raise unsayable(path, "puts spaces after words (`treat_whitespace_as_suffix`)")


def _present(number: int) -> int | None:
    return None if number < 0 else number
