"""The shape of a LLaMA-like model: the numbers that every format, limit and estimate follows."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, PositiveInt, model_validator

QUANT_BLOCK = 32
"""Values that share one scale in Q4_0, Q8_0 and distributed-llama's Q40."""

Weights = Literal["f32", "q8_0", "q4_0"]
ALL_WEIGHTS: tuple[Weights, ...] = ("f32", "q8_0", "q4_0")
BLOCK_BYTES: dict[Weights, int] = {"f32": 4 * QUANT_BLOCK, "q8_0": 34, "q4_0": 18}
"""Bytes of 32 consecutive values, by weights type."""


class ModelShape(BaseModel):
    """The sizes of a LLaMA-like model, as its publisher states them.

    Attributes:
        dim: width of the residual stream.
        hidden_dim: width inside the feed-forward layer.
        layers: number of transformer blocks.
        heads: query heads per layer.
        kv_heads: key/value heads per layer; divides `heads`.
        head_dim: values per head; even, because rotary embedding turns pairs.
        vocab: tokens known.
        context: longest sequence that the model was trained on, in tokens.
        tied_classifier: the output matrix is the embedding (counted once, written twice).
        rope_theta: base of the rotary frequencies.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: PositiveInt
    hidden_dim: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    kv_heads: PositiveInt
    head_dim: PositiveInt
    vocab: PositiveInt
    context: PositiveInt
    tied_classifier: bool = False
    rope_theta: PositiveInt = 10_000

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads ({self.heads}) must be a multiple of kv_heads "
                f"({self.kv_heads}), because each KV head serves equally many heads"
            )
        if self.head_dim % 2:
            raise ValueError(
                f"head_dim ({self.head_dim}) must be even, because rotary embedding "
                "turns pairs of values"
            )
        for what, size in (
            ("dim", self.dim),
            ("hidden_dim", self.hidden_dim),
            ("heads x head_dim", self.q_dim),
        ):
            if size % QUANT_BLOCK:
                raise ValueError(
                    f"{what} ({size}) must be a multiple of {QUANT_BLOCK}, because "
                    f"quantised weights come in blocks of {QUANT_BLOCK} values"
                )
        return self

    @property
    def q_dim(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Width of all key (or value) heads together."""
        return self.kv_heads * self.head_dim

    @property
    def layer_matrix_values(self) -> int:
        """Values in the matrices of one layer, norms aside."""
        attention = 2 * self.dim * self.q_dim + 2 * self.dim * self.kv_dim
        return attention + 3 * self.dim * self.hidden_dim

    @property
    def parameters(self) -> int:
        """Number of trained values; a tied classifier counts once."""
        embeddings = self.vocab * self.dim * (1 if self.tied_classifier else 2)
        norms = (2 * self.layers + 1) * self.dim
        return embeddings + self.layers * self.layer_matrix_values + norms


def packed_bytes(values: int, weights: Weights) -> int:
    """Bytes that `values` values take as `weights`; whole blocks only."""
    return values // QUANT_BLOCK * BLOCK_BYTES[weights]
