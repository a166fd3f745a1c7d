"""Small vocabularies, trained on the fly by the libraries that the large ones come from."""

from __future__ import annotations

import io
import itertools
import json
from functools import cache
from typing import TYPE_CHECKING

import sentencepiece
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers

from models.tokenizer import NEVER, PieceType, Tokenizer, scores_of_merges

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.formats.dllama.vocabulary_reader import DllamaTokenizer

CHATML = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<empty_output>")
TEXT = (
    "Once upon a time there was a little girl named Lily. She loved to play outside in the park. "
    "One day she saw a big red ball in the sky, and it was the sun! Her mother said: “Do not look, "
    "it's too bright.” Then the two went home and ate 12 cakes, 345 nuts and 6789 apples. "
    "어느 날 작은 고양이가 공원에서 놀고 있었어요. The end…\n\n  The second day was longer. "
    "They walked, talked, laughed and walked again, thinking nothing of the thunder. 😀 🎉\n"
)


@cache
def trained_sentencepiece(kind: str = "bpe", vocab: int = 420) -> bytes:
    """A `tokenizer.model`; `bpe` is LLaMA 2's kind."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.split(". ") * 4),
        model_writer=model,
        vocab_size=vocab,
        model_type=kind,
        byte_fallback=True,
        character_coverage=0.98,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        user_defined_symbols=["<|user|>"],
        minloglevel=2,
    )
    return model.getvalue()


@cache
def trained_byte_level() -> Library:
    """A vocabulary of SmolLM2's kind: special pieces first, digits one by one."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator([TEXT], trainer)
    return library


def byte_level() -> Tokenizer:
    """The neutral form of `trained_byte_level`, as a GGUF file of SmolLM2 states it."""
    library = trained_byte_level()
    vocab = library.get_vocab()
    pieces = sorted(vocab, key=lambda piece: vocab[piece])
    merges = merges_of(library)
    control = len(SPECIAL)
    return Tokenizer(
        pieces=tuple(pieces),
        scores=scores_of_merges(pieces, merges),
        types=(PieceType.CONTROL,) * control + (PieceType.NORMAL,) * (len(pieces) - control),
        unknown_id=0,
        bos_id=1,
        eos_ids=(0, 2),
        kind="byte-level",
        merges=merges,
        pre_tokenizer="smollm",
        add_bos=False,
        add_space="never",
        chat_template=CHATML,
    )


def merges_of(library: Library) -> tuple[tuple[str, str], ...]:
    """The merges of a vocabulary of the library, first one first."""
    stated: Iterable[list[str]] = json.loads(library.to_str())["model"]["merges"]
    return tuple((left, right) for left, right in stated)


def split(stored: DllamaTokenizer, text: str) -> list[int]:
    """The ids of a text as distributed-llama finds them: whole pieces or bytes, then merges."""
    ordinary = {piece: index for index, piece in enumerate(stored.pieces[: stored.bos_id])}
    others = range(stored.bos_id, len(stored.pieces))
    left, ids = text.encode(), list[int]()
    while left:
        found = next((index for index in others if left.startswith(stored.pieces[index])), None)
        ids.append(ordinary[left[:1]] if found is None else found)
        left = left.removeprefix(stored.pieces[ids[-1]])
    while True:
        pairs = [stored.pieces[a] + stored.pieces[b] for a, b in itertools.pairwise(ids)]
        known = [
            (stored.scores[ordinary[pair]], -n) for n, pair in enumerate(pairs) if pair in ordinary
        ]
        score, place = max(known, default=(NEVER, 0))
        if score <= NEVER:
            return ids
        ids[-place : 2 - place] = [ordinary[pairs[-place]]]
