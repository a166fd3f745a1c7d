"""The vocabulary in a GGUF file: the keys `tokenizer.*`.

Format: ggml-org/ggml, `docs/gguf.md`. llama.cpp calls a sentencepiece-like vocabulary `llama` and a
byte-level one `gpt2`; `tokenizer.ggml.pre` names how the latter cuts a text before merging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import HerdError
from models.tokenizer import LLAMA_3, SPACE, Kind, PieceType, Tokenizer, checked, scores_of_merges

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gguf import GGUFWriter

_KINDS: dict[str, Kind] = {"llama": "sentencepiece", "gpt2": "byte-level"}
_ENDS = ("eos", "eot", "eom")
"""What GGUF calls ends: of a text, of a turn, of a message."""
_DEFAULT_IDS = {"bos": 1, "eos": 2, "unknown": 0}
"""What llama.cpp takes for a sentencepiece-like vocabulary that does not say."""


def add_vocabulary(writer: GGUFWriter, tokenizer: Tokenizer) -> None:
    """Write the keys of `tokenizer`.

    GGUF has room for three ends; llama.cpp finds further ones by their usual names.

    Raises:
        HerdError: it is byte-level and it is not known how text is cut before merging.
    """
    if tokenizer.pre_tokenizer is None:
        raise HerdError(
            "The vocabulary does not define how text is split into words before merging, or "
            "splits it in a way that llama.cpp has no name for. Convert from the model's own "
            "GGUF file or Hugging Face directory instead."
        )
    names = {kind: name for name, kind in _KINDS.items()}
    writer.add_tokenizer_model(names[tokenizer.kind])
    writer.add_tokenizer_pre(tokenizer.pre_tokenizer)
    writer.add_token_list(tokenizer.pieces)
    writer.add_token_types([int(kind) for kind in tokenizer.types])
    if tokenizer.kind == "byte-level":
        writer.add_token_merges([" ".join(merge) for merge in tokenizer.merges])
    else:
        writer.add_token_scores(tokenizer.scores)
    if tokenizer.bos_id is not None:
        writer.add_bos_token_id(tokenizer.bos_id)
    adders = (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id)
    for add, end in zip(adders, tokenizer.eos_ids, strict=False):
        add(end)
    if tokenizer.unknown_id is not None:
        writer.add_unk_token_id(tokenizer.unknown_id)
    writer.add_add_bos_token(tokenizer.add_bos)
    writer.add_add_eos_token(False)  # noqa: FBT003  # the package's own signature
    writer.add_add_space_prefix(tokenizer.add_space != "never")
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)


def lost_in_gguf(tokenizer: Tokenizer) -> str | None:
    """What GGUF has no key for and llama.cpp therefore does otherwise; None if nothing is lost."""
    if tokenizer.add_space == "first":
        return (
            "this vocabulary puts a space before a text but none after special tokens; "
            "llama.cpp puts one there too, so conversations may be split differently"
        )
    return None


def read_vocabulary(value: Callable[[str], object], path: Path) -> Tokenizer:
    """The vocabulary of a GGUF file.

    Args:
        value: gives the value of a key, None for an absent one.
        path: the file, for messages.

    Raises:
        HerdError: it is of another kind, or its parts do not fit together.
    """
    model = value("tokenizer.ggml.model")
    kind = _KINDS.get(str(model))
    if model in {None, "none", "no_vocab"}:
        raise HerdError(
            f"{path} has no vocabulary (`tokenizer.ggml.model` is {model}), so no text can be "
            "split for it. Fetch a file of the model that has one."
        )
    if kind is None:
        raise HerdError(
            f"{path} has a vocabulary of the kind `{model}`; it must be `llama` (sentencepiece, "
            "as LLaMA 2 has) or `gpt2` (byte-level, as Llama 3 and Qwen3 have)."
        )
    byte_level = kind == "byte-level"
    spelt = _texts(value, path, "tokens")
    types = _types(value, path, len(spelt))
    pieces = tuple(
        # llama.cpp's converter writes spaces; older ones left sentencepiece's mark
        piece.replace(SPACE, " ") if not byte_level and kind_of is PieceType.USER_DEFINED else piece
        for piece, kind_of in zip(spelt, types, strict=True)
    )
    merges = _merges(value, path, set(pieces)) if byte_level else ()
    name = value("tokenizer.ggml.pre")
    if not isinstance(name, str | None):
        raise HerdError(f"{path} has `tokenizer.ggml.pre` {name!r}, which is not text.")
    ends = [*(_id(value, path, end, len(pieces)) for end in _ENDS), *_further_ends(value, path)]
    bos = _id(value, path, "bos", len(pieces))
    template = value("tokenizer.chat_template")
    if not isinstance(template, str | None):
        raise HerdError(f"{path} has a `tokenizer.chat_template` that is not text.")
    # llama.cpp begins a text of Llama 3 with bos unless the file denies it; few files say it.
    add_bos = _truth(value, path, "add_bos_token")
    add_space = _truth(value, path, "add_space_prefix")
    tokenizer = Tokenizer(
        pieces=pieces,
        scores=scores_of_merges(pieces, merges) if byte_level else _scores(value, path, pieces),
        types=types,
        unknown_id=_id(value, path, "unknown", len(pieces)),
        bos_id=bos,
        eos_ids=tuple(dict.fromkeys(end for end in ends if end is not None)),
        kind=kind,
        merges=merges,
        pre_tokenizer=name if name is not None else "default",
        add_bos=add_bos if add_bos is not None else not byte_level or name in LLAMA_3,
        add_space="never" if byte_level or add_space is False else "always",
        chat_template=template,
    )
    return checked(tokenizer, path)


def _texts(value: Callable[[str], object], path: Path, name: str) -> list[str]:
    """A list of texts that the file must have."""
    texts = value(f"tokenizer.ggml.{name}")
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise HerdError(
            f"{path} has no {name} for its vocabulary: `tokenizer.ggml.{name}` is not a list of "
            "texts."
        )
    return texts


def _truth(value: Callable[[str], object], path: Path, name: str) -> bool | None:
    """A key that says yes or no; None where it is absent."""
    stated = value(f"tokenizer.ggml.{name}")
    if not isinstance(stated, bool | None):
        raise HerdError(f"{path} has `tokenizer.ggml.{name}` {stated!r}; it must be true or false.")
    return stated


def _further_ends(value: Callable[[str], object], path: Path) -> list[int]:
    """Return the ends that ollama lists in its own key."""
    stated = value("tokenizer.ggml.eos_token_ids")
    listed = [] if stated is None else stated
    if not isinstance(listed, list) or any(type(end) is not int for end in listed):
        raise HerdError(
            f"{path} has a `tokenizer.ggml.eos_token_ids` that is not a list of numbers."
        )
    return listed


def _id(value: Callable[[str], object], path: Path, name: str, vocab: int) -> int | None:
    number = value(f"tokenizer.ggml.{name}_token_id")
    if number is None and value("tokenizer.ggml.model") == "llama":
        number = _DEFAULT_IDS.get(name)
    if number is None:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < vocab:
        raise HerdError(f"{path} names {number} for `{name}`, which is not one of its tokens.")
    return number


def _types(value: Callable[[str], object], path: Path, vocab: int) -> tuple[PieceType, ...]:
    types = value("tokenizer.ggml.token_type")
    if not isinstance(types, list) or len(types) != vocab:
        raise HerdError(f"{path} does not give the type of each token of its vocabulary.")
    try:
        return tuple(PieceType(kind) for kind in types)
    except ValueError as error:
        raise HerdError(f"{path} has a token of an unknown type ({error}).") from None


def _scores(
    value: Callable[[str], object], path: Path, pieces: tuple[str, ...]
) -> tuple[float, ...]:
    scores = value("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(pieces):
        raise HerdError(f"{path} has no scores for its vocabulary.")
    wrong = next((score for score in scores if not isinstance(score, int | float)), None)
    if wrong is not None:
        raise HerdError(f"{path} has the score {wrong!r} in its vocabulary, which is not a number.")
    return tuple(float(score) for score in scores)


def _merges(
    value: Callable[[str], object], path: Path, known: set[str]
) -> tuple[tuple[str, str], ...]:
    merges = _texts(value, path, "merges")
    pairs = [merge.split(" ") for merge in merges]
    wrong = next((merge for merge in merges if merge.count(" ") != 1), None)
    if wrong is not None:
        raise HerdError(
            f"{path} has the merge {wrong!r}; it must be two tokens separated by a space."
        )
    for left, right in pairs:
        if not {left, right, left + right} <= known:
            raise HerdError(
                f"{path} merges {left!r} and {right!r}, but its vocabulary does not contain them."
            )
    return tuple((left, right) for left, right in pairs)
