"""Float32 values to the bytes of a weights type, the same bytes for every engine.

distributed-llama's Q40 block has the layout of GGUF's Q4_0 (18 bytes per 32 values: float16
scale, then byte j = value j | value j+16 << 4), so both engines get the same weights: quantised
once, here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.checkpoint import Checkpoint, Matrix
    from models.shape import Weights

GGML_TYPES: dict[Weights, GGMLQuantizationType] = {
    "f32": GGMLQuantizationType.F32,
    "q8_0": GGMLQuantizationType.Q8_0,
    "q4_0": GGMLQuantizationType.Q4_0,
}
_ROWS_AT_A_TIME_VALUES = 8 * 1024 * 1024


def packed_tensor(checkpoint: Checkpoint, name: str, weights: Weights) -> NDArray[np.uint8]:
    """The bytes of a tensor as `weights`: as the source has them, else packed here."""
    stored = checkpoint.stored(name, weights)
    return pack(np.atleast_2d(checkpoint.tensor(name)), weights) if stored is None else stored


def pack(matrix: Matrix, weights: Weights) -> NDArray[np.uint8]:
    """The bytes of `matrix` as `weights`: uint8 of shape (rows, bytes of a row)."""
    contiguous = np.ascontiguousarray(matrix, dtype="<f4")
    if weights == "f32":
        return contiguous.view(np.uint8)
    # a few rows at a time: the quantiser needs several copies of what it is given
    step = max(1, _ROWS_AT_A_TIME_VALUES // contiguous.shape[1])
    parts = [
        np.asarray(quantize(contiguous[row : row + step], GGML_TYPES[weights]), dtype=np.uint8)
        for row in range(0, contiguous.shape[0], step)
    ]
    return np.concatenate(parts)


def unpack(packed: NDArray[np.uint8], weights: Weights) -> Matrix:
    """Back from `pack`: float32 of shape (rows, values of a row)."""
    if weights == "f32":
        return packed.view("<f4")
    return np.asarray(dequantize(packed, GGML_TYPES[weights]), dtype=np.float32)
