"""Float32 values to the bytes of a weights type, the same bytes for every engine.

distributed-llama's Q40 block has the layout of GGUF's Q4_0 (18 bytes per 32 values: float16
scale, then byte j = value j | value j+16 << 4), so both engines get the same weights: quantised
once, here, by the rule of distributed-llama's own converter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize

from core.errors import HerdError
from models.shape import BLOCK_BYTES, QUANT_BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.checkpoint import Checkpoint, Matrix
    from models.shape import Weights

GGML_TYPES: dict[Weights, GGMLQuantizationType] = {
    "f32": GGMLQuantizationType.F32,
    "f16": GGMLQuantizationType.F16,
    "q8_0": GGMLQuantizationType.Q8_0,
    "q4_0": GGMLQuantizationType.Q4_0,
}
_VALUES_AT_A_TIME = 256 * 1024
"""Few enough for the quantiser's copies to stay in a processor's cache."""


def packed_tensor(checkpoint: Checkpoint, name: str, weights: Weights) -> NDArray[np.uint8]:
    """The bytes of a tensor as `weights`: as the source has them, else packed here."""
    stored = checkpoint.stored(name, weights)
    return pack(np.atleast_2d(checkpoint.tensor(name)), weights) if stored is None else stored


def pack(matrix: Matrix, weights: Weights) -> NDArray[np.uint8]:
    """The bytes of `matrix` as `weights`: uint8 of shape (rows, bytes of a row).

    Raises:
        HerdError: a value is too large for `f16`.
    """
    contiguous = np.ascontiguousarray(matrix, dtype="<f4")
    if weights == "f32":
        return contiguous.view(np.uint8)
    rows, columns = contiguous.shape
    packed = np.empty((rows, columns * BLOCK_BYTES[weights] // QUANT_BLOCK), dtype=np.uint8)
    step = max(1, _VALUES_AT_A_TIME // columns)
    for row in range(0, rows, step):
        part = contiguous[row : row + step]
        if weights == "f16":
            packed[row : row + step] = _halves(part).view(np.uint8)
        elif weights == "q4_0":
            packed[row : row + step] = _q4_0(part).reshape(len(part), -1)
        else:
            packed[row : row + step] = quantize(part, GGML_TYPES[weights])
    return packed


def unpack(packed: NDArray[np.uint8], weights: Weights) -> Matrix:
    """Back from `pack`: float32 of shape (rows, values of a row)."""
    if weights == "f32":
        return packed.view("<f4")
    values = np.empty(
        (len(packed), packed.shape[1] * QUANT_BLOCK // BLOCK_BYTES[weights]), dtype=np.float32
    )
    step = max(1, _VALUES_AT_A_TIME // values.shape[1])
    for row in range(0, len(packed), step):
        values[row : row + step] = dequantize(packed[row : row + step], GGML_TYPES[weights])
    return values


def _halves(values: Matrix) -> NDArray[np.float16]:
    with np.errstate(over="raise"):
        try:
            return values.astype("<f2")
        except FloatingPointError:
            raise HerdError(
                f"The model has a weight of {np.abs(values).max():g}, but the largest f16 is "
                "65504. Choose other weights."
            ) from None


def _q4_0(values: Matrix) -> NDArray[np.uint8]:
    """Blocks of 18 bytes: uint8 of shape (blocks, 18).

    Formula: b4rtaz/distributed-llama, `converter/writer.py` (writeQuantizedQ40Tensor), in float32:
    the value farthest from zero, the positive one of two, becomes -8 steps. llama.cpp's rule
    differs only where two are equally far: it takes the one that comes first.
    """
    blocks = values.reshape(-1, QUANT_BLOCK)
    highest, lowest = _fold(np.maximum, blocks), _fold(np.minimum, blocks)
    scales = np.where(-lowest > highest, lowest, highest) / np.float32(-8)
    with np.errstate(over="ignore", invalid="ignore"):  # below float16 the codes do not matter
        steps = np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=scales != 0)
        scaled = blocks * steps[:, np.newaxis]
        scaled += np.float32(8.5)
        codes = np.clip(scaled, 0, 15, out=scaled).astype(np.uint8)
    packed = np.empty((len(blocks), BLOCK_BYTES["q4_0"]), dtype=np.uint8)
    packed[:, :2] = scales.astype("<f2").view(np.uint8).reshape(-1, 2)
    half = QUANT_BLOCK // 2
    np.left_shift(codes[:, half:], 4, out=packed[:, 2:])
    packed[:, 2:] |= codes[:, :half]
    return packed


def _fold(best: np.ufunc, blocks: Matrix) -> Matrix:
    """The highest or lowest value of each block, by halving it: fast where an axis is short."""
    while blocks.shape[1] > 1:
        half = blocks.shape[1] // 2
        blocks = best(blocks[:, :half], blocks[:, half:])
    return blocks[:, 0]
