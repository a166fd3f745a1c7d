"""What a run says about its network: link speeds, and traffic as theory has it."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from analysis.cells.cells import CellResult, Series
from analysis.cells.traffic import RootTraffic, formula_holds, root_traffic
from analysis.charts.frames import Predict
from collect.run import RunManifest
from core.errors import HerdError
from models.catalogue import load_catalogue


def predictor(run: RunManifest) -> Predict:
    """What a cell's root must send and receive for a token by the engine's algorithm.

    It knows nothing (None) of engines other than distributed-llama, of releases with another
    algorithm, and of models that the catalogue does not have.
    """
    catalogue = load_catalogue()
    version = run.engines.get("distributed-llama", {}).get("version")
    holds = formula_holds(None if version is None else str(version))

    def predict(cell: CellResult) -> RootTraffic | None:
        if cell.engine != "distributed-llama" or not holds:
            return None
        params = cell.record.params
        try:
            shape = catalogue.get(str(params["model"])).shape
        except HerdError:
            return None
        return root_traffic(
            cell.nodes, shape.dim, shape.layers, shape.vocab, weights=str(params["weights"])
        )

    return predict


def link_speeds(all_series: Iterable[Series], nodes: pd.DataFrame) -> dict[str, float]:
    """Map cell ids to the speed of the slowest link in Mbit/s, for cells whose nodes all report it.

    Args:
        all_series: every series of the run.
        nodes: the nodes table (see `collect.tables`).
    """
    if "link_mbit" not in nodes or nodes.empty:
        return {}
    speeds = pd.to_numeric(nodes["link_mbit"], errors="coerce")
    by_trial = speeds.groupby(nodes["trial_id"]).agg(["min", "count", "size"])
    all_tell = by_trial["count"] == by_trial["size"]
    slowest = dict(zip(by_trial.index, by_trial["min"].where(all_tell), strict=True))
    found: dict[str, float] = {}
    for series in all_series:
        for cell in series.measured:
            own = [slowest[trial] for trial in cell.done["trial_id"] if trial in slowest]
            if own and not any(map(pd.isna, own)):
                found[cell.record.cell_id] = float(min(own))
    return found
