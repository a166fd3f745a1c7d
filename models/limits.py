"""Which numbers of nodes can share a model: known before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.padding import padded_name, possible_shapes
from models.shape import QUANT_BLOCK, ModelShape, lacks_blocks

if TYPE_CHECKING:
    from models.catalogue import ModelSpec
    from models.shape import Weights

DLLAMA_WEIGHTS: tuple[Weights, ...] = ("f32", "q4_0")
"""Types of weights that distributed-llama runs."""
MOST_NODES = 16
_LANES = 8
"""Values that its float32 routines take at a time on x86 (AVX2); on ARM it is 4."""
_USUAL_COUNTS = (1, 2, 4, 8)


def dllama_impossible(shape: ModelShape, weights: Weights, nodes: int) -> str | None:
    """Why distributed-llama cannot share a model among `nodes` nodes; None if it can.

    Args:
        shape: of the model.
        weights: type of the weights.
        nodes: root and workers together.

    The engine itself aborts in these cases, and takes its workers with it (the asserts of the
    slicing functions in b4rtaz/distributed-llama, `src/nn/nn-core.cpp`, and of the routines of
    `src/nn/nn-cpu-ops.cpp`).
    """
    if weights not in DLLAMA_WEIGHTS:
        return (
            f"distributed-llama cannot run {weights} weights, only {' and '.join(DLLAMA_WEIGHTS)}"
        )
    if nodes > shape.kv_heads:
        return (
            f"the model has {shape.kv_heads} KV heads, and distributed-llama cannot use more "
            f"nodes than that ({nodes} requested)"
        )
    shared = {
        "KV heads": shape.kv_heads,
        "heads": shape.heads,
        "hidden values": shape.hidden_dim,
        "vocabulary tokens": shape.vocab,
    }
    for what, count in shared.items():
        if count % nodes:
            return f"the model's {count} {what} cannot be divided evenly among {nodes} nodes"
    return lacks_blocks(shape, weights) or _odd_slice(shape, weights, nodes)


def _odd_slice(shape: ModelShape, weights: Weights, nodes: int) -> str | None:
    """Which slice is no multiple of what the engine takes at a time."""
    step, called = (QUANT_BLOCK, "Q40 blocks") if weights == "q4_0" else (_LANES, "groups")
    sliced = {"attention": shape.q_dim, "feed-forward": shape.hidden_dim}
    for what, width in sliced.items():
        if width // nodes % step:
            return (
                f"a slice of {width // nodes} {what} values ({width} over {nodes} nodes) is not "
                f"a whole number of {called} of {step}"
            )
    for what, width in (("values of a head", shape.head_dim), ("values of a token", shape.dim)):
        if width % _LANES:
            return (
                f"the model's {width} {what} are not a multiple of {_LANES}, and "
                f"distributed-llama processes {_LANES} at a time"
            )
    return None


def shareable_name(spec: ModelSpec, weights: Weights, nodes: int) -> str | None:
    """The name of the model with as few added heads as let `nodes` nodes share it.

    Where more heads let more of 1, 2, 4 and 8 nodes share it, in more types of weights, they are
    counted in: one file then serves a whole matrix.

    Returns:
        None if no number of heads helps, or its files are used as they are published.
    """
    if spec.format == "dllama":
        return None
    bare = spec.unpadded or spec
    most = bare.shape.kv_heads + QUANT_BLOCK * max(nodes, *_USUAL_COUNTS)
    shapes = [
        shape
        for shape in possible_shapes(bare.shape, most)
        if not dllama_impossible(shape, weights, nodes)
    ]
    if not shapes:
        return None
    return padded_name(bare.name, max(shapes, key=_usual_cases).kv_heads)


def node_counts(shape: ModelShape, weights: Weights) -> tuple[int, ...]:
    """The numbers of nodes, up to 16, that can share a model with distributed-llama."""
    counts = range(1, MOST_NODES + 1)
    return tuple(nodes for nodes in counts if dllama_impossible(shape, weights, nodes) is None)


def _usual_cases(shape: ModelShape) -> int:
    """How many of the usual numbers of nodes can share a model, over all types of weights."""
    return sum(
        dllama_impossible(shape, weights, nodes) is None
        for weights in DLLAMA_WEIGHTS
        for nodes in _USUAL_COUNTS
    )
