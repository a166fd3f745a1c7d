"""A run of a PC with a GPU and of Raspberry Pis: the GPU alone, with Pis, and each without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from collect.cells import CellRecord
from collect.columns import NODES, NODES_ON_GPUS
from collect.run import RunManifest
from collect.tables import Tables
from core.record import Scalar
from tests.doubles.run_frames import Outcome, make_frames

PC, PIS = "desk", ("pi1", "pi2", "pi3", "pi4")
HARDWARE, SOFTWARE = "NVIDIA GeForce RTX 3060", "llvmpipe (LLVM 15.0.6, 256 bits)"
CLUSTER, PI_GROUP = "cluster", "raspberry_pis"
PI_5 = "Raspberry Pi 5 Model B Rev 1.0"
LLAMA, DLLAMA = "llama.cpp", "distributed-llama"
GpuCell = tuple[str, str, str, int]
"""Engine, device, group and number of nodes."""


def around(speed: float, trials: int = 6) -> list[float]:
    """Tokens/s of some trials."""
    return [round(speed * (1 + (step - 2.5) / 250), 4) for step in range(trials)]


def pc_and_pis(engine: str = LLAMA) -> dict[GpuCell, Sequence[Outcome]]:
    """A GPU that is held back by Pis, of which each helps the others."""
    return {
        (engine, "gpu", CLUSTER, 1): around(45.0),
        (engine, "gpu", CLUSTER, 2): around(14.0),
        (engine, "gpu", CLUSTER, 3): around(13.2),
        (engine, "gpu", CLUSTER, 5): ["unavailable"] * 6,
        (engine, "cpu", CLUSTER, 1): around(9.0),
        (engine, "cpu", PI_GROUP, 1): around(2.0),
        (engine, "cpu", PI_GROUP, 2): around(3.1),
        (engine, "cpu", PI_GROUP, 4): around(4.6),
    }


def gpu_frames(
    outcomes: Mapping[GpuCell, Sequence[Outcome]],
    *,
    gpus: Mapping[str, str] | None = None,
    software: Sequence[str] = (),
    boards: Mapping[str, str | None] | None = None,
) -> tuple[RunManifest, Tables]:
    """Such a run from the outcome of every trial.

    Args:
        outcomes: cells to their trials' outcomes, by block.
        gpus: node to its GPU's name; the PC's by default.
        software: the nodes whose GPU is software.
        boards: node to its board; one kind of Raspberry Pi by default.
    """
    gpus = {PC: HARDWARE} if gpus is None else gpus
    run, tables = make_frames(outcomes, axes=("engine", "device", "group", "nodes"))
    cells = tuple(cell.model_copy(update={"nodes": _nodes(cell)}) for cell in run.cells)
    boards = {PC: "OptiPlex 7050", **dict.fromkeys(PIS, PI_5), **(boards or {})}
    facts = next(iter(run.nodes.values()))
    nodes = {name: _facts(facts, name, boards[name]) for name in (PC, *PIS)}
    return run.model_copy(update={"cells": cells, "nodes": nodes}), replace(
        tables, nodes=_readings(cells, tables.trials, gpus, software)
    )


def _nodes(cell: CellRecord) -> tuple[str, ...]:
    names = PIS if cell.params["group"] == PI_GROUP else (PC, *PIS)
    return names[: int(cell.params["nodes"])]


def _facts(
    facts: Mapping[str, Scalar | None], name: str, board: str | None
) -> dict[str, Scalar | None]:
    ids = {"boot_id": f"boot of {name}", "machine_id": f"machine of {name}"}
    return {**facts, **ids, "board": board}


def _readings(
    cells: Sequence[CellRecord],
    trials: pd.DataFrame,
    gpus: Mapping[str, str],
    software: Sequence[str],
) -> pd.DataFrame:
    by_id = {cell.cell_id: cell for cell in cells}
    rows = []
    for trial in trials[trials["state"] == "done"].to_dict("records"):
        cell = by_id[trial["cell_id"]]
        for name in cell.nodes:
            row = {"trial_id": trial["trial_id"], "attempt_id": trial["attempt_id"], "node": name}
            if cell.params["device"] == "gpu" and name in gpus:
                row |= {"gpu": gpus[name], "gpu_is_software": name in software}
            rows.append(row)
    return pd.DataFrame(rows, columns=[*NODES, *NODES_ON_GPUS])
