"""The reference implementation: a LLaMA in float32 numpy, to compare engines with.

No engine's tricks: one matrix product for each matrix, sums in float32, probabilities in float64.
Formulas: H. Touvron and others, *LLaMA: Open and Efficient Foundation Language Models* (2023);
rotary embedding as in J. Su and others, *RoFormer* (2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.checkpoint import (
    CLASSIFIER,
    EMBEDDING,
    FINAL_NORM,
    layer_tensor,
    tensor_shapes,
)
from models.formats.gguf.writer import tensor_weights
from models.formats.quantise import packed_tensor, unpack
from models.rope import frequencies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.checkpoint import Checkpoint, Matrix
    from models.shape import ModelShape, Weights


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a model says after a prompt, always the likeliest token.

    Attributes:
        ids: the tokens, the prompt's not among them.
        log_probabilities: natural logarithm of the probability of each.
        margins: how much larger its logit is than the next one's; with a small one, rounding may
        decide otherwise.
    """

    ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    margins: tuple[float, ...]


class Reference:
    """A model in memory, 4 bytes a parameter for any weight type.

    Args:
        checkpoint: the model.
        weights: what the matrices are rounded to before they are used, as in the files of engines
            (norms and the embedding stay float32).
    """

    def __init__(self, checkpoint: Checkpoint, weights: Weights = "f32") -> None:
        self._shape = checkpoint.shape
        self._tensors = {
            name: _as_engines_have(checkpoint, name, size, weights)
            for name, size in tensor_shapes(checkpoint.shape).items()
        }

    def generate(self, prompts: Sequence[Sequence[int]], positions: int) -> list[Continuation]:
        """Continue each prompt until so many tokens were read, prompt and generated together.

        The token that is read last brings one more, so a prompt of n tokens gets
        positions - n + 1 of them. All prompts go side by side: each begins at position 0.
        """
        cache = _Cache(self._shape, len(prompts), positions)
        found: list[list[tuple[int, float, float]]] = [[] for _ in prompts]
        current = np.array([prompt[0] for prompt in prompts])
        for position in range(positions):
            logits = self._forward(current[:, None], cache)[:, 0]
            likeliest = logits.argmax(axis=1)
            scores = log_softmax(logits)
            top_two = np.partition(logits, -2, axis=1)[:, -2:]
            for row, prompt in enumerate(prompts):
                if position + 1 < len(prompt):
                    likeliest[row] = prompt[position + 1]
                    continue
                chosen = int(likeliest[row])
                margin = float(top_two[row, 1] - top_two[row, 0])
                found[row].append((chosen, float(scores[row, chosen]), margin))
            current = likeliest
        return [_continuation(tokens) for tokens in found]

    def score(self, ids: Sequence[int]) -> tuple[float, ...]:
        """Natural logarithm of the probability of each token but the first, after those before."""
        read = np.array(ids[:-1])
        logits = self._forward(read[None, :], _Cache(self._shape, 1, len(read)))[0]
        scores = log_softmax(logits)
        return tuple(float(scores[row, token]) for row, token in enumerate(ids[1:]))

    def likeliest(self, texts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
        """The likeliest token after each token of each text: greedy decoding repeats what is these.

        All texts are read at once, so that continuations which are known already are compared
        without generating them. Shorter ones are padded on the right, where nothing looks.
        """
        longest = max(map(len, texts), default=0)
        read = np.array([[*text, *[0] * (longest - len(text))] for text in texts])
        likeliest = self._forward(read, _Cache(self._shape, len(texts), longest)).argmax(axis=-1)
        return [
            tuple(row[: len(text)].tolist()) for row, text in zip(likeliest, texts, strict=True)
        ]

    def _forward(self, ids: NDArray[np.int64], cache: _Cache) -> Matrix:
        """Logits after each of `ids`, which follow what the cache holds.

        Args:
            ids: int of shape (sequences, tokens).
            cache: of as many sequences; the new keys and values are added.

        Returns:
            float32 of shape (sequences, tokens, vocab).
        """
        shape = self._shape
        start, count = cache.length, ids.shape[1]
        turn = _rotation(shape, start, count)
        stream = self._tensors[EMBEDDING][ids]
        for layer in range(shape.layers):
            normed = _norm(stream, self._part(layer, "attention_norm"), shape)
            query = _heads(_product(normed, self._part(layer, "q")), shape)
            key = _heads(_product(normed, self._part(layer, "k")), shape)
            if shape.has_head_norms:
                query = _norm(query, self._part(layer, "q_norm"), shape)
                key = _norm(key, self._part(layer, "k_norm"), shape)
            query, key = _rotate(query, turn, shape), _rotate(key, turn, shape)
            value = _heads(_product(normed, self._part(layer, "v")), shape)
            keys, values = cache.extended(layer, key, value)
            mixed = _attention(query, keys, values, start)
            stream = stream + _product(mixed, self._part(layer, "o"))
            normed = _norm(stream, self._part(layer, "ffn_norm"), shape)
            gate = _product(normed, self._part(layer, "gate"))
            hidden = gate / (1 + np.exp(-gate)) * _product(normed, self._part(layer, "up"))
            stream = stream + _product(hidden, self._part(layer, "down"))
        cache.length += count
        normed = _norm(stream, self._tensors[FINAL_NORM], shape)
        return _product(normed, self._tensors[CLASSIFIER])

    def _part(self, layer: int, part: str) -> Matrix:
        return self._tensors[layer_tensor(layer, part)]


class _Cache:
    """Keys and values of what was read: (sequences, KV heads, positions, head_dim) a layer."""

    def __init__(self, shape: ModelShape, sequences: int, positions: int) -> None:
        size = (shape.layers, sequences, shape.kv_heads, positions, shape.head_dim)
        self._keys = np.zeros(size, dtype=np.float32)
        self._values = np.zeros(size, dtype=np.float32)
        self.length = 0

    def extended(self, layer: int, key: Matrix, value: Matrix) -> tuple[Matrix, Matrix]:
        """All keys and values of a layer, the new ones included."""
        end = self.length + key.shape[2]
        self._keys[layer, :, :, self.length : end] = key
        self._values[layer, :, :, self.length : end] = value
        return self._keys[layer, :, :, :end], self._values[layer, :, :, :end]


def log_softmax(logits: Matrix) -> NDArray[np.float64]:
    """Natural logarithms of the probabilities that logits stand for, along the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _as_engines_have(
    checkpoint: Checkpoint, name: str, size: tuple[int, ...], weights: Weights
) -> Matrix:
    kind = tensor_weights(name, size, weights)
    if kind == "f32":
        return checkpoint.tensor(name)
    return unpack(packed_tensor(checkpoint, name, kind), kind).reshape(size)


def _product(values: Matrix, weight: Matrix) -> Matrix:
    """One product for the tokens of all sequences, which reads the matrix once.

    Args:
        values: of shape (sequences, tokens, in).
        weight: of shape (out, in).

    Returns:
        float32 of shape (sequences, tokens, out).
    """
    flat = values.reshape(-1, values.shape[-1]) @ weight.T
    return np.asarray(flat.reshape(*values.shape[:-1], -1), dtype=np.float32)


def _continuation(tokens: Sequence[tuple[int, float, float]]) -> Continuation:
    ids, scores, margins = zip(*tokens, strict=True) if tokens else ((), (), ())
    return Continuation(ids, scores, margins)


def _heads(values: Matrix, shape: ModelShape) -> Matrix:
    """(sequences, tokens, heads x head_dim) to (sequences, heads, tokens, head_dim)."""
    sequences, count, _ = values.shape
    return values.reshape(sequences, count, -1, shape.head_dim).swapaxes(1, 2)


def _attention(query: Matrix, keys: Matrix, values: Matrix, start: int) -> Matrix:
    """Each token's mixture of the values that it may see; heads side by side again."""
    sequences, heads, count, head_dim = query.shape
    group = heads // keys.shape[1]
    grouped = query.reshape(sequences, -1, group * count, head_dim)
    scores = grouped @ keys.swapaxes(2, 3) * np.float32(head_dim**-0.5)
    scores = scores.reshape(sequences, -1, group, count, keys.shape[2])
    unseen = np.arange(keys.shape[2]) > start + np.arange(count)[:, None]
    scores = np.where(unseen, np.float32(-np.inf), scores)
    exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares = exponents / exponents.sum(axis=-1, keepdims=True)
    mixed = shares.reshape(sequences, -1, group * count, keys.shape[2]) @ values
    by_token = mixed.reshape(sequences, heads, count, head_dim).swapaxes(1, 2)
    return np.asarray(by_token.reshape(sequences, count, heads * head_dim), dtype=np.float32)


def _norm(values: Matrix, weight: Matrix, shape: ModelShape) -> Matrix:
    mean = np.mean(values * values, axis=-1, keepdims=True, dtype=np.float32)
    root = np.sqrt(mean + np.float32(shape.norm_epsilon))
    return np.asarray(values / root * weight, dtype=np.float32)


def _rotation(shape: ModelShape, start: int, count: int) -> tuple[Matrix, Matrix]:
    """Cosines and sines of position x frequency: (tokens, head_dim / 2) each."""
    angles = np.outer(np.arange(start, start + count), frequencies(shape))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rotate(values: Matrix, turn: tuple[Matrix, Matrix], shape: ModelShape) -> Matrix:
    """Turn the pairs of each head: neighbours, or in Qwen3 values half a head apart."""
    cosine, sine = turn
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
