"""What distributed-llama can compute on a GPU by Vulkan, and how much memory that takes.

Facts of upstream: `src/nn/nn-vulkan.cpp` and the shaders in `src/nn/vulkan/`, v0.16.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.dllama_memory import dllama_pipes, dllama_required
from models.memory import F32_BYTES, MIB, MemoryNeed
from models.shape import QUANT_BLOCK, ModelShape, packed_bytes

if TYPE_CHECKING:
    from models.shape import Weights

MOST_BUFFER_BYTES = (1 << 32) - 1
"""Of one buffer that a shader reads: Vulkan counts them in 32 bits (`maxStorageBufferRange`)."""
_COLUMNS = 2 * QUANT_BLOCK
"""Values of a row that a thread of the Q40 shader multiplies."""
_ROWS = 8
"""Rows that a group of its threads computes."""
_COPIED = 4
"""Values that a thread of the shader for copies copies."""
_BATCH = 32
_OPERATIONS_PER_LAYER = 28
_BUFFERS_PER_OPERATION = 3
_SMALLEST_ALLOCATION_BYTES = 64 * 1024
"""Each buffer is a separate allocation, however small; GPUs have pages of up to this size."""
_DRIVER_BYTES = 160 * MIB
"""A driver of Vulkan and its compiler of shaders in the program: an estimate, not measured."""


def vulkan_impossible(
    shape: ModelShape, weights: Weights, nodes: int, context: int, *, root: bool
) -> str | None:
    """Why a GPU cannot compute its part of a model, a clause; None if it can.

    Args:
        shape: of the model.
        weights: type of the weights, one that the engine runs.
        nodes: root and workers together; they can share the model.
        context: tokens of the KV cache.
        root: whether it is the root's GPU, which also has the embedding.
    """
    return _odd(shape, weights, nodes) or _too_large(shape, weights, nodes, context, root=root)


def _odd(shape: ModelShape, weights: Weights, nodes: int) -> str | None:
    """Which width the shaders do not compute: upstream aborts, or leaves the rest out."""
    if weights != "q4_0":
        # Over more nodes the copy of a slice is as wide as the whole.
        if nodes == 1 and shape.vocab % _COPIED:
            return f"its shaders copy {_COPIED} of the {shape.vocab} vocabulary tokens at a time"
        return None
    read = {
        "values of a token": shape.dim,
        "attention values": shape.q_dim // nodes,
        "feed-forward values": shape.hidden_dim // nodes,
    }
    written = {
        "values of a KV cache": shape.kv_dim // nodes,
        "vocabulary tokens": shape.vocab // nodes,
    }
    for widths, step in ((read, _COLUMNS), (written, _ROWS)):
        for what, width in widths.items():
            if width % step:
                return (
                    f"its shaders for {weights} weights process {step} {what} at a time, and a "
                    f"node has {width}"
                )
    return None


def _too_large(
    shape: ModelShape, weights: Weights, nodes: int, context: int, *, root: bool
) -> str | None:
    """Which buffer is longer than a shader can address."""
    largest = {
        "a matrix": packed_bytes(
            max(shape.vocab, shape.hidden_dim, shape.q_dim) * shape.dim // nodes, weights
        ),
        "the KV cache of a layer": F32_BYTES * context * shape.kv_dim // nodes,
        "the table of rotary angles": F32_BYTES * context * shape.q_dim,
        "the attention scores": F32_BYTES * _BATCH * context * shape.heads // nodes,
        **({"the embedding": F32_BYTES * shape.vocab * shape.dim} if root else {}),
    }
    for what, size_bytes in largest.items():
        if size_bytes > MOST_BUFFER_BYTES:
            return f"{what} would need {size_bytes // MIB} MiB, and a buffer of Vulkan has 4095"
    return None


def vulkan_need(shape: ModelShape, weights: Weights, nodes: int, context: int) -> MemoryNeed:
    """Memory of a GPU: all that the engine would allocate in RAM, and many small buffers."""
    required = dllama_required(shape, weights, nodes, context)
    buffers = _BUFFERS_PER_OPERATION * _OPERATIONS_PER_LAYER * (shape.layers + 1)
    small = buffers * _SMALLEST_ALLOCATION_BYTES
    return MemoryNeed(
        root_bytes=required.root_bytes + small, worker_bytes=required.worker_bytes + small
    )


def vulkan_ram(shape: ModelShape, weights: Weights, nodes: int) -> MemoryNeed:
    """RAM of a node whose GPU computes: driver, pipes, and a matrix on its way, twice."""
    matrix = max(shape.vocab, shape.hidden_dim, shape.q_dim) * shape.dim // nodes
    on_its_way = 2 * packed_bytes(matrix, weights)
    common = _DRIVER_BYTES + 2 * dllama_pipes(shape, weights, nodes)
    embedding = F32_BYTES * shape.vocab * shape.dim
    return MemoryNeed(
        root_bytes=common + max(on_its_way, embedding), worker_bytes=common + on_its_way
    )
