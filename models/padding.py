"""Zero heads that let more nodes share a model: `name+kv16` is `name` with zeros up to 16 KV heads.

An added head has zero rows in q, k and v and zero columns in o, so it adds zero to the residual
stream and the model computes exactly the same. Engines compute it like any other head: a padded
model is more work, and its name says so wherever a speed is shown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from core.errors import HerdError
from models.checkpoint import Checkpoint, Matrix, tensor_shapes
from models.shape import QUANT_BLOCK, packed_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.shape import ModelShape, Weights

_Value = TypeVar("_Value", np.float32, np.uint8)
_NAME = re.compile(r"(?P<base>.+)\+kv(?P<kv_heads>\d{1,4})")


def split_name(name: str) -> tuple[str, int | None]:
    """The name of the model without padding, and its KV heads with it; None without padding."""
    found = _NAME.fullmatch(name)
    return (found["base"], int(found["kv_heads"])) if found else (name, None)


def padded_name(name: str, kv_heads: int) -> str:
    """What the model `name` is called with `kv_heads` KV heads."""
    return f"{name}+kv{kv_heads}"


def padded_shape(shape: ModelShape, kv_heads: int) -> ModelShape:
    """`shape` with zero heads appended up to `kv_heads`, each with its share of query heads.

    Raises:
        HerdError: that are not more KV heads than there are, or the heads together do not
            consist of whole quantised blocks; the message has the nearest numbers that can be.
    """
    if not _can_be(shape, kv_heads):
        following = max(kv_heads, shape.kv_heads) + 1
        while not _can_be(shape, following):
            following += 1
        raise HerdError(
            f"{kv_heads} KV heads are not possible: the model has {shape.kv_heads}, zero-padded "
            f"heads can only be added, and all {_group(shape) * kv_heads} heads of "
            f"{shape.head_dim} values must form whole blocks of {QUANT_BLOCK}. The next "
            f"possible number is {following}."
        )
    return shape.model_copy(update={"kv_heads": kv_heads, "heads": kv_heads * _group(shape)})


def possible_shapes(shape: ModelShape, most: int) -> list[ModelShape]:
    """`shape` with each number of added KV heads that can be, up to `most` in all."""
    counts = range(shape.kv_heads + 1, most + 1)
    return [padded_shape(shape, kv_heads) for kv_heads in counts if _can_be(shape, kv_heads)]


def padded(checkpoint: Checkpoint, kv_heads: int) -> Checkpoint:
    """The same model with zero heads appended up to `kv_heads`.

    Bytes that the source has as some type of weights stay as they are: zero bytes are zeros in
    every type.

    Raises:
        HerdError: as `padded_shape`.
    """
    shape = padded_shape(checkpoint.shape, kv_heads)
    sizes = tensor_shapes(shape)

    def load(name: str) -> Matrix:
        return _with_zeros(checkpoint.tensor(name), sizes[name])

    def stored(name: str, weights: Weights) -> NDArray[np.uint8] | None:
        packed = checkpoint.stored(name, weights)
        rows, columns = (1, *sizes[name])[-2:]
        size = (rows, packed_bytes(columns, weights))
        return None if packed is None else _with_zeros(packed, size)

    return Checkpoint(shape=shape, tokenizer=checkpoint.tokenizer, load=load, stored=stored)


def _with_zeros(array: NDArray[_Value], size: tuple[int, ...]) -> NDArray[_Value]:
    """`array` with zeros at the end of its rows and columns, up to `size`."""
    if array.shape == size:
        return array
    more = np.subtract(size, array.shape)
    return np.pad(array, [(0, int(count)) for count in more])


def _group(shape: ModelShape) -> int:
    """Query heads that one KV head serves."""
    return shape.heads // shape.kv_heads


def _can_be(shape: ModelShape, kv_heads: int) -> bool:
    width = kv_heads * _group(shape) * shape.head_dim
    return kv_heads > shape.kv_heads and width % QUANT_BLOCK == 0
