"""Text to the ids that a model reads, as sentencepiece does it: vocabularies like LLaMA 2's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

from core.errors import HerdError
from models.tokenizer import SPACE, PieceType

if TYPE_CHECKING:
    from models.tokenizer import Tokenizer


class Encoder:
    """Splits text with a vocabulary in the intermediate representation, beginning-of-text first.

    Raises:
        HerdError: the vocabulary is of another kind.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        if tokenizer.kind != "sentencepiece" or tokenizer.bos_id is None:
            raise HerdError(
                f"Cannot split a text with a {tokenizer.kind} vocabulary: the reference "
                "supports only sentencepiece-like ones, such as LLaMA 2's. Choose a model that "
                "has one."
            )
        self._tokenizer, self._first = tokenizer, tokenizer.bos_id
        model = _proto(tokenizer).SerializeToString()
        self._processor = SentencePieceProcessor(model_proto=model)

    @property
    def adds_space(self) -> bool:
        """Whether a text is read as if it began with a space."""
        return self._tokenizer.add_space != "never"

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of a text."""
        return (self._first, *self._processor.encode(text))

    def piece(self, token: int) -> str:
        """What a token adds to a text; control tokens by their names, half characters as U+FFFD."""
        return self._tokenizer.piece_bytes(token).decode(errors="replace")

    def is_text(self, token: int) -> bool:
        """Whether a token is part of a text, and not a sign between texts."""
        return not (self._processor.is_control(token) or self._processor.is_unknown(token))


def _proto(tokenizer: Tokenizer) -> ModelProto:
    """The vocabulary in sentencepiece's own form, with the settings of LLaMA's."""
    proto = ModelProto()
    for piece, score, kind in zip(tokenizer.pieces, tokenizer.scores, tokenizer.types, strict=True):
        spelt = piece.replace(" ", SPACE) if kind is PieceType.USER_DEFINED else piece
        proto.pieces.add(piece=spelt, score=score, type=int(kind))
    trainer = proto.trainer_spec
    trainer.model_type = trainer.BPE
    trainer.vocab_size = len(tokenizer.pieces)
    trainer.byte_fallback = True
    if tokenizer.unknown_id is not None:
        trainer.unk_id = tokenizer.unknown_id
    normalizer = proto.normalizer_spec
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = tokenizer.add_space != "never"
    normalizer.remove_extra_whitespaces = False
    return proto
