"""The table behind each chart; a chart draws its table and nothing else.

Columns that all have: `model`, `series` (label within its model), `nodes`. Tables with trials
have `kind`: `trial` (one trial, or one block of a ratio), `median` (with its ends: of an interval
where `coverage` is 0.95 or more, else the range of few values) or `missing` (nothing measured:
`state` and `reason` say why). Tables of `analysis.answers.latency` are by system and question
instead, with `answer` for `trial`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.scaling import Scaling
from analysis.cells.series import Series
from analysis.cells.sync import LinkUse, link_use_of, sync_share
from analysis.model.wire import RootTraffic
from analysis.statistics.stats import Estimate

Row = dict[str, Any]
Predict = Callable[[CellResult], RootTraffic | None]

TRIAL, MEDIAN, MISSING, ANSWER = "trial", "median", "missing", "answer"
POINT_COLUMNS = (
    "model", "series", "nodes", "kind", "block", "value", "low", "high", "coverage", "trials",
    "planned", "state", "reason",
)  # fmt: skip


def measured(all_series: Iterable[Series], column: str) -> pd.DataFrame:
    """Every trial's value of a column, and each cell's median with its interval."""
    rows: list[Row] = []
    for series in all_series:
        if not any(cell.by_block(column) for cell in series.cells):
            continue
        for cell in series.cells:
            rows += cell_rows(cell, column, _head(series, cell))
    return pd.DataFrame(rows, columns=list(POINT_COLUMNS))


def cell_rows(
    cell: CellResult, column: str, head: Row, with_median: Mapping[str, object] | None = None
) -> list[Row]:
    """Make a row a trial and one for the median, or one that says why there is none.

    Args:
        cell: what was measured.
        column: of the trials table.
        head: what all rows begin with.
        with_median: what the row of the median has in addition.
    """
    values = cell.by_block(column)
    found = cell.estimate(column)
    if found is None:
        return [{**head, "kind": MISSING, **_count(cell)}]
    rows = [{**head, "kind": TRIAL, "block": b, "value": v} for b, v in values.items()]
    return [*rows, {**head, **_median(found), **_count(cell), **(with_median or {})}]


def _median(found: Estimate) -> Row:
    ends = {"low": found.low, "high": found.high, "coverage": found.coverage}
    return {"kind": MEDIAN, "value": found.value, **ends}


def _head(series: Series, cell: CellResult) -> Row:
    return {"model": series.model, "series": series.panel_label, "nodes": cell.nodes}


def _count(cell: CellResult) -> Row:
    return {
        "trials": cell.counts["done"],
        "planned": cell.planned,
        "state": cell.state,
        "reason": "; ".join(cell.reasons) or None,
    }


def _missing(series: Series, cell: CellResult) -> Row:
    return {**_head(series, cell), "kind": MISSING, **_count(cell)}


def speed_ups(scalings: Iterable[Scaling]) -> pd.DataFrame:
    """Speed-up of every block and its median, with baseline and knee."""
    rows: list[Row] = []
    for scaling in scalings:
        for cell in scaling.series.cells:
            rows += _speed_up_rows(scaling, cell)
    columns = [*POINT_COLUMNS, "baseline_nodes", "is_knee"]
    return pd.DataFrame(rows, columns=columns)


def _speed_up_rows(scaling: Scaling, cell: CellResult) -> list[Row]:
    point = scaling.point(cell.nodes)
    base = {"baseline_nodes": scaling.baseline.nodes}
    if point is None:
        return [{**_missing(scaling.series, cell), **base}]
    head = {**_head(scaling.series, cell), **base}
    found = point.speed_up
    rows = [
        {**head, "kind": TRIAL, "block": block, "value": value}
        for block, value in zip(found.blocks, found.values, strict=False)
        if cell is not scaling.baseline
    ]
    count = {**_count(cell), "trials": len(found.blocks)}
    return [*rows, {**head, **_median(found), **count, "is_knee": cell.nodes == scaling.knee}]


def efficiencies(speed_up: pd.DataFrame) -> pd.DataFrame:
    """Efficiency in percent from the table of `speed_ups`."""
    frame = speed_up.copy()
    scale = 100 * frame["baseline_nodes"] / frame["nodes"]
    for column in ("value", "low", "high"):
        frame[column] = pd.to_numeric(frame[column]) * scale
    return frame


def time_split(all_series: Iterable[Series]) -> pd.DataFrame:
    """Return the median compute and sync time of a decoded token, for engines that report both.

    `sync_ms` is the middle of what the logs allow, `sync_share_low` and `_high` are its ends as
    shares (`analysis.cells.sync`).
    """
    rows = []
    for series in all_series:
        for cell in series.measured:
            compute = cell.estimate("compute_ms_per_token")
            sync, share = cell.estimate("sync_ms_per_token"), sync_share(cell)
            if compute is None or sync is None or share is None:
                continue
            rows.append(
                {
                    **_head(series, cell),
                    "compute_ms": compute.value,
                    "sync_ms": sync.value,
                    "sync_share_low": share.low,
                    "sync_share_high": share.high,
                    "trials": compute.n,
                }
            )
    columns = [
        "model", "series", "nodes", "compute_ms", "sync_ms", "sync_share_low", "sync_share_high",
        "trials",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def traffic(all_series: Iterable[Series], predict: Predict) -> pd.DataFrame:
    """KiB that the root sends and receives for a decoded token, measured and predicted."""
    rows = []
    for series in all_series:
        for cell in series.measured:
            sent = cell.estimate("sent_kib_per_token")
            received = cell.estimate("received_kib_per_token")
            if sent is None or received is None:
                continue
            theory = predict(cell)
            rows.append(
                {
                    **_head(series, cell),
                    "sent_kib": sent.value,
                    "received_kib": received.value,
                    "predicted_sent_kib": theory.sent_kib if theory else None,
                    "predicted_received_kib": theory.received_kib if theory else None,
                    "trials": sent.n,
                }
            )
    columns = [
        "model", "series", "nodes", "sent_kib", "received_kib", "predicted_sent_kib",
        "predicted_received_kib", "trials",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def link_use(all_series: Iterable[Series], link_mbit: Mapping[str, float]) -> pd.DataFrame:
    """How full the root's link is, in its busier direction.

    Args:
        all_series: every series of the run.
        link_mbit: cell id to the speed of its slowest link in Mbit/s, where known.
    """
    rows = [
        {**_head(series, cell), **_link_row(use)}
        for series in all_series
        for cell in series.measured
        if (use := link_use_of(cell, link_mbit.get(cell.record.cell_id))) is not None
    ]
    columns = [
        "model", "series", "nodes", "busier_kib_per_token", "mean_mbit_per_s",
        "sync_mbit_per_s_low", "sync_mbit_per_s_high", "link_mbit", "mean_use", "sync_use_low",
        "sync_use_high", "use",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _link_row(use: LinkUse) -> Row:
    """Numbers, missing where nothing is known or a link would carry more than it can; and words."""
    low, high = use.sync_mbit or (None, None)
    link = use.link_mbit
    return {
        "busier_kib_per_token": use.kib,
        "mean_mbit_per_s": use.mean_mbit,
        "sync_mbit_per_s_low": low,
        "sync_mbit_per_s_high": _finite(high),
        "link_mbit": link,
        "mean_use": _share(use.mean_mbit, link),
        "sync_use_low": _share(low, link),
        "sync_use_high": _share(_finite(high), link),
        "use": use,
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value


def _share(mbit: float | None, link: float | None) -> float | None:
    return None if not link or mbit is None or mbit > link else mbit / link


def perplexities(all_series: Iterable[Series]) -> pd.DataFrame:
    """Perplexity of each cell and its change against the smallest measured number of nodes."""
    rows = []
    for series in all_series:
        base: float | None = None
        for cell in series.measured:
            found = cell.estimate("perplexity")
            if found is None:
                continue
            base = found.value if base is None else base
            change = found.value / base - 1
            rows.append(
                {
                    **_head(series, cell),
                    "perplexity": found.value,
                    "change": change,
                    "lowest": found.minimum,
                    "highest": found.maximum,
                    "trials": found.n,
                }
            )
    columns = ["model", "series", "nodes", "perplexity", "change", "lowest", "highest", "trials"]
    return pd.DataFrame(rows, columns=columns)


def missing_cells(frame: pd.DataFrame) -> Iterator[tuple[tuple[str, str, int], str, str]]:
    """Key, state and reason of every cell of a table that has no measurement."""
    for _, row in frame[frame["kind"] == MISSING].iterrows():
        key = (str(row["model"]), str(row["series"]), int(row["nodes"]))
        yield (
            key,
            str(row["state"]),
            str(row["reason"] if pd.notna(row["reason"]) else row["state"]),
        )
