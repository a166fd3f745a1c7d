"""How much memory a model needs on each node with distributed-llama, by its own allocations.

They follow b4rtaz/distributed-llama, `buildLlmNet` in `src/llm.cpp` and the slices of
`src/nn/nn-core.cpp`, v0.16.4, which it sums up as `RequiredMemory` when it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.memory import MemoryNeed
from models.shape import ModelShape, packed_bytes

if TYPE_CHECKING:
    from models.shape import Weights

_F32 = 4
_BATCH = 32
_PROGRAM_BYTES = 4 * 1024 * 1024
_VOCABULARY_BYTES_PER_PIECE = 128
"""A piece in the root's tables: text, score, its place in the sorted list."""
_SYNC_WEIGHTS: dict[Weights, Weights] = {"f32": "f32", "q4_0": "q8_0"}
"""Type in which nodes exchange activations, by weights: Q80 is the layout of Q8_0."""


def dllama_required(shape: ModelShape, weights: Weights, nodes: int, context: int) -> MemoryNeed:
    """What distributed-llama itself prints as `RequiredMemory` on the root and the last worker."""
    common = _dllama_weights(shape, weights, nodes) + _dllama_buffers(shape, weights, nodes)
    common += 2 * _F32 * context * shape.layers * shape.kv_dim // nodes
    common += _F32 * _BATCH * shape.heads // nodes * context  # attention scores
    first, last = _rotary_tables(shape, nodes, context)
    embedding = _F32 * shape.vocab * shape.dim
    return MemoryNeed(root_bytes=common + first + embedding, worker_bytes=common + last)


def _rotary_tables(shape: ModelShape, nodes: int, context: int) -> tuple[int, int]:
    """Bytes of the table of rotary angles on the first and on the last node (`sliceRope`).

    LLaMA's begins at the node's KV slice and ends at its query slice; Qwen3's is that of one head,
    which all heads of all nodes share.
    """
    if shape.architecture == "qwen3":
        whole = _F32 * context * shape.head_dim
        return whole, whole
    first = shape.q_dim // nodes
    last = shape.q_dim - shape.kv_dim * (nodes - 1) // nodes
    return _F32 * context * first, _F32 * context * last


def _dllama_weights(shape: ModelShape, weights: Weights, nodes: int) -> int:
    """Slices of the matrices, and the norms, which every node has whole."""
    layer = packed_bytes(shape.layer_matrix_values, weights)
    classifier = packed_bytes(shape.vocab * shape.dim, weights)
    norms = (2 * shape.layers + 1) * _F32 * shape.dim
    if shape.has_head_norms:
        norms += 2 * shape.layers * _F32 * shape.head_dim
    return (shape.layers * layer + classifier) // nodes + norms


def _dllama_buffers(shape: ModelShape, weights: Weights, nodes: int) -> int:
    """What one batch passes through; buffers for experts are there without experts, too."""
    sync = _SYNC_WEIGHTS[weights]
    dim, hidden = shape.dim, shape.hidden_dim // nodes
    buffers = _F32 * (
        3 * dim + shape.q_dim + (shape.q_dim + 2 * shape.kv_dim + shape.vocab) // nodes + 4 * hidden
    )
    exchanged = packed_bytes(shape.q_dim // nodes, sync)
    if shape.has_head_norms:
        buffers += _F32 * shape.heads // nodes  # a root of squares for each head
    if sync != "f32":  # else these are the same memory as the float32 ones
        exchanged += 2 * (packed_bytes(dim, sync) + packed_bytes(hidden, sync))
    return dllama_pipes(shape, weights, nodes) + _BATCH * (buffers + exchanged)


def dllama_pipes(shape: ModelShape, weights: Weights, nodes: int) -> int:
    """Bytes of what nodes hand to each other in a batch, and of its positions and tokens."""
    exchanged = packed_bytes(shape.dim * nodes, _SYNC_WEIGHTS[weights])
    return _BATCH * (_F32 * (2 + shape.dim + shape.vocab) + exchanged)


def dllama_need(shape: ModelShape, weights: Weights, nodes: int, context: int) -> MemoryNeed:
    """The required memory, the program, the vocabulary, and the slice that is on its way."""
    required = dllama_required(shape, weights, nodes, context)
    largest = max(shape.vocab, shape.hidden_dim, shape.q_dim) * shape.dim // nodes
    on_its_way = packed_bytes(largest, weights) if nodes > 1 else 0
    more = _PROGRAM_BYTES + on_its_way
    vocabulary = _VOCABULARY_BYTES_PER_PIECE * shape.vocab
    return MemoryNeed(
        root_bytes=required.root_bytes + more + vocabulary,
        worker_bytes=required.worker_bytes + more,
    )
