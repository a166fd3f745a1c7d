"""Writes and reads distributed-llama's `.m` models.

Format: b4rtaz/distributed-llama, `converter/writer.py` and `src/llm.cpp` (v0.16). Little endian:
int32 magic, int32 header size, (int32 key, int32 value) pairs, then tensors without names or
alignment. The engine takes ids below bos for ordinary pieces, so the vocabulary is reordered with
special pieces last (`vocabulary_order`), here and in the `.t` file alike.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from core.errors import HerdError
from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    FINAL_NORM,
    Checkpoint,
    layer_tensor,
    tensor_shapes,
)
from models.formats.dllama.header import (
    FLOAT_TYPES,
    OTHER_FLOAT_TYPES,
    HeaderKey,
    pairs_of,
    shape_of,
)
from models.formats.dllama.vocabulary_writer import vocabulary_order
from models.formats.quantise import packed_tensor, unpack
from models.shape import lacks_blocks, mistakes, packed_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.shape import ModelShape, Weights
    from models.tokenizer import Tokenizer

_MAGIC = 0x0A00ABCD
_START = struct.Struct("<2i")
"""The magic number and how many bytes the header has."""
_LONGEST_HEADER_BYTES = 8 + 8 * 1024
_LAYER_MATRICES = ("q", "k", "v", "o", "gate", "down", "up")
_HEAD_NORMS = ("q_norm", "k_norm")
_LAYER_NORMS = ("attention_norm", "ffn_norm")
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class DllamaHeader:
    """The contents of a `.m` header: shape and weight type."""

    shape: ModelShape
    weights: Weights
    header_bytes: int


def write_model(checkpoint: Checkpoint, path: Path, weights: Weights) -> None:
    """Write `checkpoint` as a `.m` file, one tensor in memory at a time.

    Args:
        checkpoint: the model in the intermediate representation.
        path: the file to write.
        weights: `f32` or `q4_0`; the engine runs no other.

    Raises:
        HerdError: the engine cannot run `weights`, or a number of the shape is too large for it.
    """
    _require_weights(weights)
    order = vocabulary_order(checkpoint.tokenizer)
    with path.open("wb") as file:
        file.write(_header(checkpoint.shape, weights))
        for name, kind in _tensors(checkpoint.shape, weights):
            packed = packed_tensor(checkpoint, name, kind)
            file.write((packed[order] if name in (EMBEDDING, CLASSIFIER) else packed).data)


def header_size_bytes(shape: ModelShape) -> int:
    """Size of the header that `write_model` writes: magic, size, and one pair per key."""
    return 8 + 8 * len(pairs_of(shape, "f32"))


def expected_size_bytes(
    shape: ModelShape, weights: Weights, header_bytes: int | None = None
) -> int:
    """Exact size of a `.m` file, with a header as `write_model` writes or of `header_bytes`."""
    layer = packed_bytes(shape.layer_matrix_values, weights) + 4 * 2 * shape.dim
    if shape.has_head_norms:
        layer += 4 * 2 * shape.head_dim
    ends = 4 * shape.dim + 4 * shape.vocab * shape.dim
    ends += packed_bytes(shape.vocab * shape.dim, weights)
    header = header_size_bytes(shape) if header_bytes is None else header_bytes
    return header + ends + shape.layers * layer


def read_header(path: Path) -> DllamaHeader:
    """Read and check the header of a `.m` file; its size must be what the header asks for.

    Raises:
        HerdError: not such a file, an architecture other than LLaMA or Qwen3, a shape that cannot
            be, or a wrong size.
    """
    with path.open("rb") as file:
        start = file.read(_START.size)
        magic, header_bytes = _START.unpack(start) if len(start) == _START.size else (0, 0)
        if magic != _MAGIC:
            raise HerdError(f"{path} is not a distributed-llama model (.m) of version 0.16.")
        if not len(start) <= header_bytes <= _LONGEST_HEADER_BYTES or header_bytes % 8:
            raise HerdError(f"{path} is damaged: its header cannot be {header_bytes} bytes long.")
        content = file.read(header_bytes - _START.size)
    count = len(content) // 8
    numbers = struct.unpack(f"<{2 * count}i", content[: 8 * count])
    values = dict(zip(numbers[::2], numbers[1::2], strict=True))
    unknown = sorted(values.keys() - set(HeaderKey))
    if unknown:
        raise HerdError(
            f"{path} has the header key {unknown[0]}, which distributed-llama 0.16 does not "
            "know: the file is damaged or from another version."
        )
    try:
        shape = shape_of(values, path)
    except KeyError as error:
        raise HerdError(f"{path} does not give its {error.args[0].name.lower()}.") from None
    except ValidationError as error:
        raise HerdError(f"{path} has an impossible shape: {mistakes(error)}.") from None
    names = {number: name for name, number in FLOAT_TYPES.items()}
    weights = names.get(values.get(HeaderKey.WEIGHTS, -1))
    if weights is None:
        number = values.get(HeaderKey.WEIGHTS)
        called = OTHER_FLOAT_TYPES.get(number or 0, f"number {number}")
        raise HerdError(
            f"{path} has weights of type {called}, which distributed-llama does not support; it "
            "supports F32 and Q40."
        )
    lacking = lacks_blocks(shape, weights)
    if lacking:
        raise HerdError(f"{path} has an impossible shape: {lacking}.")
    expected = expected_size_bytes(shape, weights, header_bytes)
    if path.stat().st_size != expected:
        raise HerdError(
            f"{path} has {path.stat().st_size} bytes, but its header requires {expected}: it is "
            "truncated or damaged. Delete it, and fetch or build it again."
        )
    return DllamaHeader(shape=shape, weights=weights, header_bytes=header_bytes)


def read_model(
    path: Path, tokenizer: Tokenizer, order: NDArray[np.int64] | None = None
) -> Checkpoint:
    """Read a `.m` file back into the intermediate representation.

    Args:
        path: the file.
        tokenizer: its vocabulary, as the intermediate representation has it; rows beyond it get
        unused pieces.
        order: id in `tokenizer` of each id of the file; None where `write_model` wrote the file
            with this tokenizer.

    Raises:
        HerdError: as `read_header`, or the vocabulary is of another model.
    """
    header = read_header(path)
    rows = header.shape.vocab
    if order is None:
        tokenizer = tokenizer.with_rows(rows, path)
        order = vocabulary_order(tokenizer)
    else:
        order = np.concatenate([order, np.arange(len(tokenizer.pieces), rows)])
        tokenizer = tokenizer.with_rows(rows, path)
    places = _places(header)
    back = np.argsort(order)
    content = np.memmap(path, dtype=np.uint8, mode="r")

    def raw(name: str) -> NDArray[np.uint8]:
        start, rows, end = places[name]
        packed = content[start:end].reshape(rows, -1)
        return packed[back] if name in (EMBEDDING, CLASSIFIER) else packed

    kinds = dict(_tensors(header.shape, header.weights))
    return Checkpoint(
        shape=header.shape,
        tokenizer=tokenizer,
        load=lambda name: unpack(raw(name), kinds[name]),
        stored=lambda name, weights: raw(name) if kinds[name] == weights else None,
    )


def _header(shape: ModelShape, weights: Weights) -> bytes:
    pairs = pairs_of(shape, weights)
    key = max(pairs, key=lambda key: pairs[key])
    if pairs[key] > _LARGEST:
        raise HerdError(
            f"The model's {key.name.lower()} is {pairs[key]}, but distributed-llama's limit is "
            f"{_LARGEST}."
        )
    numbers = [_MAGIC, header_size_bytes(shape), *chain.from_iterable(pairs.items())]
    return struct.pack(f"<{len(numbers)}i", *numbers)


def _tensors(shape: ModelShape, weights: Weights) -> list[tuple[str, Weights]]:
    """Name and type of every tensor, in the order of the file."""
    norms = (*(_HEAD_NORMS if shape.has_head_norms else ()), *_LAYER_NORMS)
    tensors: list[tuple[str, Weights]] = [(EMBEDDING, "f32")]
    for layer in range(shape.layers):
        tensors += [(layer_tensor(layer, part), weights) for part in _LAYER_MATRICES]
        tensors += [(layer_tensor(layer, part), "f32") for part in norms]
    return [*tensors, (FINAL_NORM, "f32"), (CLASSIFIER, weights)]


def _places(header: DllamaHeader) -> dict[str, tuple[int, int, int]]:
    """First byte, rows, and byte after the last, of every tensor of a file."""
    sizes = tensor_shapes(header.shape)
    places: dict[str, tuple[int, int, int]] = {}
    offset = header.header_bytes
    for name, kind in _tensors(header.shape, header.weights):
        rows, columns = (1, *sizes[name])[-2:]
        end = offset + packed_bytes(rows * columns, kind)
        places[name] = (offset, rows, end)
        offset = end
    return places


def _require_weights(weights: Weights) -> None:
    if weights not in FLOAT_TYPES:
        raise HerdError(
            f"distributed-llama does not support {weights} weights; it supports "
            f"{' and '.join(FLOAT_TYPES)}. Change the axis `weights`."
        )
