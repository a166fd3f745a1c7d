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

    @property
    def root_mib(self) -> int:
        """The root's, rounded up to MiB."""
        return -(-self.root_bytes // MIB)

    @property
    def worker_mib(self) -> int:
        """A worker's, rounded up to MiB."""
        return -(-self.worker_bytes // MIB)


def layers_bytes(shape: ModelShape, weights: Weights, nodes: int, context: int) -> int:
    """Whole layers on the node that has most of them, with their KV cache in float32."""
    layer = packed_bytes(shape.layer_matrix_values, weights)
    kv_layer = 2 * F32_BYTES * context * shape.kv_dim
    return -(-shape.layers // nodes) * (layer + kv_layer)
