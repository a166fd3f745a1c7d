"""Reads llama2.c's weights: `*.bin` (version 0).

Format: karpathy/llama2.c, `export.py` (legacy_export) and `run.c`. A file is
seven int32 (dim, hidden_dim, layers, heads, kv_heads, vocab, context; a negative vocab means that a
classifier of its own follows), then float32 tensors, each kind for all layers together.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    FINAL_NORM,
    Checkpoint,
    Matrix,
    layer_tensor,
    tensor_shapes,
)
from models.errors import HerdError
from models.formats.llama2c_tokenizer import read_tokenizer
from models.shape import ModelShape, mistakes

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = struct.Struct("<7i")
_LAYER_ORDER = ("attention_norm", "q", "k", "v", "o", "ffn_norm", "gate", "down", "up")


def read_llama2c(weights: Path, tokenizer: Path, shape: ModelShape) -> Checkpoint:
    """Open `weights` and `tokenizer`; tensors stay on disk until they are asked for.

    Args:
        weights: llama2.c's model file.
        tokenizer: llama2.c's `tokenizer.bin`.
        shape: what the catalogue says of this model; the file must agree.

    Raises:
        HerdError: a file is no such file, or another shape than `shape`.
    """
    dim, hidden_dim, layers, heads, kv_heads, vocab, context = _read_header(weights)
    found = (dim, hidden_dim, layers, heads, kv_heads, abs(vocab), context, vocab > 0)
    stated = (
        shape.dim,
        shape.hidden_dim,
        shape.layers,
        shape.heads,
        shape.kv_heads,
        shape.vocab,
        shape.context,
        shape.tied_classifier,
    )
    if found != stated:
        raise HerdError(
            f"{weights} has the shape {found}, the catalogue says {stated} (dim, "
            "hidden_dim, layers, heads, kv_heads, vocab, context, tied_classifier). "
            "Correct the catalogue."
        )
    values = np.memmap(weights, dtype="<f4", mode="r", offset=_HEADER.size)
    places = _places(shape)
    end = max(start + size for start, size in places.values())
    if len(values) < end:
        raise HerdError(
            f"{weights} ends after {len(values)} values, its header asks for {end}. "
            "Delete it and fetch the model again."
        )

    def load(name: str) -> Matrix:
        start, size = places[name]
        return np.asarray(values[start : start + size], dtype=np.float32)

    return Checkpoint(shape=shape, tokenizer=read_tokenizer(tokenizer, shape.vocab), load=load)


def read_shape(weights: Path) -> ModelShape:
    """The shape that the header of a model file states.

    Raises:
        HerdError: the file is too short, or no model has such a shape.
    """
    dim, hidden_dim, layers, heads, kv_heads, vocab, context = _read_header(weights)
    try:
        return ModelShape(
            dim=dim,
            hidden_dim=hidden_dim,
            layers=layers,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=dim // max(heads, 1),
            vocab=abs(vocab),
            context=context,
            tied_classifier=vocab > 0,
        )
    except ValidationError as error:
        raise HerdError(f"{weights} is not a model of llama2.c: {mistakes(error)}.") from None


def _read_header(weights: Path) -> tuple[int, int, int, int, int, int, int]:
    """dim, hidden_dim, layers, heads, kv_heads, vocab (negative: own classifier), context."""
    with weights.open("rb") as file:
        header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise HerdError(
            f"{weights} is too short for a llama2.c model. Delete it and fetch the model again."
        )
    return _HEADER.unpack(header)


def _places(shape: ModelShape) -> dict[str, tuple[int, int]]:
    """Start and size, in values after the header, of every tensor."""
    sizes = {name: int(np.prod(size)) for name, size in tensor_shapes(shape).items()}
    order = [EMBEDDING]
    for part in _LAYER_ORDER:
        order += [layer_tensor(layer, part) for layer in range(shape.layers)]
    order.append(FINAL_NORM)
    places: dict[str, tuple[int, int]] = {}
    offset = 0
    for name in order:
        places[name] = (offset, sizes[name])
        offset += sizes[name]
    offset += shape.context * shape.head_dim  # two tables of rotary angles that nobody needs
    if shape.tied_classifier:
        places[CLASSIFIER] = places[EMBEDDING]
    else:
        places[CLASSIFIER] = (offset, sizes[CLASSIFIER])
    return places
