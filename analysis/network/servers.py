"""Where a token's time goes in a chain of servers: the client, each server, and what is left."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.series import Series
from analysis.cells.token_times import DECODE_PHASE
from analysis.text.sentence import say
from analysis.text.wording import plural
from collect.tables import Tables
from models.shape import share_layers

CLIENT, REST = "client", "network and messages"
COLUMNS = ("model", "series", "nodes", "part", "layers", "ms", "share", "trials")


def chain_times(all_series: Iterable[Series], tables: Tables) -> pd.DataFrame:
    """Parts of a decoded token's time, a row a part, along the chain.

    What is left of the chain's time after the servers' own computing is `REST`. A server begins
    before the client has asked it, as soon as the one before it hands its answer on; but it begins
    after that, so computing is never counted twice.

    Args:
        all_series: every series of the run.
        tables: of the run.

    Returns:
        Columns: `COLUMNS`. `ms` is the median over trials of a trial's mean, `share` the median
        of a trial's share. No rows for cells whose servers do not report it, or without a speed.
    """
    if tables.servers.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    servers = tables.servers[tables.servers["phase"] == DECODE_PHASE]
    tokens = tables.tokens[tables.tokens["phase"] == DECODE_PHASE]
    rows = [
        {"model": series.model, "series": series.panel_label, "nodes": cell.nodes, **row}
        for series in all_series
        for cell in series.measured
        if cell.by_block("decode_ms_per_token")
        for row in _cell_rows(cell, tokens, servers)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"layers": "Int64"})


def rows_of_series(times: pd.DataFrame, series: Iterable[Series]) -> pd.DataFrame:
    """The rows of some series.

    Args:
        times: as `chain_times` gives them.
        series: some of those.
    """
    wanted = [(one.model, one.panel_label) for one in series]
    return times[pd.MultiIndex.from_frame(times[["model", "series"]]).isin(wanted)]


def spans_by_speed(times: pd.DataFrame) -> dict[str, str]:
    """Cell in a few words to its layers shared in proportion to the speed of the servers.

    Args:
        times: as `chain_times` gives them.

    Returns:
        Layers of each node along the chain, as the axis `spans` takes them (`4-2`). Only for
        cells that shared them otherwise.
    """
    advised: dict[str, str] = {}
    servers = times[times["layers"].notna()]
    for (model, series, _), own in servers.groupby(["model", "series", "nodes"], sort=False):
        layers = tuple(int(count) for count in own["layers"])
        speeds = [count / ms for count, ms in zip(layers, own["ms"], strict=True)]
        counts = share_layers(sum(layers), speeds)
        if counts != layers:
            cell = say(
                "{model}, {series}, {layers}",
                model=model,
                series=series,
                layers=plural(len(layers), "node"),
            )
            advised[cell] = "-".join(map(str, counts))
    return advised


def _cell_rows(
    cell: CellResult, tokens: pd.DataFrame, servers: pd.DataFrame
) -> list[dict[str, object]]:
    ids = cell.done["trial_id"]
    own = servers[servers["trial_id"].isin(ids)]
    steps = tokens[tokens["trial_id"].isin(ids)]
    if own.empty or own["compute_ms"].isna().any():
        return []
    first = own.drop_duplicates("node").sort_values("position")
    layers = dict(zip(first["node"], first["layers"], strict=True))
    by_trial = steps.groupby("trial_id")
    computing = own.pivot_table("compute_ms", "trial_id", "node", aggfunc="sum")[[*layers]]
    parts = computing.astype(float).div(by_trial.size(), axis="index")
    left = by_trial["sync_ms"].mean().astype(float) - parts.sum(axis="columns")
    parts.insert(0, CLIENT, by_trial["compute_ms"].mean().astype(float))
    parts[REST] = left
    shares = parts.div(parts.sum(axis="columns"), axis="index")
    return [
        {
            "part": part,
            "layers": layers.get(part),
            "ms": float(parts[part].median()),
            "share": float(shares[part].median()),
            "trials": len(parts),
        }
        for part in map(str, parts.columns)
    ]
