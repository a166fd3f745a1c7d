"""The rotary frequencies of a model, and how Llama 3.1 stretches them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.shape import ModelShape


def frequencies(shape: ModelShape) -> NDArray[np.float64]:
    """Radians per position of each pair of values of a head, stretched: (head_dim / 2,)."""
    return _plain_frequencies(shape) / frequency_divisors(shape)


def frequency_divisors(shape: ModelShape) -> NDArray[np.float32]:
    """What stretching divides each frequency by; ones without it: (head_dim / 2,).

    Source: meta-llama/llama-models, `reference_impl/model.py` (apply_scaling).
    """
    plain = _plain_frequencies(shape)
    scaling = shape.rope_scaling
    if scaling is None:
        return np.ones(len(plain), dtype=np.float32)
    turns = scaling.original_context * plain / (2 * np.pi)
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return np.asarray(1 / ((1 - kept) / scaling.factor + kept), dtype=np.float32)


def _plain_frequencies(shape: ModelShape) -> NDArray[np.float64]:
    exponents = np.arange(0, shape.head_dim, 2) / shape.head_dim
    return np.asarray(float(shape.rope_theta) ** -exponents, dtype=np.float64)
