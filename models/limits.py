"""What cannot run, and how much memory what can run needs: known before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.padding import padded_name, possible_shapes
from models.shape import QUANT_BLOCK, ModelShape, packed_bytes

if TYPE_CHECKING:
    from models.build import Format
    from models.catalogue import ModelSpec
    from models.shape import Weights

DLLAMA_WEIGHTS: tuple[Weights, ...] = ("f32", "q4_0")
"""Types of weights that distributed-llama runs."""
_USUAL_COUNTS = (1, 2, 4, 8)
_MIB = 1024 * 1024
_DLLAMA_MARGIN_BYTES = 24 * _MIB
_LLAMA_CPP_MARGIN_BYTES = 48 * _MIB
_LLAMA_CPP_BATCH = 512
_DLLAMA_BATCH = 32
_F32 = 4


def dllama_impossible(shape: ModelShape, weights: Weights, nodes: int) -> str | None:
    """Why distributed-llama cannot share a model among `nodes` nodes; None if it can.

    Args:
        shape: of the model.
        weights: type of the weights.
        nodes: root and workers together.

    The engine itself aborts in these cases, and takes its workers with it (the asserts of
    the slicing functions in b4rtaz/distributed-llama, `src/nn/nn-core.cpp`).
    """
    if weights not in DLLAMA_WEIGHTS:
        return (
            f"distributed-llama cannot run {weights} weights, only {' and '.join(DLLAMA_WEIGHTS)}"
        )
    if nodes > shape.kv_heads:
        return (
            f"the model has {shape.kv_heads} KV heads, and distributed-llama cannot use more "
            f"nodes than that ({nodes} asked)"
        )
    shared = {
        "KV heads": shape.kv_heads,
        "heads": shape.heads,
        "hidden values": shape.hidden_dim,
        "vocabulary pieces": shape.vocab,
    }
    for what, count in shared.items():
        if count % nodes:
            return f"the model's {count} {what} cannot be shared evenly among {nodes} nodes"
    if weights == "q4_0":
        sliced = {"attention": shape.q_dim, "feed-forward": shape.hidden_dim}
        for what, width in sliced.items():
            if width // nodes % QUANT_BLOCK:
                return (
                    f"a slice of {width // nodes} {what} values ({width} over {nodes} nodes) "
                    f"does not consist of whole Q40 blocks of {QUANT_BLOCK}"
                )
    return None


def shareable_name(spec: ModelSpec, weights: Weights, nodes: int) -> str | None:
    """The name of the model with as few added heads as let `nodes` nodes share it.

    Where more heads let more of 1, 2, 4 and 8 nodes share it, in more types of weights, they are
    counted in: one file then serves a whole matrix.

    Returns:
        None if no number of heads helps.
    """
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


def _usual_cases(shape: ModelShape) -> int:
    """How many of the usual numbers of nodes can share a model, over all types of weights."""
    return sum(
        dllama_impossible(shape, weights, nodes) is None
        for weights in DLLAMA_WEIGHTS
        for nodes in _USUAL_COUNTS
    )


def memory_mib(
    spec: ModelSpec,
    format: Format,  # noqa: A002  # the word of the docs
    weights: Weights,
    nodes: int,
    context: int,
) -> tuple[int, int]:
    """About how much memory the root and each worker need, in MiB, rounded up.

    Weights of the layers and the output matrix are shared among the nodes, and so is the KV cache
    (float32 in both engines here). The root also holds the embedding. The buffers of one batch and
    a margin for the program itself come on top.

    Returns:
        The needs of the root and of one worker; with one node only the first counts.
    """
    shape = spec.shape
    embedding = _F32 * shape.vocab * shape.dim
    classifier = packed_bytes(shape.vocab * shape.dim, weights)
    layer = packed_bytes(shape.layer_matrix_values, weights)
    kv_layer = 2 * context * shape.kv_dim * _F32
    if format == "dllama":
        share = (shape.layers * (layer + kv_layer) + classifier) // nodes
        buffers = _DLLAMA_BATCH * _F32 * (4 * shape.dim + 2 * shape.hidden_dim + shape.vocab)
        margin = _DLLAMA_MARGIN_BYTES
    else:  # whole layers: the fullest node counts, and it may have the output matrix as well
        share = -(-shape.layers // nodes) * (layer + kv_layer) + classifier
        batch = min(context, _LLAMA_CPP_BATCH)
        buffers = batch * _F32 * (4 * shape.dim + 2 * shape.hidden_dim + shape.vocab)
        margin = _LLAMA_CPP_MARGIN_BYTES
    worker = share + buffers + margin
    return _mib(worker + embedding), _mib(worker)


def _mib(n_bytes: int) -> int:
    return -(-n_bytes // _MIB)
