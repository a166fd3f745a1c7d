"""A run whose speeds follow from machines of known truth, so that a fit of it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.model.cost import Setting
from analysis.study import Study, study_of
from collect.run import RunManifest
from collect.tables import Tables
from models.catalogue import load_catalogue
from tests.doubles.known_machines import Machine, machine, truth
from tests.doubles.run_frames import make_frames

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"
MODEL, SMALL = "llama3.1-8b-instruct", "llama3.2-1b-instruct"
WIRES: Mapping[str, Any] = {DLLAMA: "mesh2", LLAMA: "chain_client"}


def a_machine(seed: int = 1, **values: float) -> Machine:
    """A cluster with known coefficients and links of 1000 Mbit/s."""
    found = machine(np.random.default_rng(seed))
    changed = {name: np.array([value]) for name, value in values.items()}
    return replace(found, link_mbit=1000.0, values={**found.values, **changed}, noise=0.01)  # type: ignore[dict-item]


def predicted_frames(
    of: Machine,
    *,
    engines: Sequence[str] = (DLLAMA,),
    models: Sequence[str] = (MODEL,),
    weights: Sequence[str] = ("q4_0",),
    counts: Sequence[int] = (1, 2, 4, 8),
    trials: int = 6,
    scatter: float = 0.01,
    seed: int = 1,
    slow: Mapping[int, float] | None = None,
    **options: Any,  # noqa: ANN401 - handed on to make_frames
) -> tuple[RunManifest, Tables]:
    """Measure every model on every number of nodes.

    Args:
        of: the machines.
        slow: number of nodes to how many times longer a token takes than the formula has it.
    """
    generator = np.random.default_rng(seed)
    outcomes = {}
    for engine in engines:
        for model in models:
            for kind in weights:
                for count in counts:
                    own = np.exp(generator.normal(0, scatter)) * (slow or {}).get(count, 1.0)
                    ms = own * _ms(of, engine, model, kind, count)
                    noise = np.exp(generator.normal(0, of.noise, size=trials))
                    rates = [1000 / float(ms * one) for one in noise]
                    outcomes[engine, model, kind, count] = rates
    axes = ("engine", "model", "weights", "nodes")
    return make_frames(outcomes, axes=axes, sync_share=None, **options)


def _ms(of: Machine, engine: str, model: str, kind: Any, count: int) -> float:  # noqa: ANN401
    shape = load_catalogue().get(model).shape
    setting = Setting(shape, kind, count, WIRES[engine], link_mbit=of.link_mbit, position=64)
    return sum(truth(of, setting))


def predicted_study(of: Machine | None = None, **options: Any) -> Study:  # noqa: ANN401
    """The study of such a run."""
    return study_of(*predicted_frames(of or a_machine(), **options))
