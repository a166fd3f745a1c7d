"""What tokens and answers cost in joules, where every node of a cell counted; why not elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.series import Series
from analysis.text.sentence import say, together
from analysis.text.wording import listing
from collect.run import RunManifest

NOT_MEASURED, REASON = "Not measured: {reasons}.", "{names}: {reason}"
NOT_INSIDE = "Not counted inside machines: {reasons}."
ONE_MACHINE = "virtual nodes on one machine, whose counters count for all of them"
API = "an API does not report it"
COLUMNS: Mapping[str, str] = {
    "model": "Model",
    "series": "Series",
    "nodes": "Nodes",
    "j_per_answer": "J/answer, median",
    "j_per_token": "J/token, median",
    "lowest": "Lowest trial",
    "highest": "Highest trial",
    "trial_j": "J/trial, median",
    "window_s": "Window, s",
    "watts": "W, mean",
    "trials": "Trials",
    "counters": "Counted by",
}


def energy_frame(all_series: Sequence[Series]) -> pd.DataFrame:
    """A row a cell whose nodes counted; `lowest` and `highest` are of J/answer, else of J/token."""
    rows = [
        row
        for series in all_series
        for cell in series.measured
        if (row := _row(series, cell)) is not None
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


GPU_COLUMNS: Mapping[str, str] = {
    "model": "Model",
    "series": "Series",
    "nodes": "Nodes",
    "gpu_j_per_answer": "GPU J/answer, median",
    "gpu_j_per_token": "GPU J/token, median",
    "gpu_trial_j": "GPU J/trial, median",
    "trials": "Trials",
}


def gpu_energy_frame(all_series: Sequence[Series]) -> pd.DataFrame:
    """A row a cell whose GPUs counted; the rest of their machines is in no figure."""
    rows = []
    for series in all_series:
        for cell in series.measured:
            trial, answer, token = (
                cell.estimate(f"gpu_energy_j{per}") for per in ("", "_per_answer", "_per_token")
            )
            if trial is not None:
                row = {
                    "model": series.model,
                    "series": series.whole_label,
                    "nodes": cell.nodes,
                    "gpu_j_per_answer": answer and answer.value,
                    "gpu_j_per_token": token and token.value,
                    "gpu_trial_j": trial.value,
                    "trials": trial.n,
                }
                rows.append(row)
    return pd.DataFrame(rows, columns=list(GPU_COLUMNS))


def _row(series: Series, cell: CellResult) -> dict[str, Any] | None:
    trial = cell.estimate("energy_j")
    window = cell.estimate("energy_window_s")
    if trial is None or window is None:
        return None
    answer, token = cell.estimate("energy_j_per_answer"), cell.estimate("energy_j_per_token")
    spread = answer or token
    counters = cell.done["energy_counters"].dropna().unique()
    return {
        "model": series.model,
        "series": series.whole_label,
        "nodes": cell.nodes,
        "j_per_answer": answer and answer.value,
        "j_per_token": token and token.value,
        "lowest": spread and spread.minimum,
        "highest": spread and spread.maximum,
        "trial_j": trial.value,
        "window_s": window.value,
        "watts": trial.value / window.value,
        "trials": trial.n,
        "counters": listing([str(one) for one in counters]),
    }


def unmeasured(
    run: RunManifest, all_series: Sequence[Series], *, at_the_wall: bool = False
) -> str | None:
    """Say in a sentence which cells' energy is unknown, and why; None if all are known.

    None also for runs from before energy was measured.

    Args:
        run: the plan.
        all_series: its series.
        at_the_wall: whether plugs count there, so that only counters in machines are meant.
    """
    cells = [cell for series in all_series for cell in series.measured]
    used = dict.fromkeys(name for cell in cells for name in cell.record.nodes)
    why: dict[str, list[str]] = {}
    for name in used:
        obstacle = run.nodes[name].get("energy_obstacle")
        if obstacle:
            why.setdefault(str(obstacle), []).append(name)
    counting = [name for name in used if run.nodes[name].get("energy_counters")]
    if run.share_machine(counting):
        why[ONE_MACHINE] = counting
    if used and (why or counting):
        why |= {API: names} if (names := [s.label for s in all_series if s.is_remote]) else {}
    clauses = [say(REASON, names=listing(n), reason=reason) for reason, n in why.items()]
    told = NOT_INSIDE if at_the_wall else NOT_MEASURED
    return say(told, reasons=together(clauses, "; ")) if clauses else None
