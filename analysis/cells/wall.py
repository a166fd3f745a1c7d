"""What cells took from the socket by smart plugs, what that includes, and which plugs failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.labels import GROUPS, users_at_once
from analysis.cells.series import Series
from analysis.statistics.stats import estimate
from analysis.text.sentence import say
from analysis.text.wording import listing
from collect.labels import deployments
from collect.plugs import Electricity

COLUMNS: Mapping[str, str] = {
    "model": "Model",
    "series": "Series",
    "nodes": "Nodes",
    "j_per_answer": "J/answer",
    "above_idle_j_per_answer": "J/answer above idle",
    "j_per_token": "J/token",
    "above_idle_j_per_token": "J/token above idle",
    "error_share": "Error, at most",
    "overlap": "All at work",
    "tokens_per_wh": "Tokens/Wh",
    "trial_j": "J/trial",
    "window_s": "Window, s",
    "watts": "W, mean",
    "idle_w": "W, idle",
    "trials": "Trials",
    "by": "Found by",
    "scope": "Includes",
}
"""Figures are medians over trials."""
PLUG_COLUMNS: Mapping[str, str] = {
    "plug": "Plug",
    "feeds": "Feeds",
    "attempts": "Attempts",
    "measured": "With energy",
    "watts": "W, mean",
    "idle_w": "W, idle",
    "reason": "Why not in all",
}
PRICE_COLUMNS: Mapping[str, str] = {
    "system": "System",
    "nodes": "Nodes",
    "tokens_per_wh": "Tokens/Wh",
    "million_tokens": "A million generated tokens",
    "thousand_answers": "1000 answers",
    "currency": "Currency",
    "pays_for": "For",
}
ELECTRICITY, API = "electricity", "API"
J_PER_KWH = 3.6e6
MOST_DRAWN = 300
"""Readings of a plug in the chart."""
WORDS = {"counter": "counter", "power": "readings of power", "mixed": "both"}


def wall_frame(all_series: Sequence[Series]) -> pd.DataFrame:
    """A row for each cell whose nodes are all behind plugs, and for each thing that this included.

    A cell has two rows if plugs were moved between its trials.
    """
    rows = [row for series in all_series for cell in series.measured for row in _rows(series, cell)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(series: Series, cell: CellResult) -> Iterator[dict[str, Any]]:
    if "wall_scope" not in cell.done:
        return
    known = cell.done[cell.done["wall_energy_j"].notna()]
    for scope, trials in known.groupby("wall_scope", sort=True):
        figures = {name: _median(trials, f"wall_{name}") for name in _MEDIANS}
        total_j, window_s = figures["energy_j"], figures["window_s"]
        if total_j is None or window_s is None:
            continue
        some = trials[trials["wall_energy_j"] > 0]
        shares = (some["wall_error_j"] / some["wall_energy_j"]).dropna()
        yield {
            "model": series.model,
            "series": series.whole_label,
            "nodes": cell.nodes,
            **{name.removeprefix("energy_"): value for name, value in figures.items()},
            "error_share": float(shares.median()) if len(shares) else None,
            "overlap": _overlap(trials),
            "trial_j": total_j,
            "watts": total_j / window_s if window_s else None,
            "trials": len(trials),
            "by": listing([WORDS.get(one, one) for one in sorted(set(trials["wall_by"]))]),
            "scope": str(scope),
        }


_MEDIANS = (
    "energy_j", "energy_j_per_answer", "energy_j_per_token", "above_idle_j_per_answer",
    "above_idle_j_per_token", "tokens_per_wh", "window_s", "idle_w",
)  # fmt: skip


def _overlap(trials: pd.DataFrame) -> float | None:
    """Return the share of the window in which the roots of several deployments all ran."""
    is_known = "roots_overlap" in trials and (trials["deployments"] > 1).any()
    return _median(trials, "roots_overlap") if is_known else None


def _median(trials: pd.DataFrame, column: str) -> float | None:
    values = trials[column].dropna()
    found = estimate([float(value) for value in values])
    return None if found is None else found.value


def plug_frame(plugs: pd.DataFrame) -> pd.DataFrame:
    """A row for each plug: what it feeds, in how many attempts it counted, and why not in all.

    Args:
        plugs: the table `plugs` of a run.
    """
    rows = []
    for name, own in plugs.groupby("plug", sort=True):
        measured = own[own["energy_j"].notna()]
        reasons = own["reason"].dropna()
        watts = (measured["energy_j"] / measured["window_s"]).dropna()
        row = {
            "plug": str(name),
            "feeds": listing(sorted({_feeds(*pair) for pair in _fed(own)}), "or"),
            "attempts": len(own),
            "measured": len(measured),
            "watts": float(watts.median()) if len(watts) else None,
            "idle_w": _median(own, "idle_w"),
            "reason": str(reasons.value_counts().index[0]) if len(reasons) else None,
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(PLUG_COLUMNS))


def _fed(plugs: pd.DataFrame) -> Iterator[tuple[str, bool]]:
    for names, switch in zip(plugs["nodes"], plugs["feeds_switch"], strict=True):
        yield str(names), bool(switch)


def _names_fed(plugs: pd.DataFrame) -> set[str]:
    return {name for names, _ in _fed(plugs) for name in names.split(", ")}


def _feeds(names: str, switch: bool) -> str:  # noqa: FBT001 - of a row
    fed = [name for name in names.split(", ") if name]
    return listing([*fed, *(["the switch"] if switch else [])])


def not_read(all_series: Sequence[Series], plugs: pd.DataFrame) -> list[str]:
    """Return the divisions (axis `groups`) with a cell that was measured before plugs were read."""
    known, fed = set(plugs["attempt_id"]), _names_fed(plugs)
    return list(
        dict.fromkeys(
            deployments(str(series.params[GROUPS]))
            for series in all_series
            if users_at_once(series.params) > 1
            for cell in series.measured
            if fed.issuperset(cell.record.nodes) and known.isdisjoint(cell.done["attempt_id"])
        )
    )


def without_plug(all_series: Sequence[Series], plugs: pd.DataFrame) -> list[str]:
    """Return nodes that took part and hang on no plug, in the order in which cells name them."""
    fed = _names_fed(plugs)
    used = dict.fromkeys(
        name for series in all_series for cell in series.measured for name in cell.record.nodes
    )
    return [name for name in used if name not in fed]


@dataclass(frozen=True, slots=True)
class Curve:
    """The power of one trial over time.

    Attributes:
        block: of the trial.
        data: `plug`, `feeds`, `at_s`, `watts`, `idle_w`.
    """

    series: Series
    cell: CellResult
    block: int
    data: pd.DataFrame


def typical_curve(
    all_series: Sequence[Series], plugs: pd.DataFrame, power: pd.DataFrame
) -> Curve | None:
    """Return the readings of a typical trial: of the cell with the longest window, the median one.

    Args:
        all_series: of the run.
        plugs: its table of that name.
        power: its table of that name.
    """
    measured = [
        (series, cell)
        for series in all_series
        for cell in series.measured
        if cell.estimate("wall_energy_j") is not None
    ]
    if not measured or power.empty:
        return None
    series, cell = max(measured, key=lambda pair: _longest(pair[1]))
    known = cell.done[cell.done["wall_energy_j"].notna()]
    middle = float(known["wall_energy_j"].median())
    away = [abs(float(energy_j) - middle) for energy_j in known["wall_energy_j"]]
    trial = known.to_dict("records")[away.index(min(away))]
    data = power[power["attempt_id"] == trial["attempt_id"]]
    if data.empty:
        return None
    own = plugs[plugs["attempt_id"] == trial["attempt_id"]]
    names = [str(name) for name in own["plug"]]
    feeds = dict(zip(names, (_feeds(*pair) for pair in _fed(own)), strict=True))
    idle = dict(zip(names, own["idle_w"], strict=True))
    data = pd.concat(_thinned(found) for _, found in data.groupby("plug", sort=False))
    data = data[["plug", "at_s", "watts"]].reset_index(drop=True)
    data = data.assign(feeds=data["plug"].map(feeds), idle_w=data["plug"].map(idle))
    return Curve(series, cell, int(trial["block"]), data)


def _thinned(readings: pd.DataFrame) -> pd.DataFrame:
    """Return as many readings of a plug as a chart can show, evenly chosen."""
    return readings.iloc[:: 1 + (len(readings) - 1) // MOST_DRAWN]


def _longest(cell: CellResult) -> tuple[float, int]:
    window = cell.estimate("wall_window_s")
    return (window.value if window else 0.0, cell.nodes)


def electricity_rows(
    data: pd.DataFrame, electricity: Electricity | None
) -> Iterator[dict[str, Any]]:
    """Yield what tokens and answers of cells cost in electricity.

    Args:
        data: what `wall_frame` gives.
        electricity: its price; without it only tokens per watt-hour are known.
    """
    for row in data.to_dict("records"):
        per_j = None if electricity is None else electricity.per_kwh / J_PER_KWH
        token, answer = row["j_per_token"], row["j_per_answer"]
        yield {
            "system": row["series"],
            "nodes": row["nodes"],
            "tokens_per_wh": row["tokens_per_wh"],
            "million_tokens": None if per_j is None or pd.isna(token) else 1e6 * token * per_j,
            "thousand_answers": None if per_j is None or pd.isna(answer) else 1e3 * answer * per_j,
            "currency": None if electricity is None else electricity.currency,
            "pays_for": say("{what} of {scope}", what=ELECTRICITY, scope=row["scope"]),
        }
