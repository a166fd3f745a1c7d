"""Memory that llama.cpp needs on each node of a cell, estimated from above.

Measured at 0.7.0: an idle worker uses 14 MiB (RSS without files), on its CPU as with
Mesa's software Vulkan. What interfaces take of a GPU's memory is an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from experiments.engines import common
from experiments.engines import llama_cpp_gpu as gpu
from experiments.engines import llama_cpp_shares as shares
from experiments.engines.base import Cell
from experiments.fleet.cluster import Backend, Node
from models.memory import F32_BYTES, MIB, MemoryNeed, NodeMemory, layer_bytes, layers_bytes
from models.shape import ModelShape, Weights, packed_bytes

BATCH = 512
PROGRAM_BYTES = 48 * MIB
OWN_BYTES: Mapping[Backend, int] = {"vulkan": 64 * MIB, "cuda": 512 * MIB}
"""Of a GPU's memory, before anything of a model is there: context and kernels."""


def memory_need(shape: ModelShape, weights: Weights, nodes: int, context: int) -> MemoryNeed:
    """Estimate it for CPUs: the fullest node counts, with the output matrix, too."""
    share = layers_bytes(shape, weights, nodes, context)
    worker = share + _rest(shape, weights, context) + PROGRAM_BYTES
    return MemoryNeed(root_bytes=worker + _embedding(shape), worker_bytes=worker)


def memory_on(cell: Cell, nodes: Sequence[Node], context: int) -> tuple[NodeMemory, ...]:
    """Estimate it for each node, by its share and by what computes there."""
    spec = common.model_spec(cell.model)
    shape, layer = spec.shape, layer_bytes(spec.shape, cell.weights, context)
    rest = _rest(shape, cell.weights, context)
    needs = []
    for index, (node, layers) in enumerate(zip(nodes, _most_layers(cell, nodes), strict=True)):
        ram_bytes = PROGRAM_BYTES + (0 if index else _embedding(shape))
        found = common.gpu_of(cell, node)
        if found is None:
            needs.append(NodeMemory(ram_bytes + layers * layer + rest))
            continue
        on_gpu = min(layers, gpu.gpu_layers(cell) - 1)
        gpu_bytes = OWN_BYTES[found.backend] + on_gpu * layer + rest
        ram_bytes += (layers - on_gpu) * layer + (rest if layers > on_gpu else 0)
        # Where the GPU has no separate memory, it is RAM, too.
        needs.append(NodeMemory(ram_bytes + (gpu_bytes if found.has_no_memory else 0), gpu_bytes))
    return tuple(needs)


def _most_layers(cell: Cell, nodes: Sequence[Node]) -> tuple[int, ...]:
    """Layers that each node may get, or slices of layers that are as much."""
    layers = common.model_spec(cell.model).shape.layers
    parts = shares.layers_of(cell, nodes)
    if not parts and cell.device == "gpu":
        free_mib = [_free_mib(cell, node) for node in nodes]
        parts = tuple(free_mib) if all(free_mib) else ()
    if not parts or not sum(parts):
        parts = (1,) * len(nodes)
    return tuple(-(-layers * part // sum(parts)) for part in parts)


def _free_mib(cell: Cell, node: Node) -> int:
    """What a worker reports as free, by which upstream shares: of RAM all that there is."""
    found = common.gpu_of(cell, node)
    return found.free_mib if found else node.memory_mib


def _rest(shape: ModelShape, weights: Weights, context: int) -> int:
    """The output matrix and what is computed with, which any of the nodes may have."""
    batch = min(context, BATCH)
    buffers = batch * F32_BYTES * (4 * shape.dim + 2 * shape.hidden_dim + shape.vocab)
    return packed_bytes(shape.vocab * shape.dim, weights) + buffers


def _embedding(shape: ModelShape) -> int:
    return F32_BYTES * shape.vocab * shape.dim
