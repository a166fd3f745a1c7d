"""A run on machines of known truth: its times follow the cost model, or do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.model.cost import Setting
from analysis.model.wire import Wire, exchanged_with
from collect.run import RunManifest
from collect.tables import Tables
from core.record import Scalar
from models.catalogue import load_catalogue
from tests.doubles.known_machines import Distort, Machine, truth
from tests.doubles.run_frames import make_frames

MODEL = "llama3.1-8b-instruct"
ENGINE = "distributed-llama"
TRIALS = 6


def cost_frames(
    of: Machine,
    counts: Sequence[int] = (1, 2, 4, 8),
    models: Sequence[str] = (MODEL,),
    *,
    wire: Wire = "mesh2",
    engine: str = ENGINE,
    seed: int = 1,
    trials: int = TRIALS,
    distort: Distort = lambda _setting, computed, synced: (computed, synced),
    **options: Any,  # noqa: ANN401 - handed on to make_frames
) -> tuple[RunManifest, Tables]:
    """Measure models on numbers of nodes, several trials a cell."""
    generator = np.random.default_rng(seed)
    outcomes: dict[tuple[Any, ...], list[float]] = {}
    synced: dict[tuple[str, int], float] = {}
    for model in models:
        shape = load_catalogue().get(model).shape
        for count in counts:
            setting = Setting(
                shape, "q4_0", count, wire, exchanged_with("q4_0"), of.link_mbit, position=64
            )
            computing, syncing = distort(setting, *truth(of, setting))
            total = (computing + syncing) * np.exp(generator.normal(0, of.scatter))
            synced[model, count] = syncing / (computing + syncing)
            times = total * np.exp(generator.normal(0, of.noise, size=trials))
            outcomes[engine, model, count, "q4_0"] = [float(1000 / time) for time in times]

    def share(params: Mapping[str, Scalar]) -> float:
        return synced[str(params["model"]), int(params["nodes"])]

    columns: dict[str, Any] = {"prompt_tokens": 32, "generated_tokens": 64}
    if wire != "chain_client":
        columns |= {"sync_share_low": share, "sync_share_high": share}
    run, tables = make_frames(
        outcomes,
        axes=("engine", "model", "nodes", "weights"),
        link_mbit=of.link_mbit,
        columns=columns,
        **options,
    )
    rows = tables.trials
    if wire != "chain_client":
        shares = [synced[m, n] for m, n in zip(rows["model"], rows["nodes"], strict=True)]
        rows["sync_ms_per_token"] = rows["decode_ms_per_token"] * shares
        rows["compute_ms_per_token"] = rows["decode_ms_per_token"] - rows["sync_ms_per_token"]
    return run, tables


def waiting_less(setting: Setting, computed: float, synced: float) -> tuple[float, float]:
    """On eight nodes the engine reports less waiting than the formula has: no link saves more."""
    share = 0.4 if setting.nodes == 8 else 1.0
    return computed + (1 - share) * synced, share * synced
