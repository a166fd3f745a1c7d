"""The GPUs on which cells computed, as the logs of their engines say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, slots=True)
class UsedGpu:
    """A GPU of a node.

    Attributes:
        name: as the engine's log gives it; of several, joined by `; `.
        is_software: a driver that computes on the processor stands for it.
    """

    name: str
    is_software: bool


def gpus_used(trials: pd.DataFrame, nodes: pd.DataFrame | None) -> dict[str, Mapping[str, UsedGpu]]:
    """Cell id to its GPUs by node, from the attempts that count; cells without one are left out.

    Args:
        trials: table of a run.
        nodes: table of a run; None, or one without the columns of GPUs: no cell used one.
    """
    if nodes is None or "gpu" not in nodes:
        return {}
    done = trials[trials["attempt_id"].notna()]
    owner = dict(zip(done["attempt_id"], done["cell_id"], strict=True))
    told = nodes[nodes["gpu"].notna() & nodes["attempt_id"].isin(list(owner))]
    rows: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    columns = (told[name] for name in ("attempt_id", "node", "gpu", "gpu_is_software"))
    for attempt_id, node, name, is_software in zip(*columns, strict=True):
        key = (str(owner[attempt_id]), str(node))
        rows.setdefault(key, []).append((str(name), bool(is_software)))
    found: dict[str, Mapping[str, UsedGpu]] = {}
    for (cell_id, node), gpus in rows.items():
        names = dict.fromkeys(name for name, _ in gpus)
        used = UsedGpu("; ".join(names), any(is_software for _, is_software in gpus))
        found[cell_id] = {**found.get(cell_id, {}), node: used}
    return found
