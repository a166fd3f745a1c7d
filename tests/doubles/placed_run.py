"""A run on named machines: each alone, and all together with each in turn as the root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collect.run import RunManifest
from collect.tables import Tables
from core.record import Scalar
from tests.doubles.gpu_run import PI_5, around
from tests.doubles.run_frames import Outcome, make_frames

DESK, PIS = "desk", ("pi1", "pi2")
FLEET = (DESK, *PIS)
LLAMA = "llama.cpp"
PlacedCell = tuple[str, str, int]
"""Engine, value of the axis `on`, number of nodes."""


def each_and_roots(engine: str = LLAMA) -> dict[PlacedCell, Sequence[Outcome]]:
    """A PC, a Pi, and a slow Pi; together they are slower than the PC, and best with it as root."""
    return {
        (engine, "desk", 1): around(20.0),
        (engine, "pi1", 1): around(5.0),
        (engine, "pi2", 1): around(2.0),
        (engine, "desk+pi1+pi2", 3): around(7.0),
        (engine, "pi1+desk+pi2", 3): around(6.0),
        (engine, "pi2+desk+pi1", 3): around(4.0),
    }


def placed_frames(
    outcomes: Mapping[tuple[Scalar, ...], Sequence[Outcome]]
    | Mapping[PlacedCell, Sequence[Outcome]],
    *,
    axes: Sequence[str] = ("engine", "on", "nodes"),
    fleet: Sequence[str] = FLEET,
    **options: Any,  # noqa: ANN401 - handed on to make_frames
) -> tuple[RunManifest, Tables]:
    """Such a run from the outcome of every trial; cells on `first` take the first of the fleet."""
    run, tables = make_frames(outcomes, axes=axes, **options)
    facts = next(iter(run.nodes.values()))
    boards = {name: PI_5 if name.startswith("pi") else "OptiPlex 7050" for name in fleet}
    cells = tuple(
        cell.model_copy(update={"nodes": _nodes(cell.params, fleet)}) for cell in run.cells
    )
    nodes = {
        name: {
            **facts,
            "boot_id": f"boot of {name}",
            "machine_id": f"machine of {name}",
            "board": boards[name],
        }
        for name in fleet
    }
    return run.model_copy(update={"cells": cells, "nodes": nodes}), tables


def _nodes(params: Mapping[str, Scalar], fleet: Sequence[str]) -> tuple[str, ...]:
    on = str(params.get("on", "first"))
    return tuple(fleet[: int(params["nodes"])]) if on == "first" else tuple(on.split("+"))
