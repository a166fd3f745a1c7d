"""Small models of random weights of every architecture, norms included."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from models.shape import ModelShape, RopeScaling
from models.synthetic import synthetic_checkpoint

if TYPE_CHECKING:
    from models.checkpoint import Checkpoint, Matrix

LLAMA = ModelShape(
    dim=128, hidden_dim=256, layers=3, heads=4, kv_heads=2, head_dim=32, vocab=512, context=512
)
LLAMA31 = LLAMA.model_copy(
    update={
        "rope_theta": 500,
        "rope_scaling": RopeScaling(
            factor=8, low_frequency_factor=1, high_frequency_factor=4, original_context=64
        ),
    }
)
QWEN3 = ModelShape(
    dim=96,
    hidden_dim=128,
    layers=3,
    heads=8,
    kv_heads=4,
    head_dim=32,
    vocab=512,
    context=128,
    rope_theta=1_000_000,
    architecture="qwen3",
    norm_epsilon=1e-6,
)


def random_model(shape: ModelShape) -> Checkpoint:
    """The same model for the same shape; attention is sharp enough for positions to matter."""
    base = synthetic_checkpoint(shape, seed=5)

    def load(name: str) -> Matrix:
        tensor = base.load(name)
        if name.endswith("norm"):
            generator = np.random.default_rng([len(name), *name.encode()])
            return tensor + np.float32(0.3) * generator.standard_normal(
                tensor.shape, dtype=np.float32
            )
        sharpen = name.endswith((".q", ".k")) and not shape.has_head_norms
        return tensor * np.float32(3) if sharpen else tensor

    return replace(base, load=load)
