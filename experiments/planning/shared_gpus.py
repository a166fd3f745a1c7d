"""Other programs on GPUs that cells compute on: named before anything runs, and no reason not to.

A desktop draws its windows with the GPU, which costs little. A game or another model costs much.
Only its user knows which, so the programs are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.foreign import one_line
from experiments.engines.common import gpu_of, taking_part
from experiments.fleet.cluster import Node
from experiments.planning.plan import Plan, runnable

TITLE = "GPUs that other programs use, too:"
_USED = re.compile(r"gpu_([0-9]{1,3})_used_by")
"""The fact of a node that names them, as its helper found them."""


def shared_gpus(plan: Plan) -> list[str]:
    """Name the programs on GPUs of cells that can run, a line each below a title."""
    nodes = {
        node.name: node
        for cell in (plan.by_id[cell_id] for cell_id in runnable(plan))
        for node in taking_part(cell, plan.cluster)
        if gpu_of(cell, node) is not None
    }
    lines = [line for node in nodes.values() for line in _lines(node)]
    return [TITLE, *lines] if lines else []


def _lines(node: Node) -> Iterator[str]:
    used = {match[1]: told for fact, told in node.facts.items() if (match := _USED.fullmatch(fact))}
    is_only = "gpu_1_name" not in node.facts
    for index, told in used.items():
        which = "GPU" if is_only else f"GPU {index}"
        yield f"  {node.name}'s {which} is also used by {one_line(str(told))}"
