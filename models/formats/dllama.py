"""Writes and reads distributed-llama's `.m` models.

Format: b4rtaz/distributed-llama, `converter/writer.py` and `src/llm.cpp` (v0.16). Little endian:
int32 magic, int32 header size, (int32 key, int32 value) pairs, then tensors without names or
alignment. The engine takes ids below bos for ordinary pieces, so the vocabulary is reordered with
special pieces last (`vocabulary_order`), here and in the `.t` file alike.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    FINAL_NORM,
    Checkpoint,
    Matrix,
    layer_tensor,
)
from models.errors import HerdError
from models.formats.dllama_tokenizer import vocabulary_order
from models.formats.quantise import packed_tensor, unpack
from models.shape import ModelShape, packed_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from models.shape import Weights
    from models.tokenizer import Tokenizer

_MAGIC = 0x0A00ABCD
_ARCH_LLAMA = 0xABCD00
_ACTIVATION_SILU = 1
_EPSILON_1E5 = 5
FLOAT_TYPES: dict[Weights, int] = {"f32": 0, "q4_0": 2}
"""The weights that a `.m` file may hold and the engine runs, with their numbers there."""
_LAYER_MATRICES = ("q", "k", "v", "o", "gate", "down", "up")


class _Key(IntEnum):
    VERSION = 0
    ARCHITECTURE = 1
    DIM = 2
    HIDDEN_DIM = 3
    LAYERS = 4
    HEADS = 5
    KV_HEADS = 6
    EXPERTS = 7
    ACTIVE_EXPERTS = 8
    VOCAB = 9
    CONTEXT = 10
    ACTIVATION = 11
    ROPE_THETA = 12
    WEIGHTS = 13
    HEAD_DIM = 19
    NORM_EPSILON = 20


HEADER_BYTES = 8 + 8 * len(_Key)
"""Size of the header that `write_model` writes: magic, size, and one pair per key."""


@dataclass(frozen=True)
class DllamaHeader:
    """What a `.m` file says of itself: its shape and weights type."""

    shape: ModelShape
    weights: Weights
    header_bytes: int


def write_model(checkpoint: Checkpoint, path: Path, weights: Weights) -> None:
    """Write `checkpoint` as a `.m` file, one tensor in memory at a time.

    Args:
        checkpoint: the model in the neutral form.
        path: the file to write.
        weights: `f32` or `q4_0`; the engine runs no other.

    Raises:
        HerdError: the engine cannot run `weights`.
    """
    _require_weights(weights)
    order = vocabulary_order(checkpoint.tokenizer)
    with path.open("wb") as file:
        file.write(_header(checkpoint.shape, weights))
        file.write(packed_tensor(checkpoint, EMBEDDING, "f32")[order].data)
        for layer in range(checkpoint.shape.layers):
            for part in _LAYER_MATRICES:
                file.write(packed_tensor(checkpoint, layer_tensor(layer, part), weights).data)
            for part in ("attention_norm", "ffn_norm"):
                file.write(packed_tensor(checkpoint, layer_tensor(layer, part), "f32").data)
        file.write(packed_tensor(checkpoint, FINAL_NORM, "f32").data)
        file.write(packed_tensor(checkpoint, CLASSIFIER, weights)[order].data)


def expected_size_bytes(
    shape: ModelShape, weights: Weights, header_bytes: int = HEADER_BYTES
) -> int:
    """Exact size of a `.m` file."""
    layer = packed_bytes(shape.layer_matrix_values, weights) + 2 * 4 * shape.dim
    classifier = packed_bytes(shape.vocab * shape.dim, weights)
    embedding = 4 * shape.vocab * shape.dim
    return header_bytes + embedding + shape.layers * layer + 4 * shape.dim + classifier


def read_header(path: Path) -> DllamaHeader:
    """Read and check the header of a `.m` file; its size must be what the header asks for.

    Raises:
        HerdError: not such a file, an architecture other than LLaMA, or a wrong size.
    """
    with path.open("rb") as file:
        start = file.read(8)
        magic, header_bytes = struct.unpack("<2i", start) if len(start) == 8 else (0, 0)  # noqa: PLR2004
        if magic != _MAGIC:
            raise HerdError(f"{path} is not a distributed-llama model (.m) of version 0.16.")
        pairs = np.frombuffer(file.read(header_bytes - 8), dtype="<i4").reshape(-1, 2)
    values = {int(key): int(value) for key, value in pairs}
    if values.get(_Key.ARCHITECTURE) != _ARCH_LLAMA:
        raise HerdError(f"{path} is not of the architecture LLaMA.")
    heads, dim = values[_Key.HEADS], values[_Key.DIM]
    shape = ModelShape(
        dim=dim,
        hidden_dim=values[_Key.HIDDEN_DIM],
        layers=values[_Key.LAYERS],
        heads=heads,
        kv_heads=values[_Key.KV_HEADS],
        head_dim=values.get(_Key.HEAD_DIM, dim // heads),
        vocab=values[_Key.VOCAB],
        context=values[_Key.CONTEXT],
        rope_theta=values.get(_Key.ROPE_THETA, 10_000),
    )
    names = {number: name for name, number in FLOAT_TYPES.items()}
    weights = names.get(values[_Key.WEIGHTS])
    if weights is None:
        raise HerdError(f"{path} has weights of a type that distributed-llama cannot run.")
    expected = expected_size_bytes(shape, weights, header_bytes)
    if path.stat().st_size != expected:
        raise HerdError(
            f"{path} has {path.stat().st_size} bytes, its header asks for {expected}: "
            "it is truncated or damaged. Delete it and build it again."
        )
    return DllamaHeader(shape=shape, weights=weights, header_bytes=header_bytes)


def read_model(path: Path, tokenizer: Tokenizer) -> Checkpoint:
    """Read a `.m` file back into the neutral form, in LLaMA's vocabulary order.

    Raises:
        HerdError: as `read_header`.
    """
    header = read_header(path)
    places = _places(header)
    back = np.argsort(vocabulary_order(tokenizer))
    content = np.memmap(path, dtype=np.uint8, mode="r")

    def load(name: str) -> Matrix:
        start, (rows, columns), kind = places[name]
        n_bytes = packed_bytes(rows * columns, kind)
        matrix = unpack(np.array(content[start : start + n_bytes]).reshape(rows, -1), kind)
        return matrix[back] if name in (EMBEDDING, CLASSIFIER) else matrix

    return Checkpoint(shape=header.shape, tokenizer=tokenizer, load=load)


def _header(shape: ModelShape, weights: Weights) -> bytes:
    pairs = {
        _Key.VERSION: 0,
        _Key.ARCHITECTURE: _ARCH_LLAMA,
        _Key.ACTIVATION: _ACTIVATION_SILU,
        _Key.DIM: shape.dim,
        _Key.HIDDEN_DIM: shape.hidden_dim,
        _Key.LAYERS: shape.layers,
        _Key.HEADS: shape.heads,
        _Key.KV_HEADS: shape.kv_heads,
        _Key.WEIGHTS: FLOAT_TYPES[weights],
        _Key.CONTEXT: shape.context,
        _Key.VOCAB: shape.vocab,
        _Key.EXPERTS: 0,
        _Key.ACTIVE_EXPERTS: 0,
        _Key.ROPE_THETA: shape.rope_theta,
        _Key.HEAD_DIM: shape.head_dim,
        _Key.NORM_EPSILON: _EPSILON_1E5,
    }
    numbers = [_MAGIC, HEADER_BYTES, *chain.from_iterable(pairs.items())]
    return struct.pack(f"<{len(numbers)}i", *numbers)


def _places(header: DllamaHeader) -> dict[str, tuple[int, tuple[int, int], Weights]]:
    """Offset, shape and type of every tensor of a file."""
    shape, weights = header.shape, header.weights
    q_dim, kv_dim, dim, hidden = shape.q_dim, shape.kv_dim, shape.dim, shape.hidden_dim
    layer: list[tuple[str, tuple[int, int], Weights]] = [
        ("q", (q_dim, dim), weights),
        ("k", (kv_dim, dim), weights),
        ("v", (kv_dim, dim), weights),
        ("o", (dim, q_dim), weights),
        ("gate", (hidden, dim), weights),
        ("down", (dim, hidden), weights),
        ("up", (hidden, dim), weights),
        ("attention_norm", (1, dim), "f32"),
        ("ffn_norm", (1, dim), "f32"),
    ]
    tensors: list[tuple[str, tuple[int, int], Weights]] = [(EMBEDDING, (shape.vocab, dim), "f32")]
    for index in range(shape.layers):
        tensors += [(layer_tensor(index, part), size, kind) for part, size, kind in layer]
    tensors += [(FINAL_NORM, (1, dim), "f32"), (CLASSIFIER, (shape.vocab, dim), weights)]
    places: dict[str, tuple[int, tuple[int, int], Weights]] = {}
    offset = header.header_bytes
    for name, size, kind in tensors:
        places[name] = (offset, size, kind)
        offset += packed_bytes(size[0] * size[1], kind)
    return places


def _require_weights(weights: Weights) -> None:
    if weights not in FLOAT_TYPES:
        raise HerdError(
            f"distributed-llama cannot run {weights} weights; it runs "
            f"{' and '.join(FLOAT_TYPES)}. Change the axis `weights`."
        )
