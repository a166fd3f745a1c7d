"""Writes the vocabulary of a Hugging Face directory, as `transformers` and Petals load it.

Both kinds become a `tokenizer.json`, which needs no program of the model's own to be read, so a
directory loads with `AutoTokenizer` of any edition. Pairs to merge are written as texts with a
space, because editions before 0.20 of the `tokenizers` library know no other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Library

from core.errors import HerdError
from models.formats.huggingface.pre_tokenizers import (
    COMPOSED_FIRST,
    KNOWN_WAYS,
    WHOLE_WORDS_FIRST,
    pre_tokenizer_of,
)
from models.tokenizer import SPACE, PieceType, merges_of_scores

if TYPE_CHECKING:
    from pathlib import Path

    from models.tokenizer import Tokenizer


def write_vocabulary(tokenizer: Tokenizer, folder: Path) -> tuple[Path, ...]:
    """Write `tokenizer.json`, `tokenizer_config.json` and `generation_config.json` into `folder`.

    Returns:
        The files written.

    Raises:
        HerdError: a piece appears twice, or it is not known how the library would cut a text.
    """
    library = library_of(tokenizer)
    content = json.loads(library.to_str())
    model = content["model"]
    model["merges"] = [" ".join(merge) for merge in model["merges"]]
    if not model["ignore_merges"]:
        del model["ignore_merges"]
    files: dict[str, object] = {
        "tokenizer.json": content,
        "tokenizer_config.json": _settings(tokenizer),
        "generation_config.json": _ends(tokenizer),
    }
    for name, value in files.items():
        text = json.dumps(value, ensure_ascii=False, indent=2)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    return tuple(folder / name for name in files)


def library_of(tokenizer: Tokenizer) -> Library:
    """The `tokenizers` library with a vocabulary: what cuts a text for Hugging Face and Petals.

    Raises:
        HerdError: a piece appears twice, or it is not known how the library would cut a text.
    """
    vocab = {piece: number for number, piece in enumerate(tokenizer.pieces)}
    if len(vocab) != len(tokenizer.pieces):
        repeated = next(p for n, p in enumerate(tokenizer.pieces) if vocab[p] != n)
        raise HerdError(
            f"The vocabulary has the token {repeated!r} twice; tokenizer.json can hold it only "
            "once. Use another tokenizer for this model."
        )
    unmade = next((m for m in tokenizer.merges if not {*m, "".join(m)} <= vocab.keys()), None)
    if unmade is not None:
        raise HerdError(
            f"The vocabulary merges {unmade[0]!r} and {unmade[1]!r}, but has no token for one "
            "of these or for their combination; tokenizer.json cannot hold such a merge."
        )
    library = (
        _byte_level(tokenizer, vocab)
        if tokenizer.kind == "byte-level"
        else (_sentencepiece(tokenizer, vocab))
    )
    named = {tokenizer.bos_id, tokenizer.unknown_id, *tokenizer.eos_ids}
    for number, piece in enumerate(tokenizer.pieces):
        kind = tokenizer.types[number]
        if kind is PieceType.CONTROL or number in named:
            library.add_special_tokens([AddedToken(piece, normalized=False, special=True)])
        elif kind is PieceType.USER_DEFINED:
            library.add_tokens([AddedToken(piece, normalized=False)])
    return library


def _byte_level(tokenizer: Tokenizer, vocab: dict[str, int]) -> Library:
    way = tokenizer.pre_tokenizer
    if way not in KNOWN_WAYS:
        called = f"in the way `{way}`" if way else "in an unknown way"
        raise HerdError(
            f"The vocabulary splits texts into words {called}; the equivalent in the tokenizers "
            f"library is known only for {', '.join(KNOWN_WAYS)}."
        )
    model = models.BPE(
        vocab=vocab, merges=list(tokenizer.merges), ignore_merges=way in WHOLE_WORDS_FIRST
    )
    library = Library(model)
    if way in COMPOSED_FIRST:
        library.normalizer = normalizers.NFC()
    library.pre_tokenizer = pre_tokenizer_of(way)
    library.decoder = decoders.ByteLevel()
    library.post_processor = _begin(tokenizer) or processors.ByteLevel(trim_offsets=False)
    return library


def _sentencepiece(tokenizer: Tokenizer, vocab: dict[str, int]) -> Library:
    unknown = None if tokenizer.unknown_id is None else tokenizer.pieces[tokenizer.unknown_id]
    model = models.BPE(
        vocab=vocab,
        merges=list(merges_of_scores(tokenizer)),
        unk_token=unknown,
        fuse_unk=True,
        byte_fallback=True,
    )
    library = Library(model)
    if tokenizer.add_space == "first":
        library.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "first", split=False)
    else:
        spaces = normalizers.Replace(" ", SPACE)
        first = [normalizers.Prepend(SPACE)] if tokenizer.add_space == "always" else []
        library.normalizer = normalizers.Sequence([*first, spaces])
    strip = [] if tokenizer.add_space == "never" else [decoders.Strip(" ", 1, 0)]
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    library.decoder = decoders.Sequence(steps)
    template = _begin(tokenizer)
    if template is not None:
        library.post_processor = template
    return library


def _begin(tokenizer: Tokenizer) -> processors.TemplateProcessing | None:
    """What puts bos before a text, where that is wished."""
    if not tokenizer.add_bos or tokenizer.bos_id is None:
        return None
    bos = tokenizer.pieces[tokenizer.bos_id]
    return processors.TemplateProcessing(
        single=[bos, "$A"],
        pair=[bos, "$A", f"{bos}:1", "$B:1"],
        special_tokens=[(bos, tokenizer.bos_id)],
    )


def _settings(tokenizer: Tokenizer) -> dict[str, object]:
    """`tokenizer_config.json`; what LLaMA's own classes would add is in `tokenizer.json`."""
    named = {
        "bos_token": tokenizer.bos_id,
        "eos_token": next(iter(tokenizer.eos_ids), None),
        "unk_token": tokenizer.unknown_id,
    }
    texts = {name: tokenizer.pieces[number] for name, number in named.items() if number is not None}
    template = tokenizer.chat_template
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "add_bos_token": tokenizer.add_bos,
        **texts,
        **({} if template is None else {"chat_template": template}),
    }


def _ends(tokenizer: Tokenizer) -> dict[str, object]:
    """`generation_config.json`: all ids that end a text or turn."""
    bos = {} if tokenizer.bos_id is None else {"bos_token_id": tokenizer.bos_id}
    ends = list(tokenizer.eos_ids)
    return bos | ({"eos_token_id": ends if len(ends) > 1 else ends[0]} if ends else {})
