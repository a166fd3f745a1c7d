"""What `fab probe` measured, as what is believed of a cost model's coefficients before a fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from analysis.model.posterior import Prior, Priors
from collect.probe import NodeProbe, ProbeRecord

REACHED = 1.15
"""How much longer an engine takes to read weights than a loop that only reads."""
OPERATIONS = 2.0
"""For a weight: a multiplication and an addition."""
Q4_VALUES_PER_MB = 1e6 * 32 / 18
SOFTWARE_MS = 0.02
"""What a message costs an engine in addition to the time on the link."""
SOURCE = "fab probe"
MEMORY_SPREAD, ARITHMETIC_SPREAD, LATENCY_SPREAD = 0.35, 0.9, 0.7


def priors_from(record: ProbeRecord, names: Iterable[str]) -> Priors:
    """Turn what was measured of some nodes into beliefs: medians over nodes and links.

    Args:
        record: a probe of these machines.
        names: nodes of the cells.
    """
    known = list(dict.fromkeys(names))
    nodes = [node for name in known if (node := record.node(name)) is not None]
    priors: dict[str, Prior] = {}
    memory_ms = _memory_ms(nodes)
    if memory_ms is not None:
        priors["memory"] = Prior(REACHED * memory_ms, MEMORY_SPREAD, SOURCE)
        if (share := _arithmetic_share(nodes, memory_ms)) is not None:
            priors["arithmetic"] = Prior(share, ARITHMETIC_SPREAD, SOURCE)
    trips = [link.latency_us for link in record.links if {link.source, link.target} <= set(known)]
    if trips:
        median_ms = float(np.median(trips)) / 1000 + SOFTWARE_MS
        priors["latency"] = Prior(median_ms, LATENCY_SPREAD, SOURCE)
    return priors


def _memory_ms(nodes: Sequence[NodeProbe]) -> float | None:
    """Milliseconds for a MB."""
    rates = [node.memory_all_gbs for node in nodes if node.memory_all_gbs]
    return 1 / float(np.median(rates)) if rates else None


def _arithmetic_share(nodes: Sequence[NodeProbe], memory_ms: float) -> float | None:
    """Time for the arithmetic on a MB of q4_0 weights, as a share of that for reading it."""
    rates = [node.arithmetic_all_gflops for node in nodes if node.arithmetic_all_gflops]
    if not rates:
        return None
    count_ms = OPERATIONS * Q4_VALUES_PER_MB / (float(np.median(rates)) * 1e9) * 1000
    return count_ms / (REACHED * memory_ms)
