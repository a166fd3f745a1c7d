"""Layers that a cell counts out, node by node, such as `20-4-4`."""

from __future__ import annotations

import re

from experiments.engines.base import Cell

COUNTS = (r"[1-9]\d{0,3}(-[1-9]\d{0,3})+", "layers of each node, such as 4-2")
"""How a person counts them out: as a form of an axis."""


def counted(cell: Cell, axis: str) -> tuple[int, ...]:
    """Layers of each node where the cell counts them out on that axis; else nothing."""
    spelled = str(cell.params.get(axis))
    return tuple(map(int, spelled.split("-"))) if re.fullmatch(COUNTS[0], spelled) else ()


def miscounted(cell: Cell, axis: str, layers: int) -> str | None:
    """Why the counts do not fit model and nodes; None if they do, or if there are none."""
    told = counted(cell, axis)
    if not told or (len(told) == cell.nodes and sum(told) == layers):
        return None
    return (
        f"{axis} {cell.params[axis]} are {sum(told)} layers on {len(told)} nodes, and "
        f"{cell.model} has {layers} for {cell.nodes}"
    )
