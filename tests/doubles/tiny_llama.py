"""A LLaMA in numpy, small and slow: what a checkpoint means, apart from any engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.checkpoint import CLASSIFIER, EMBEDDING, FINAL_NORM, layer_tensor
from models.rope import frequencies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.checkpoint import Checkpoint, Matrix
    from models.shape import ModelShape


def logits(checkpoint: Checkpoint, ids: Sequence[int]) -> Matrix:
    """Logits after each of `ids`: float32 of shape (len(ids), vocab). All positions at once."""
    shape = checkpoint.shape
    count = len(ids)
    group = shape.heads // shape.kv_heads
    mask = np.triu(np.full((count, count), -np.inf, dtype=np.float32), k=1)
    stream = checkpoint.tensor(EMBEDDING)[list(ids)]

    def part(layer: int, name: str) -> Matrix:
        return checkpoint.tensor(layer_tensor(layer, name))

    def heads(values: Matrix) -> Matrix:
        return values.reshape(count, -1, shape.head_dim).swapaxes(0, 1)

    for layer in range(shape.layers):
        normed = _norm(stream, part(layer, "attention_norm"), shape)
        query, key = heads(normed @ part(layer, "q").T), heads(normed @ part(layer, "k").T)
        if shape.has_head_norms:
            query = _norm(query, part(layer, "q_norm"), shape)
            key = _norm(key, part(layer, "k_norm"), shape)
        query, key = _rotate(query, shape), _rotate(key, shape)
        value = heads(normed @ part(layer, "v").T)
        key, value = key.repeat(group, axis=0), value.repeat(group, axis=0)
        scores = query @ key.swapaxes(1, 2) * np.float32(shape.head_dim**-0.5) + mask
        mixed = (_softmax(scores) @ value).swapaxes(0, 1).reshape(count, -1)
        stream += mixed @ part(layer, "o").T
        normed = _norm(stream, part(layer, "ffn_norm"), shape)
        gate = normed @ part(layer, "gate").T
        hidden = gate / (1 + np.exp(-gate)) * (normed @ part(layer, "up").T)
        stream += hidden @ part(layer, "down").T
    return _norm(stream, checkpoint.tensor(FINAL_NORM), shape) @ checkpoint.tensor(CLASSIFIER).T


def greedy(checkpoint: Checkpoint, prompt: Sequence[int], count: int) -> list[int]:
    """The `count` likeliest ids after `prompt`, one after the other."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(logits(checkpoint, ids)[-1].argmax()))
    return ids[len(prompt) :]


def _norm(values: Matrix, weight: Matrix, shape: ModelShape) -> Matrix:
    mean = np.mean(values * values, axis=-1, keepdims=True, dtype=np.float32)
    root = np.sqrt(mean + np.float32(shape.norm_epsilon))
    return np.asarray(values / root * weight, dtype=np.float32)


def _rotate(values: Matrix, shape: ModelShape) -> Matrix:
    """Turn each pair of values of a head by position x its frequency."""
    angles = np.outer(np.arange(values.shape[1]), frequencies(shape))
    cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    half = shape.head_dim // 2
    first, second = (
        (slice(0, None, 2), slice(1, None, 2))
        if shape.architecture == "llama"
        else (slice(half), slice(half, None))
    )
    turned = np.empty_like(values)
    turned[..., first] = values[..., first] * cosine - values[..., second] * sine
    turned[..., second] = values[..., first] * sine + values[..., second] * cosine
    return turned


def _softmax(scores: Matrix) -> Matrix:
    exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True), dtype=np.float32)
