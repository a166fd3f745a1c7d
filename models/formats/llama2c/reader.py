"""Reads llama2.c's weights: `*.bin` (version 0).

Format: karpathy/llama2.c, `export.py` (legacy_export) and `run.c`. A file is
seven int32 (dim, hidden_dim, layers, heads, kv_heads, vocab, context; a negative vocab means that a
separate classifier follows), then float32 tensors, each kind for all layers together.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from core.errors import HerdError
from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    FINAL_NORM,
    Checkpoint,
    Matrix,
    layer_tensor,
    tensor_shapes,
)
from models.formats.llama2c.vocabulary import read_tokenizer
from models.shape import ModelShape, mistakes

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = struct.Struct("<7i")
_NEWER_MAGIC = 0x616B3432
"""`ak42`, with which versions 1 and 2 begin; the version follows."""
_LAYER_ORDER = ("attention_norm", "q", "k", "v", "o", "ffn_norm", "gate", "down", "up")


def read_llama2c(weights: Path, tokenizer: Path, shape: ModelShape) -> Checkpoint:
    """Open `weights` and `tokenizer`; tensors stay on disk until they are asked for.

    Args:
        weights: llama2.c's model file.
        tokenizer: llama2.c's `tokenizer.bin`.
        shape: the shape in the catalogue; the file must agree.

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
            f"{weights} has the shape {found}, but the catalogue says {stated} (dim, "
            "hidden_dim, layers, heads, kv_heads, vocab, context, tied_classifier). Correct "
            "the catalogue."
        )
    expected, there = _expected_size_bytes(shape), weights.stat().st_size
    if there != expected:
        raise HerdError(
            f"{weights} has {there} bytes, but its header requires {expected}: it is truncated, "
            "damaged or not a llama2.c model (version 0). Fetch the model again."
        )
    values = np.memmap(weights, dtype="<f4", mode="r", offset=_HEADER.size)
    places = _places(shape)

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
    if dim == _NEWER_MAGIC:
        raise HerdError(
            f"{weights} is llama2.c version {hidden_dim}; only version 0 is supported. Export "
            "the original checkpoint again with `--version 0`."
        )
    if heads > 0 and dim % heads:
        raise HerdError(
            f"{weights} is not a model of llama2.c: dim ({dim}) is not a multiple of heads "
            f"({heads})."
        )
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


def _expected_size_bytes(shape: ModelShape) -> int:
    """Of a whole file: all parameters, and two unused tables of rotary angles."""
    return _HEADER.size + 4 * (shape.parameters + shape.context * shape.head_dim)


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
