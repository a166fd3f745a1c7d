"""A LLaMA in numpy, small and slow: what a checkpoint means, apart from any engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.checkpoint import CLASSIFIER, EMBEDDING, FINAL_NORM, NORM_EPSILON, layer_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.checkpoint import Checkpoint, Matrix


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
        normed = _norm(stream, part(layer, "attention_norm"))
        query = _rotate(heads(normed @ part(layer, "q").T), shape.rope_theta)
        key = _rotate(heads(normed @ part(layer, "k").T), shape.rope_theta)
        value = heads(normed @ part(layer, "v").T)
        key, value = key.repeat(group, axis=0), value.repeat(group, axis=0)
        scores = query @ key.swapaxes(1, 2) * np.float32(shape.head_dim**-0.5) + mask
        mixed = (_softmax(scores) @ value).swapaxes(0, 1).reshape(count, -1)
        stream += mixed @ part(layer, "o").T
        normed = _norm(stream, part(layer, "ffn_norm"))
        gate = normed @ part(layer, "gate").T
        hidden = gate / (1 + np.exp(-gate)) * (normed @ part(layer, "up").T)
        stream += hidden @ part(layer, "down").T
    return _norm(stream, checkpoint.tensor(FINAL_NORM)) @ checkpoint.tensor(CLASSIFIER).T


def greedy(checkpoint: Checkpoint, prompt: Sequence[int], count: int) -> list[int]:
    """The `count` likeliest ids after `prompt`, one after the other."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(logits(checkpoint, ids)[-1].argmax()))
    return ids[len(prompt) :]


def _norm(values: Matrix, weight: Matrix) -> Matrix:
    mean = np.mean(values * values, axis=-1, keepdims=True, dtype=np.float32)
    root = np.sqrt(mean + np.float32(NORM_EPSILON))
    return np.asarray(values / root * weight, dtype=np.float32)


def _rotate(values: Matrix, theta: int) -> Matrix:
    """Turn pairs (2i, 2i+1) of each head by position x theta^(-2i/head_dim)."""
    _, count, head_dim = values.shape
    frequencies = float(theta) ** (-np.arange(0, head_dim, 2) / head_dim)
    angles = np.outer(np.arange(count), frequencies)
    cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    even, odd = values[..., ::2], values[..., 1::2]
    turned = np.empty_like(values)
    turned[..., ::2] = even * cosine - odd * sine
    turned[..., 1::2] = even * sine + odd * cosine
    return turned


def _softmax(scores: Matrix) -> Matrix:
    exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True), dtype=np.float32)
