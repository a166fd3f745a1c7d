"""A run and its tables made directly from the figures that a test wants to talk about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.cells.cells import CellResult, cell_results
from analysis.cells.series import Series, series_of
from collect.cells import CellRecord, TrialRecord
from collect.columns import ANSWERS, ATTEMPTS, NODES, SERVERS, TEXTS, TOKENS, Columns
from collect.run import RunManifest
from collect.tables import Tables
from collect.workloads import Benchmark, Perplexity
from core.record import Scalar

MODEL = "stories15m"
Outcome = float | str
"""Tokens/s of a done trial, or the state of another: `failed`, `unavailable`, `pending`."""

Outcomes = Mapping[tuple[Any, ...], Sequence[Outcome]]
"""Values of the axes to the outcomes of a cell's trials, by block."""

REASONS = {
    "failed": "worker on pi4: killed by signal 9",
    "unavailable": "8 nodes are more than the 6 KV heads of the model",
    "pending": None,
}


def make_frames(
    outcomes: Outcomes,
    *,
    axes: Sequence[str] = ("engine", "nodes"),
    is_lab: bool = False,
    columns: Mapping[str, Any] | None = None,
    workload: Benchmark | Perplexity | None = None,
    sync_share: float | None = 0.3,
    link_mbit: float | None = 1000,
) -> tuple[RunManifest, Tables]:
    """A run from the outcome of every trial.

    Args:
        outcomes: values of `axes` to the outcomes of a cell's trials, by block.
        axes: names of the axes that the keys give; the rest have usual values.
        is_lab: the nodes were booted as one machine.
        columns: further columns of done trials; a value may be a function of the cell's params.
        workload: a benchmark by default.
        sync_share: share of sync in a token's time on distributed-llama; None: not told.
        link_mbit: speed of every link.
    """
    cells, trials, rows, attempts, nodes = [], [], [], [], []
    for key, results in outcomes.items():
        params = _params(dict(zip(axes, key, strict=True)))
        cell = _cell(params, results)
        cells.append(cell)
        for block, outcome in enumerate(results, start=1):
            trial_id = f"{cell.cell_id}-r{block}"
            trials.append(
                TrialRecord(
                    trial_id=trial_id, cell_id=cell.cell_id, repeat=block, block=block,
                    order=len(trials) + 1,
                )
            )  # fmt: skip
            rows.append(_row(cell, trial_id, block, outcome, sync_share, columns or {}))
            attempts += _attempts(trial_id, outcome, begun_s=60.0 * len(trials))
            if not isinstance(outcome, str):
                nodes += [
                    {
                        "trial_id": trial_id,
                        "attempt_id": f"{trial_id}-a1",
                        "node": node,
                        "link_mbit": link_mbit,
                    }
                    for node in cell.nodes
                ]
    most = max(len(cell.nodes) for cell in cells)
    run = RunManifest(
        run="20261123-scaling",
        title="Scaling over nodes",
        plan_id="0123456789ab",
        created_at=1_795_400_000.0,
        matrix_file="experiments/matrices/scaling.yml",
        workload=workload or Benchmark(),
        axes={},
        repeats=max(map(len, outcomes.values())),
        seed=1,
        warmup=1,
        max_attempts=2,
        cells=tuple(cells),
        trials=tuple(trials),
        nodes={f"pi{i}": _facts(i, is_lab=is_lab) for i in range(1, most + 1)},
        engines={
            "distributed-llama": {"version": "8d624a7", "compiler": "gcc 12.2.0"},
            "llama.cpp": {"version": "0.7.0", "protocol": "8.0.0", "binary": "ab" * 32},
        },
        models={"stories15m-f32.m": "2e" * 32},
        command=("fab", "run-matrix", "--nodes", "1,2,4,8"),
        toolkit="0.1.0",
    )
    tables = Tables(
        trials=pd.DataFrame(rows),
        tokens=pd.DataFrame(columns=[*TOKENS]),
        servers=pd.DataFrame(columns=[*SERVERS]),
        nodes=pd.DataFrame(nodes, columns=[*NODES]),
        attempts=pd.DataFrame(attempts, columns=[*ATTEMPTS]),
        answers=pd.DataFrame(columns=[*ANSWERS]),
        texts=pd.DataFrame(columns=[*TEXTS]),
    )
    return run, tables


