"""What a run says about its network: link speeds, and traffic as theory has it."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.series import Series
from analysis.charts.frames import Predict
from analysis.model.wire import RootTraffic, exchanged_with, is_chain, traffic, wire_of
from collect.run import RunManifest
from core.errors import HerdError
from models.catalogue import load_catalogue


def predictor(run: RunManifest) -> Predict:
    """What a cell's root must send and receive for a token by the way its engine exchanges.

    It knows nothing (None) of engines that pass activations along a chain, which report no
    traffic, of releases without a formula, and of models that the catalogue does not have.
    """
    catalogue = load_catalogue()

    def predict(cell: CellResult) -> RootTraffic | None:
        params = cell.record.params
        version = run.engines.get(cell.engine, {}).get("version")
        wire = wire_of(cell.engine, None if version is None else str(version), params)
        if wire is None or is_chain(wire):
            return None
        try:
            shape = catalogue.get(str(params["model"])).shape
        except HerdError:
            return None
        return traffic(wire, shape, cell.nodes, exchanged_with(str(params["weights"])))

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
