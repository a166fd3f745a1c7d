"""The header of a `.m` file: its keys, and how they describe a model's shape.

Format: b4rtaz/distributed-llama, `converter/writer.py` and `src/llm.cpp` (v0.16): pairs of an int32
key and an int32 value.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from core.errors import HerdError
from models.shape import Architecture, ModelShape, RopeScaling

if TYPE_CHECKING:
    from pathlib import Path

    from models.shape import Weights

_ARCHITECTURES: dict[Architecture, int] = {"llama": 0xABCD00, "qwen3": 0xABCD01}
_ACTIVATION_SILU = 1
_EPSILONS = {1e-5: 5, 1e-6: 6}
_ROPE_LLAMA, _ROPE_FALCON, _ROPE_LLAMA31 = 0, 1, 2
FLOAT_TYPES: dict[Weights, int] = {"f32": 0, "q4_0": 2}
"""The weights that a `.m` file may hold and the engine runs, with their numbers there."""
OTHER_FLOAT_TYPES = {1: "F16", 3: "Q80"}
"""Weights that a `.m` file may hold and the engine does not run."""


class HeaderKey(IntEnum):
    """What a number of the header is."""

    VERSION = 0
    ARCHITECTURE = 1
    DIM = 2
    HIDDEN_DIM = 3
    LAYERS = 4
    HEADS = 5
    KV_HEADS = 6
    EXPERTS = 7
    ACTIVE_EXPERTS = 8
    VOCAB = 9
    CONTEXT = 10
    ACTIVATION = 11
    ROPE_THETA = 12
    WEIGHTS = 13
    ROPE_FACTOR = 14
    ROPE_LOW_FREQUENCY_FACTOR = 15
    ROPE_HIGH_FREQUENCY_FACTOR = 16
    ROPE_ORIGINAL_CONTEXT = 17
    ROPE_TYPE = 18
    HEAD_DIM = 19
    NORM_EPSILON = 20
    EXPERT_HIDDEN_DIM = 21


def shape_of(values: dict[int, int], path: Path) -> ModelShape:
    """The shape that a header states.

    Args:
        values: its pairs, which are all of `HeaderKey`.
        path: the file, for messages.

    Raises:
        KeyError: a key is absent that every file has.
        HerdError: another architecture, or something that the intermediate representation cannot
        express.
        ValidationError: a shape that cannot be.
    """
    architectures = {number: name for name, number in _ARCHITECTURES.items()}
    architecture = architectures.get(values[HeaderKey.ARCHITECTURE])
    if architecture is None or values.get(HeaderKey.EXPERTS):
        raise HerdError(f"{path} is not of the architecture LLaMA or Qwen3 without experts.")
    _require_computable(values, architecture, path)
    epsilons = {number: epsilon for epsilon, number in _EPSILONS.items()}
    heads, dim = values[HeaderKey.HEADS], values[HeaderKey.DIM]
    scaling = None
    if architecture == "llama" and values.get(HeaderKey.ROPE_FACTOR, 1) != 1:
        scaling = RopeScaling(
            factor=values[HeaderKey.ROPE_FACTOR],
            low_frequency_factor=values[HeaderKey.ROPE_LOW_FREQUENCY_FACTOR],
            high_frequency_factor=values[HeaderKey.ROPE_HIGH_FREQUENCY_FACTOR],
            original_context=values[HeaderKey.ROPE_ORIGINAL_CONTEXT],
        )
    return ModelShape(
        dim=dim,
        hidden_dim=values[HeaderKey.HIDDEN_DIM],
        layers=values[HeaderKey.LAYERS],
        heads=heads,
        kv_heads=values[HeaderKey.KV_HEADS],
        head_dim=values.get(HeaderKey.HEAD_DIM, dim // max(heads, 1)),
        vocab=values[HeaderKey.VOCAB],
        context=values[HeaderKey.CONTEXT],
        rope_theta=values.get(HeaderKey.ROPE_THETA, 10_000),
        architecture=architecture,
        norm_epsilon=epsilons.get(values.get(HeaderKey.NORM_EPSILON, 5), 0.0),
        rope_scaling=scaling,
    )


def _require_computable(values: dict[int, int], architecture: Architecture, path: Path) -> None:
    """Refuse header values that the intermediate representation cannot express."""
    right: dict[HeaderKey, tuple[int, ...]] = {
        HeaderKey.VERSION: (0,),
        HeaderKey.ACTIVATION: (_ACTIVATION_SILU,),
        HeaderKey.ACTIVE_EXPERTS: (0,),
        HeaderKey.EXPERT_HIDDEN_DIM: (0,),
        HeaderKey.ROPE_TYPE: (_ROPE_LLAMA, _ROPE_LLAMA31),
    }
    if architecture == "qwen3":  # the engine takes Falcon's, whatever the file says
        right |= {
            HeaderKey.ROPE_TYPE: (_ROPE_FALCON, _ROPE_LLAMA, _ROPE_LLAMA31),
            HeaderKey.ROPE_FACTOR: (1,),
        }
    for key, allowed in right.items():
        if values.get(key, allowed[0]) not in allowed:
            raise HerdError(
                f"{path} has {key.name.lower()} {values[key]}, but this project supports only "
                f"{' or '.join(map(str, allowed))}."
            )


def pairs_of(shape: ModelShape, weights: Weights) -> dict[HeaderKey, int]:
    """What the header of a file of that shape says, in the order of upstream's converter."""
    pairs = {
        HeaderKey.VERSION: 0,
        HeaderKey.ARCHITECTURE: _ARCHITECTURES[shape.architecture],
        HeaderKey.ACTIVATION: _ACTIVATION_SILU,
        HeaderKey.DIM: shape.dim,
        HeaderKey.HIDDEN_DIM: shape.hidden_dim,
        HeaderKey.LAYERS: shape.layers,
        HeaderKey.HEADS: shape.heads,
        HeaderKey.KV_HEADS: shape.kv_heads,
        HeaderKey.WEIGHTS: FLOAT_TYPES[weights],
        HeaderKey.CONTEXT: shape.context,
        HeaderKey.VOCAB: shape.vocab,
        HeaderKey.EXPERTS: 0,
        HeaderKey.ACTIVE_EXPERTS: 0,
        HeaderKey.ROPE_THETA: shape.rope_theta,
        HeaderKey.HEAD_DIM: shape.head_dim,
        HeaderKey.NORM_EPSILON: _EPSILONS[shape.norm_epsilon],
    }
    scaling = shape.rope_scaling
    if scaling is not None:
        pairs |= {
            HeaderKey.ROPE_FACTOR: scaling.factor,
            HeaderKey.ROPE_LOW_FREQUENCY_FACTOR: scaling.low_frequency_factor,
            HeaderKey.ROPE_HIGH_FREQUENCY_FACTOR: scaling.high_frequency_factor,
            HeaderKey.ROPE_ORIGINAL_CONTEXT: scaling.original_context,
            HeaderKey.ROPE_TYPE: _ROPE_LLAMA31,
        }
    return pairs
