"""Nodes whose container has a CPU quota below what their threads want.

Such a node stops in the middle of a step when it has used its share up. The others wait for it, and
their engine reports that as synchronising.
"""

from __future__ import annotations

from collect.cells import CellRecord
from collect.run import RunManifest

QUOTA = "cpu_quota"
"""Fact of a node: cores that a container may use on average."""


def on_quota(run: RunManifest, cell: CellRecord) -> tuple[str, ...]:
    """Name the nodes of a cell whose threads want more than the quota of their container."""
    found = []
    for name in cell.nodes:
        facts = run.nodes.get(name, {})
        quota, cores = facts.get(QUOTA), facts.get("cores")
        threads = float(cell.params.get("threads") or cores or 1)
        if quota is not None and float(quota) < threads:
            found.append(name)
    return tuple(found)
