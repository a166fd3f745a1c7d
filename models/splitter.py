"""Text to the ids that a model reads, for vocabularies of both kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.encoder import Encoder
from models.formats.huggingface.vocabulary_writer import library_of

if TYPE_CHECKING:
    from models.tokenizer import Tokenizer


class Splitter:
    """Splits texts as the model was trained: by sentencepiece, or by bytes and pairs.

    Args:
        tokenizer: its vocabulary.

    Raises:
        HerdError: it is of a kind that is not read.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._is_byte_level = tokenizer.kind == "byte-level"
        if self._is_byte_level:
            self._library = library_of(tokenizer)
        else:
            self._encoder = Encoder(tokenizer)

    @property
    def adds_space(self) -> bool:
        """Whether a text is read as if it began with a space."""
        return not self._is_byte_level and self._encoder.adds_space

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of a text, the beginning-of-text first where the model has one."""
        if self._is_byte_level:
            return tuple(self._library.encode(text).ids)
        return self._encoder.encode(text)

    def unscored_bytes(self, text: str) -> int:
        """Bytes of a text without a probability: of its first token, if nothing is before it."""
        if not self._is_byte_level:
            return 0
        first = self.encode(text)[0]
        if self._tokenizer.add_bos and first == self._tokenizer.bos_id:
            return 0
        return len(self._tokenizer.piece_bytes(first))
