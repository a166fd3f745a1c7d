"""Models of random weights: any shape, no download, the same bytes for the same seed."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from core.errors import HerdError
from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    Checkpoint,
    Matrix,
    tensor_shapes,
)
from models.shape import ModelShape
from models.tokenizer import SPACE, PieceType, Tokenizer, byte_piece

if TYPE_CHECKING:
    from collections.abc import Iterator

SYNTHETIC_PREFIX = "synthetic:"
_EXAMPLE = "synthetic:dim=512,hidden=1536,layers=8,heads=8,kv_heads=8,vocab=4096,context=512,seed=1"
_REQUIRED = ("dim", "hidden", "layers", "heads", "vocab", "context")
_OPTIONAL = ("kv_heads", "head_dim", "seed")
_PRINTABLE = tuple(SPACE if c == " " else c for c in map(chr, range(0x20, 0x7F)))
_FIRST_ORDINARY = 3 + 256
_FIRST_FILLER = _FIRST_ORDINARY + len(_PRINTABLE)
_LOGIT_SPREAD = 3.0
"""Standard deviation of the logits: like a trained model's, so that greedy choices are clear."""


def parse_synthetic_name(name: str) -> tuple[str, ModelShape, int]:
    """Read `synthetic:dim=…,hidden=…,…` into canonical name, shape and seed.

    Left out, `kv_heads` equals `heads`, `head_dim` is dim / heads and `seed` is 1.

    Raises:
        HerdError: a key is unknown, repeated or missing, or the numbers make no model.
    """
    values = _key_values(name)
    missing = [key for key in _REQUIRED if key not in values]
    if missing:
        raise HerdError(
            f"The synthetic model `{name}` lacks {', '.join(missing)}. Write it like {_EXAMPLE}."
        )
    heads = values["heads"]
    if "head_dim" not in values and values["dim"] % max(heads, 1):
        raise HerdError(
            f"The synthetic model `{name}` is not possible: dim ({values['dim']}) is not a "
            f"multiple of heads ({heads}). Change one of them, or give head_dim."
        )
    head_dim = values.get("head_dim", values["dim"] // max(heads, 1))
    kv_heads = values.get("kv_heads", heads)
    seed = values.get("seed", 1)
    try:
        check_vocabulary(values["vocab"])
        shape = ModelShape(
            dim=values["dim"],
            hidden_dim=values["hidden"],
            heads=heads,
            layers=values["layers"],
            kv_heads=kv_heads,
            head_dim=head_dim,
            vocab=values["vocab"],
            context=values["context"],
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{first['loc'][0]}: " if first["loc"] else ""
        reason = first["msg"].removeprefix("Value error, ")
        raise HerdError(
            f"The synthetic model `{name}` is not possible: {where}{reason}."
        ) from error
    except ValueError as error:
        raise HerdError(f"The synthetic model `{name}` is not possible: {error}.") from error
    odd_head = f"head_dim={head_dim}," if head_dim * heads != shape.dim else ""
    canonical = (
        f"{SYNTHETIC_PREFIX}dim={shape.dim},hidden={shape.hidden_dim},"
        f"layers={shape.layers},heads={heads},kv_heads={kv_heads},{odd_head}"
        f"vocab={shape.vocab},context={shape.context},seed={seed}"
    )
    return canonical, shape, seed


def check_vocabulary(vocab: int) -> None:
    """Refuse a vocabulary that cannot hold bytes and ASCII, or is larger than can be filled.

    Raises:
        ValueError: with the bound that was crossed.
    """
    if vocab < _FIRST_FILLER:
        raise ValueError(
            f"vocab ({vocab}) must be at least {_FIRST_FILLER}, to hold every byte "
            "and every printable character"
        )
    largest = _FIRST_FILLER + sum(1 for _ in itertools.islice(_fillers(), vocab))
    if vocab > largest:
        raise ValueError(f"vocab ({vocab}) must be at most {largest}")


def synthetic_checkpoint(shape: ModelShape, seed: int) -> Checkpoint:
    """Random weights of the given shape.

    Each tensor comes from its own stream of the seed, so tensors can be made in any order.
    Deviations are those of a common initialisation (1/sqrt(in)), with which activations keep
    their size from layer to layer and no value overflows.
    """
    sizes = tensor_shapes(shape)
    streams = {name: index for index, name in enumerate(sizes)}

    def load(name: str) -> Matrix:
        size = sizes[name]
        if name.endswith("norm"):
            return np.ones(size, dtype=np.float32)
        generator = np.random.default_rng([seed, streams[name]])
        matrix = generator.standard_normal(size, dtype=np.float32)
        matrix *= np.float32(_deviation(name, size, shape.layers))
        if name == CLASSIFIER:
            matrix[:_FIRST_ORDINARY] = 0  # greedy text never ends, and is whole characters
        return matrix

    return Checkpoint(shape=shape, tokenizer=synthetic_tokenizer(shape.vocab), load=load)


def synthetic_tokenizer(vocab: int) -> Tokenizer:
    """A vocabulary with every byte, every printable character, and syllables to fill it."""
    fixed = ["<unk>", "<s>", "</s>", *map(byte_piece, range(256)), *_PRINTABLE]
    pieces = [*fixed, *itertools.islice(_fillers(), vocab - len(fixed))]
    types = [
        PieceType.UNKNOWN,
        PieceType.CONTROL,
        PieceType.CONTROL,
        *[PieceType.BYTE] * 256,
        *[PieceType.NORMAL] * (vocab - _FIRST_ORDINARY),
    ]
    scores = [0.0] * _FIRST_ORDINARY + [-float(index) for index in range(vocab - _FIRST_ORDINARY)]
    return Tokenizer(pieces=tuple(pieces), scores=tuple(scores), types=tuple(types))


def _deviation(name: str, size: tuple[int, ...], layers: int) -> float:
    inputs = size[-1]
    if name == EMBEDDING:
        return 1.0
    if name == CLASSIFIER:
        return _LOGIT_SPREAD / math.sqrt(inputs)
    if name.endswith((".o", ".down")):
        return 1.0 / math.sqrt(inputs * 2 * layers)  # 2 x layers of these add up in the residual
    return 1.0 / math.sqrt(inputs)


def _fillers() -> Iterator[str]:
    """Syllables and words, each made of two pieces before it, so that merging reaches it."""
    syllables = [c + v for c in "bcdfghjklmnprstvwyz" for v in "aeiou"]
    yield from syllables
    yield from (SPACE + syllable for syllable in syllables)
    for count in (2, 3):
        for parts in itertools.product(syllables, repeat=count):
            yield "".join(parts)


def _key_values(name: str) -> dict[str, int]:
    values: dict[str, int] = {}
    for item in name.removeprefix(SYNTHETIC_PREFIX).split(","):
        key, _, text = (part.strip() for part in item.partition("="))
        if key not in _REQUIRED + _OPTIONAL:
            raise HerdError(
                f"The synthetic model `{name}` has the unknown key `{key}`. The known keys are "
                f"{', '.join(_REQUIRED + _OPTIONAL)}; write it like {_EXAMPLE}."
            )
        if key in values:
            raise HerdError(f"The synthetic model `{name}` gives `{key}` twice.")
        if not re.fullmatch(r"\d{1,9}", text):
            raise HerdError(
                f"The synthetic model `{name}` has `{key}={text}`; write a whole number, as in "
                f"{_EXAMPLE}."
            )
        values[key] = int(text)
    return values
