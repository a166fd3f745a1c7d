"""Text to the tokens of a base, exactly as engines read its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from core.errors import HerdError
from models.formats.huggingface.json_file import read_object

_CHARACTERS_PER_TOKEN = 8
"""How much of a text is split at first to find the end of a window; more than nearly all need."""
_FEW = 8
"""Characters more than a quarter of the piece before, that are split for the next one."""
_WORD = re.compile(r"\S")
_ENDS_A_LINE = re.compile(r"\S\n\Z")
"""The word before such an end is cut off: so it was from the start, and data stays what it was."""


class BaseTokens:
    """The tokeniser of a base.

    Args:
        folder: a Hugging Face directory.

    Attributes:
        ends: ids that end a text or a turn.
        signs: texts of control tokens, such as `</s>`.
        template: how the model writes out a conversation, in Jinja; None if it does not say.
        named: texts that a template may ask for, such as `bos_token`.
        puts_end: whether the tokeniser itself puts an end behind a text.

    Raises:
        HerdError: a file is absent or damaged.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        try:
            self._library = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise HerdError(f"{path} cannot be read: {error}.") from None
        settings = read_object(folder / "tokenizer_config.json")
        ends = read_object(folder / "generation_config.json").get("eos_token_id")
        listed = ends if isinstance(ends, list) else [ends]
        self.ends = tuple(end for end in listed if isinstance(end, int))
        self.signs = tuple(
            token.content
            for token in self._library.get_added_tokens_decoder().values()
            if token.special
        )
        template = settings.get("chat_template")
        self.template = template if isinstance(template, str) else None
        self.named = {
            name: value
            for name in ("bos_token", "eos_token", "unk_token", "pad_token")
            if isinstance(value := settings.get(name), str)
        }
        self.puts_end = settings.get("add_eos_token") is True
        self._begin = tuple(self._library.encode("").ids)

    @property
    def begin(self) -> tuple[int, ...]:
        """The tokens before a text: one, or none."""
        return self._begin

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of a text with the sign that begins one, once."""
        return self._begun(self._split(text).ids)

    def encode_more(self, before: str, more: str) -> tuple[int, ...]:
        """The ids of a text that follows one which was read before.

        As engines see it: what was read stays as it is.
        """
        first, whole = self.encode(before), self.encode(before + more)
        if whole[: len(first)] == first:
            return whole[len(first) :]
        line = self._plain("\n")  # behind a line feed nothing adds a blank
        both = self._plain("\n" + more)
        return both[len(line) :] if both[: len(line)] == line else self._plain(more)

    def decode(self, ids: tuple[int, ...]) -> str:
        """The text of ids, control tokens written out."""
        return str(self._library.decode(list(ids), skip_special_tokens=False))

    def shown(self, token: int) -> str:
        """What a token is called in the vocabulary."""
        return str(self._library.id_to_token(token))

    def id_of(self, sign: str) -> int | None:
        """The id of a control token; None if the vocabulary has none of this text."""
        found = self._library.token_to_id(sign)
        return None if found is None else int(found)

    def windows(self, text: str, most: int) -> list[str]:
        """Cut a text between words into pieces of at most so many tokens each.

        The time is in proportion to the text: a little more of it is split than a piece holds.

        Args:
            text: a document.
            most: tokens of a piece, with the sign that begins it.
        """
        pieces, at, text = [], 0, text.strip()
        guess = most * _CHARACTERS_PER_TOKEN
        while at < len(text):
            length = self._window_length(text, at, most, guess)
            piece = text[at : at + length].rstrip()
            pieces.append(piece)
            guess = len(piece) + len(piece) // 4 + _FEW
            at = _next_word(text, at + length)
        return pieces

    def _window_length(self, text: str, at: int, most: int, guess: int) -> int:
        """Characters of the piece that begins there, if about so many fit."""
        while True:
            piece = text[at : at + guess]
            is_all = at + guess >= len(text)
            if not is_all:
                piece = piece[: _between_words(piece)]
            tokens = self._split(piece)
            if not is_all and len(self._begun(tokens.ids)) <= most:
                guess *= 2
                continue
            while len(self._begun(tokens.ids)) > most and len(piece) > 1:
                fits = tokens.offsets[max(1, most - len(self._begin) - 1)][0]
                piece = piece[: _between_words(piece[: max(1, min(fits, len(piece) - 1))])]
                tokens = self._split(piece)
            return len(piece)

    def _begun(self, ids: Sequence[int]) -> tuple[int, ...]:
        """The ids with the sign that begins a text, once."""
        has_it = self._begin and tuple(ids[:1]) == self._begin
        return tuple(ids) if has_it else (*self._begin, *ids)

    def _plain(self, text: str) -> tuple[int, ...]:
        return tuple(self._split(text).ids)

    def _split(self, text: str) -> Encoding:
        return self._library.encode(text, add_special_tokens=False)


def _between_words(piece: str) -> int:
    """Where the last word of a piece ends that is not cut; the piece's end if it is one word."""
    if piece[-1:].isspace() and not _ENDS_A_LINE.search(piece, len(piece) - 2):
        return len(piece.rstrip()) or len(piece)
    before = piece.rsplit(None, 1)[:-1]
    return len(before[0]) if before else len(piece)


def _next_word(text: str, at: int) -> int:
    """Where the next word begins; the end of the text if none does."""
    found = _WORD.search(text, at)
    return found.start() if found else len(text)
