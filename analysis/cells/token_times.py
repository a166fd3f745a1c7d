"""Percentiles of the times of single tokens: what a mean over a trial hides."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.cells.series import Series

DECODE_PHASE = "prediction"
"""What the tables call decode; prefill is `evaluation` there."""
COLUMNS = (
    "model",
    "series",
    "nodes",
    "tokens",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "longest_ms",
    "cut_off_ms",
)
WHOLE_MS = "distributed-llama"
"""The engine that prints whole milliseconds: of computing and of waiting, or of both together."""
BEYOND = 10
"""Tokens that must be beyond a percentile for it to be reported."""
SHARES = (50, 95, 99)


def token_time_frame(all_series: Sequence[Series], tokens: pd.DataFrame) -> pd.DataFrame:
    """Percentiles over the decoded tokens of all trials of a cell that count.

    A percentile with fewer than ten tokens beyond it is missing: p95 takes 200, p99 takes 1000.

    Args:
        all_series: every series of the run.
        tokens: the tokens table (see `collect.tables`).

    Returns:
        Columns: `COLUMNS`. distributed-llama cuts each part of a token's time off to whole
        milliseconds: a time is up to `cut_off_ms` more than it says. No rows for engines that do
        not report the time of a token.
    """
    if tokens.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    single = tokens[(tokens["phase"] == DECODE_PHASE) & (tokens["tokens"] == 1)]
    single = single.dropna(subset=["total_ms"])
    owner = {
        str(trial): (series, cell)
        for series in all_series
        for cell in series.measured
        if cell.by_block("decode_ms_per_token")
        for trial in cell.done["trial_id"]
    }
    by_cell = single["trial_id"].map(
        {trial: cell.record.cell_id for trial, (_, cell) in owner.items()}
    )
    cells = {cell.record.cell_id: (series, cell) for series, cell in owner.values()}
    split = single["compute_ms"].notna().groupby(by_cell).any()
    times = single["total_ms"].astype(float).groupby(by_cell)
    groups = {str(cell_id): own for cell_id, own in times}
    rows = [
        {
            "model": series.model,
            "series": series.panel_label,
            "nodes": cell.nodes,
            "tokens": len(own),
            **{f"p{share}_ms": _percentile(own, share) for share in SHARES},
            "longest_ms": float(own.max()),
            "cut_off_ms": (2 if split[cell_id] else 1) if series.engine == WHOLE_MS else 0,
        }
        for cell_id, (series, cell) in cells.items()
        if (own := groups.get(cell_id)) is not None
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _percentile(values: pd.Series, share: int) -> float | None:
    if len(values) * (100 - share) < 100 * BEYOND:
        return None
    return float(values.quantile(share / 100))
