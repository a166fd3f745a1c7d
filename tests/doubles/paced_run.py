"""A run on machines of known truth that differ: each alone, and together in several orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.model.cost import Setting
from collect.run import RunManifest
from collect.tables import Tables
from core.record import Scalar
from models.catalogue import load_catalogue
from tests.doubles.known_machines import truth
from tests.doubles.placed_run import placed_frames
from tests.doubles.predicted_run import DLLAMA, LLAMA, MODEL, WIRES, a_machine
from tests.doubles.run_frames import Outcome

FLEET = ("pi1", "desk", "pi2", "pi3")
"""In the order of the inventory: the first is not the fastest."""
SLOWNESS = {"pi1": 1.0, "desk": 0.25, "pi2": 1.05, "pi3": 1.6}
PLACES: Mapping[str, Sequence[str]] = {
    DLLAMA: ("pi1+desk", "desk+pi1", "pi1+desk+pi2+pi3", "desk+pi1+pi2+pi3"),
    LLAMA: ("pi1+desk", "pi1+desk+pi2", "desk+pi1+pi2", "pi1+desk+pi2+pi3"),
}


def paced_frames(
    engines: Sequence[str] = (DLLAMA,), memory_mib: Mapping[str, int] | None = None
) -> tuple[RunManifest, Tables]:
    """Such a run, as a matrix with `on: [each, ...]` makes it.

    Args:
        engines: that are measured.
        memory_mib: of machines that have another size than the rest.
    """
    generator = np.random.default_rng(1)
    of, shape = a_machine(), load_catalogue().get(MODEL).shape
    outcomes: dict[tuple[Scalar, ...], list[Outcome]] = {}
    for engine in engines:
        for on in (*FLEET, *PLACES[engine]):
            names = on.split("+")
            pace = tuple(SLOWNESS[name] for name in names)
            setting = Setting(
                shape, "q4_0", len(names), WIRES[engine],
                link_mbit=of.link_mbit, position=64, slowness=pace,
            )  # fmt: skip
            ms = sum(truth(of, setting)) * np.exp(generator.normal(0, 0.01, size=6))
            outcomes[engine, MODEL, "q4_0", on, len(names)] = [float(1000 / one) for one in ms]
    axes = ("engine", "model", "weights", "on", "nodes")
    run, tables = placed_frames(outcomes, axes=axes, fleet=FLEET, sync_share=None)
    sizes = memory_mib or {}
    nodes = {
        name: {**facts, "memory_mib": sizes.get(name, facts["memory_mib"])}
        for name, facts in run.nodes.items()
    }
    return run.model_copy(update={"nodes": nodes}), tables
