"""The shape of a LLaMA-like model: the numbers that every format, limit and estimate follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

QUANT_BLOCK = 32
"""Values that share one scale in Q4_0, Q8_0 and distributed-llama's Q40."""

Weights = Literal["f32", "f16", "q8_0", "q4_0", "int8", "nf4"]
ALL_WEIGHTS: tuple[Weights, ...] = ("f32", "f16", "q8_0", "q4_0")
"""Those that files have."""
LOADED_FROM: dict[Weights, Weights] = {"int8": "f32", "nf4": "f32"}
"""Those that an engine makes while it loads a model (bitsandbytes), to what its files have."""
BLOCK_BYTES: dict[Weights, int] = {
    "f32": 4 * QUANT_BLOCK,
    "f16": 2 * QUANT_BLOCK,
    "q8_0": 34,
    "q4_0": 18,
    "int8": QUANT_BLOCK,
    "nf4": 17,
}
"""Bytes of 32 consecutive values, by weights type.

int8 has a scale for each row; nf4 one of 8 bits for 64 values, and one of 32 bits for 256 of these.
"""
QUANTISED: frozenset[Weights] = frozenset({"q8_0", "q4_0"})
"""Types whose values share a scale by blocks."""

Architecture = Literal["llama", "qwen3"]
NORM_EPSILONS = (1e-5, 1e-6)
"""The epsilons of RMS norms that distributed-llama's `.m` can say."""
MOST_LAYERS = 4096
MOST_PIECES = 4_000_000
"""More layers and pieces than any model has: a file that states more is not believed."""
_LARGEST_SIZE = 2**31 - 1
"""Of a width or a context: what distributed-llama counts to."""

_Layers = Annotated[PositiveInt, Field(le=MOST_LAYERS)]
_Pieces = Annotated[PositiveInt, Field(le=MOST_PIECES)]
_Size = Annotated[PositiveInt, Field(le=_LARGEST_SIZE)]
_Theta = Annotated[PositiveInt, Field(le=2**53)]


class RopeScaling(BaseModel):
    """How Llama 3.1 and later stretch rotary frequencies to a longer context.

    Wavelengths above original_context / low_frequency_factor are stretched by `factor`, those
    below original_context / high_frequency_factor are left, and those between are blended.
    Source: meta-llama/llama-models, `reference_impl/model.py` (apply_scaling). Whole numbers,
    because `.m` can say no others.

    Attributes:
        factor: how much longer the slow wavelengths become.
        low_frequency_factor: where stretching is complete.
        high_frequency_factor: where stretching begins; more than `low_frequency_factor`.
        original_context: longest sequence before stretching, in tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    factor: PositiveInt
    low_frequency_factor: PositiveInt
    high_frequency_factor: PositiveInt
    original_context: PositiveInt

    @model_validator(mode="after")
    def _has_a_range_to_blend(self) -> Self:
        if self.high_frequency_factor <= self.low_frequency_factor:
            raise ValueError(
                f"high_frequency_factor ({self.high_frequency_factor}) must be greater than "
                f"low_frequency_factor ({self.low_frequency_factor})"
            )
        return self


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
        architecture: `llama`, or `qwen3`, which normalises each query and key head before turning
            it and turns halves of a head instead of neighbouring values.
        norm_epsilon: added under the root of every RMS norm; 1e-5 or 1e-6.
        rope_scaling: how rotary frequencies are stretched; None for as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: _Size
    hidden_dim: _Size
    layers: _Layers
    heads: _Size
    kv_heads: _Size
    head_dim: Annotated[PositiveInt, Field(le=2**16)]
    vocab: _Pieces
    context: _Size
    tied_classifier: bool = False
    rope_theta: _Theta = 10_000
    architecture: Architecture = "llama"
    norm_epsilon: float = 1e-5
    rope_scaling: RopeScaling | None = None

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads}), "
                "because each KV head serves the same number of heads"
            )
        if self.norm_epsilon not in NORM_EPSILONS:
            raise ValueError(
                f"norm_epsilon ({self.norm_epsilon:g}) must be "
                f"{' or '.join(f'{epsilon:g}' for epsilon in NORM_EPSILONS)}, the values that "
                "distributed-llama supports"
            )
        if self.rope_scaling and self.architecture != "llama":
            raise ValueError("rope_scaling must be left out: only LLaMA's scaling is supported")
        if self.head_dim % 2:
            raise ValueError(
                f"head_dim ({self.head_dim}) must be even, because rotary embedding rotates "
                "pairs of values"
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
        if self.has_head_norms:
            norms += 2 * self.layers * self.head_dim
        return embeddings + self.layers * self.layer_matrix_values + norms

    @property
    def has_head_norms(self) -> bool:
        """Whether each query and key head is normalised before it is turned."""
        return self.architecture == "qwen3"


def mistakes(error: ValidationError) -> str:
    """What is wrong with a shape, for a sentence: each number by its name."""
    told = (
        (".".join(map(str, mistake["loc"])), mistake["msg"].removeprefix("Value error, "))
        for mistake in error.errors()
    )
    return "; ".join(f"{where}: {what}" if where else what for where, what in told)


def stored_as(weights: Weights) -> Weights:
    """The type of weights that a model's files have for an engine that computes with `weights`."""
    return LOADED_FROM.get(weights, weights)


def packed_bytes(values: int, weights: Weights) -> int:
    """Bytes that `values` values take as `weights`; of quantised types, whole blocks only."""
    return values * BLOCK_BYTES[weights] // QUANT_BLOCK


def lacks_blocks(shape: ModelShape, weights: Weights) -> str | None:
    """Why the rows of the matrices are no whole blocks of `weights`; None if they are.

    Only quantised weights come in blocks; `f32` and `f16` take a row of any length.
    """
    if weights not in QUANTISED:
        return None
    rows = {
        "dim": shape.dim,
        "hidden_dim": shape.hidden_dim,
        "heads x head_dim": shape.q_dim,
    }
    for what, length in rows.items():
        if length % QUANT_BLOCK:
            return (
                f"{what} ({length}) is not a multiple of {QUANT_BLOCK}, and {weights} weights "
                f"come in blocks of {QUANT_BLOCK} values"
            )
    return None


def share_layers(layers: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Layers of each node in proportion to positive shares: one at least, `layers` together."""
    spare = layers - len(shares)
    exact = [spare * share / sum(shares) for share in shares]
    counts = [1 + int(part) for part in exact]
    by_rest = sorted(range(len(counts)), key=lambda index: int(exact[index]) - exact[index])
    for index in by_rest[: layers - sum(counts)]:
        counts[index] += 1
    return tuple(counts)
