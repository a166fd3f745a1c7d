"""Machines of known truth, and cells as they would measure them: for tests of the cost model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.model.cost import (
    COMPUTED,
    Coefficient,
    Floats,
    Observation,
    Setting,
    features_of,
    terms_of,
)
from analysis.model.posterior import sum_of
from analysis.model.shapes import shape_named
from analysis.model.wire import Wire
from models.shape import ModelShape, Weights

SYNCED = ("latency", "transfer", "waiting")
Distort = Callable[[Setting, float, float], tuple[float, float]]
"""What the formula does not have: computing and syncing in ms to what they are in truth."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A cluster whose coefficients are known.

    Attributes:
        bandwidth_gbs: of the memory of a node.
        link_mbit: of every link.
        values: coefficients in the units of `analysis.model.cost`.
        scatter: standard deviation of what a cell has of its own, as a logarithm.
        noise: the same of a trial.
    """

    bandwidth_gbs: float
    link_mbit: float
    values: dict[Coefficient, Floats]
    scatter: float = 0.03
    noise: float = 0.02


def as_it_is(_setting: Setting, computed: float, synced: float) -> tuple[float, float]:
    """Nothing that the formula does not have."""
    return computed, synced


def machine(generator: np.random.Generator) -> Machine:
    """Draw a cluster: from a Raspberry Pi to a server, on links of 100 Mbit/s to 10 Gbit/s."""
    bandwidth = float(np.exp(generator.uniform(np.log(3), np.log(60))))
    memory = 1 / bandwidth
    link = float(generator.choice([100, 1000, 2500, 10000]))
    drawn = {
        "memory": memory,
        "arithmetic": memory * np.exp(generator.normal(np.log(0.25), 0.7)),
        "head": 1.0,
        "layer": memory * 100 * np.exp(generator.normal(np.log(0.08), 0.7)),
        "latency": np.exp(generator.normal(np.log(0.06), 0.8)),
        "rate": generator.uniform(0.4, 0.95),
        "waiting": np.exp(generator.normal(np.log(0.06), 0.7)),
        "capacity": 4.0,
        "worker": 1.6,
    }
    values = {name: np.array([float(value)]) for name, value in drawn.items()}
    return Machine(bandwidth, link, values)  # type: ignore[arg-type]


def cells(
    of: Machine,
    counts: Sequence[int],
    models: Sequence[str],
    generator: np.random.Generator,
    *,
    wire: Wire = "mesh2",
    weights: Sequence[Weights] = ("q4_0",),
    trials: int = 5,
    apart: bool = True,
    distort: Distort = as_it_is,
) -> list[Observation]:
    """Measure every model with every type of weights on every number of nodes."""
    settings = [
        Setting(_shape(model), kind, count, wire, link_mbit=of.link_mbit, position=64)
        for model in models
        for kind in weights
        for count in counts
    ]
    names = [model for model in models for _ in weights for _ in counts]
    return [
        _measured(of, setting, name, generator, trials, apart=apart, distort=distort)
        for setting, name in zip(settings, names, strict=True)
    ]


def truth(of: Machine, setting: Setting) -> tuple[float, float]:
    """Milliseconds of computing and of syncing, without any noise."""
    terms = terms_of(of.values, features_of([setting]))
    return float(sum_of(terms, COMPUTED)[0]), float(sum_of(terms, SYNCED)[0])


def _measured(
    of: Machine,
    setting: Setting,
    model: str,
    generator: np.random.Generator,
    trials: int,
    *,
    apart: bool,
    distort: Distort,
) -> Observation:
    computed, synced = distort(setting, *truth(of, setting))
    computed *= np.exp(generator.normal(0, of.scatter))
    synced *= np.exp(generator.normal(0, 3 * of.scatter))
    factors = np.exp(generator.normal(0, of.noise, size=trials))
    middle = float(np.median(factors))
    return Observation(
        setting=setting,
        total_ms=(computed + synced) * middle,
        sync_ms=synced * middle if apart else None,
        error=1.25 * of.noise / trials**0.5,
        label=f"{model}, {setting.nodes}",
        model=model,
    )


def _shape(model: str) -> ModelShape:
    found = shape_named(model)
    if found is None:
        raise ValueError(f"no sizes of {model}")
    return found


def incast(setting: Setting, computed: float, synced: float) -> tuple[float, float]:
    """From eight nodes on, a switch drops what several send at once: syncing takes six times."""
    return computed, synced * (6 if setting.nodes >= 8 else 1)


def throttled(setting: Setting, computed: float, synced: float) -> tuple[float, float]:
    """The eighth node is half as fast; the others wait for it."""
    return (computed, synced + computed) if setting.nodes >= 8 else (computed, synced)


def slow_last(setting: Setting, computed: float, synced: float) -> tuple[float, float]:
    """The last of eight nodes of a chain takes three times as long for its layers."""
    return computed * (1 + 2 / 8 if setting.nodes == 8 else 1.0), synced


def random_ways(setting: Setting, computed: float, synced: float) -> tuple[float, float]:
    """Syncing follows neither steps nor bytes: it rises and falls with the nodes."""
    factor = {1: 1, 2: 3, 4: 0.3, 8: 5, 16: 1}[setting.nodes]
    return computed, synced * factor


def drifting(setting: Setting, computed: float, synced: float) -> tuple[float, float]:
    """Cells with more nodes were measured later, on machines that became slower by 2 % each."""
    slower = 1.02 ** (setting.nodes.bit_length() - 1)
    return slower * computed, slower * synced


def uneven(setting: Setting, computed: float, synced: float) -> tuple[float, float]:
    """Each doubling of nodes brings a slower one, which the others wait for."""
    return computed, synced + 0.04 * computed * np.log2(setting.nodes)
