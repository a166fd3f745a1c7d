"""How llama.cpp shares a model between its workers, as upstream's `--tensor-split` takes it.

Upstream gives layer i of n to the first worker whose part of the sum, with those before it, is
more than i / n (`llama-model.cpp` at 0.7.0). It counts the output matrix as the last layer. So
whole numbers of layers, with one more for the last worker, come out as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from experiments.engines import common
from experiments.engines.base import Axis, Cell
from experiments.engines.counted_layers import COUNTS, counted, miscounted
from experiments.fleet.cluster import Node
from models.shape import share_layers

SHARES = Axis(
    "shares",
    str,
    default="free",
    values=("free", "even", "memory"),
    form=COUNTS,
    born_as="free",
    is_rare=True,
)


def candidates(cell: Cell, nodes: Sequence[Node]) -> tuple[str, ...]:
    """Shares that may be faster: by memory only where nodes differ in it."""
    return ("free", "even", *(["memory"] if common.differ_in_memory(cell, nodes) else []))


def layers_of(cell: Cell, nodes: Sequence[Node]) -> tuple[int, ...]:
    """Layers of each node; nothing where upstream shares them out by the memory that is free.

    Where tensors are split, the numbers are proportions of each tensor instead.
    """
    layers = common.model_spec(cell.model).shape.layers
    told = counted(cell, SHARES.name)
    if _asked(cell) == "free" or told:
        return told
    parts = [1] * len(nodes)
    if _by_memory(cell):
        parts = [common.memory_mib(cell, node) for node in nodes]
    return tuple(parts) if _splits_tensors(cell) else share_layers(layers, parts)


def tensor_split(cell: Cell, nodes: Sequence[Node], separator: str) -> tuple[str, ...]:
    """The shares as an option; none where upstream shares by itself."""
    parts = list(layers_of(cell, nodes))
    if not parts:
        return ()
    if not _splits_tensors(cell):
        parts[-1] += 1
    return "--tensor-split", separator.join(map(str, parts))


def unshareable(cell: Cell, nodes: Sequence[Node]) -> str | None:
    """Why the model cannot be shared so, one sentence; None if it can."""
    layers = common.model_spec(cell.model).shape.layers
    if _asked(cell) == "free":
        return None
    if counted(cell, SHARES.name):
        if _splits_tensors(cell):
            return _other_number(cell)
        return miscounted(cell, SHARES.name, layers)
    if not _splits_tensors(cell) and cell.nodes > layers:
        return (
            f"{cell.model} has {layers} layers, too few for one on each of {cell.nodes} nodes "
            f"(shares {_asked(cell)})"
        )
    for node in nodes:
        if _by_memory(cell) and node.away is None and not common.memory_mib(cell, node):
            return f"{node.name} does not report its memory, which shares memory requires"
    return None


def _asked(cell: Cell) -> str:
    return str(cell.params.get(SHARES.name, SHARES.default))


def _by_memory(cell: Cell) -> bool:
    return _asked(cell) == "memory"


def _splits_tensors(cell: Cell) -> bool:
    return bool(cell.params["split_mode"] == "tensor")


def _other_number(cell: Cell) -> str | None:
    told = counted(cell, SHARES.name)
    if len(told) == cell.nodes:
        return None
    asked = f"shares {_asked(cell)} are for {len(told)} nodes"
    return f"{asked}, and this cell has {cell.nodes}"
