"""How much memory an engine's processes need on each node: known before anything is started.

How it is reckoned is each engine's own (`Engine.memory`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.shape import ModelShape, packed_bytes

if TYPE_CHECKING:
    from models.shape import Weights

MIB = 1024 * 1024
F32_BYTES = 4


@dataclass(frozen=True)
class MemoryNeed:
    """Memory that processes need for themselves, in bytes; the mapped model file is not in it.

    Attributes:
        root_bytes: of the root.
        worker_bytes: of the worker that needs most.
    """

    root_bytes: int
    worker_bytes: int

    def of(self, index: int) -> int:
        """Bytes on a node of a cell: the first is the root."""
        return self.worker_bytes if index else self.root_bytes

    @property
    def root_mib(self) -> int:
        """The root's, rounded up to MiB."""
        return -(-self.root_bytes // MIB)

    @property
    def worker_mib(self) -> int:
        """A worker's, rounded up to MiB."""
        return -(-self.worker_bytes // MIB)


@dataclass(frozen=True)
class NodeMemory:
    """Memory that processes need on one node, in bytes.

    Attributes:
        ram_bytes: of its RAM; the mapped model file is not in it.
        gpu_bytes: of its GPU's; 0 where its CPU computes.
    """

    ram_bytes: int
    gpu_bytes: int = 0

    @property
    def ram_mib(self) -> int:
        """Of its RAM, rounded up to MiB."""
        return -(-self.ram_bytes // MIB)

    @property
    def gpu_mib(self) -> int:
        """Of its GPU's, rounded up to MiB."""
        return -(-self.gpu_bytes // MIB)


def layer_bytes(shape: ModelShape, weights: Weights, context: int) -> int:
    """One layer with its KV cache in float32."""
    return packed_bytes(shape.layer_matrix_values, weights) + 2 * F32_BYTES * context * shape.kv_dim


def layers_bytes(shape: ModelShape, weights: Weights, nodes: int, context: int) -> int:
    """Whole layers on the node that has most of them, with their KV cache in float32."""
    return -(-shape.layers // nodes) * layer_bytes(shape, weights, context)