def make_series(
    outcomes: Outcomes,
    **options: Any,  # noqa: ANN401 - handed on to make_frames
) -> tuple[Series, ...]:
    """The series of such a run."""
    return series_of(make_cells(outcomes, **options))


def make_cells(
    outcomes: Outcomes,
    **options: Any,  # noqa: ANN401 - likewise
) -> tuple[CellResult, ...]:
    """The cells of such a run."""
    run, tables = make_frames(outcomes, **options)
    return cell_results(run, tables.trials)


def _params(given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    params: dict[str, Scalar] = {
        "engine": "distributed-llama", "model": MODEL, "nodes": 1, "weights": "f32",
        "workers": "fresh", "threads": 0,
    } | dict(given)  # fmt: skip
    own: dict[str, Scalar] = (
        {"net_turbo": False} if params["engine"] == "distributed-llama" else {"split_mode": "layer"}
    )
    # A cell that divides no nodes does not have the axis.
    return {k: v for k, v in (own | params).items() if (k, v) != ("groups", "")}


def _cell(params: Mapping[str, Scalar], results: Sequence[Outcome]) -> CellRecord:
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
    count = int(params["nodes"])
    return CellRecord(
        cell_id=digest[:12],
        params=dict(params),
        identity={"programs": "aa" * 32},
        nodes=tuple(f"pi{index}" for index in range(1, count + 1)),
        unavailable=REASONS["unavailable"] if "unavailable" in results else None,
    )


def _row(
    cell: CellRecord,
    trial_id: str,
    block: int,
    outcome: Outcome,
    sync_share: float | None,
    columns: Mapping[str, Any],
) -> dict[str, Any]:
    state = outcome if isinstance(outcome, str) else "done"
    row: dict[str, Any] = {
        "trial_id": trial_id, "cell_id": cell.cell_id, **cell.params, "repeat": block,
        "block": block, "state": state, "reason": REASONS.get(state), "text_sha256": None,
        "attempt_id": f"{trial_id}-a1" if state == "done" else None,
        "perplexity": None, "flags": None, "decode_tokens_per_s": None,
        "decode_ms_per_token": None, "prompt_tokens_per_s": None, "compute_ms_per_token": None,
        "sync_ms_per_token": None, "sent_kib_per_token": None, "received_kib_per_token": None,
    }  # fmt: skip
    if isinstance(outcome, str):
        return row
    row["decode_tokens_per_s"] = outcome
    row["decode_ms_per_token"] = 1000 / outcome
    row["prompt_tokens_per_s"] = 3 * outcome
    if cell.params["engine"] == "distributed-llama" and sync_share is not None:
        share = 0.0 if cell.params["nodes"] == 1 else sync_share
        others = int(cell.params["nodes"]) - 1
        row["compute_ms_per_token"] = (1 - share) * 1000 / outcome
        row["sync_ms_per_token"] = share * 1000 / outcome
        row["sent_kib_per_token"] = 14.6 * others
        row["received_kib_per_token"] = 13.5 * others + 125 * others / (others + 1)
    for name, value in columns.items():
        row[name] = value(cell.params) if callable(value) else value
    return row


def _attempts(trial_id: str, outcome: Outcome, *, begun_s: float) -> list[dict[str, Any]]:
    if isinstance(outcome, str) and outcome != "failed":
        return []
    is_failed = outcome == "failed"
    return [
        {
            "trial_id": trial_id,
            "attempt_id": f"{trial_id}-a{number}",
            "attempt": number,
            "outcome": "failed" if is_failed else "done",
            "cause": REASONS["failed"] if is_failed else None,
            "started_at": 1_795_400_000.0 + begun_s + 20 * number,
            "trial_wall_s": 15.0,
        }
        for number in ((1, 2) if is_failed else (1,))
    ]


def _facts(index: int, *, is_lab: bool) -> dict[str, Scalar | None]:
    return {
        "machine_id": hashlib.sha256(str(index).encode()).hexdigest()[:32],
        "boot_id": "b007" if is_lab else f"b007-{index}",
        "cpu_model": "Cortex-A76",
        "cores": 4,
        "memory_mib": 8192,
        "kernel": "6.6.51+rpt-rpi-2712",
    }


def frame_of(rows: list[dict[str, Any]], columns: Columns) -> pd.DataFrame:
    """Make a table of the columns that a run's table of that kind has."""
    return pd.DataFrame(rows, columns=list(columns)).astype(dict(columns))
