"""The time of a decoded token as a sum of terms, for any number of settings and draws at once.

T = weights / (n x memory bandwidth) + arithmetic + layers x cost + steps x latency
    + bytes / link rate + waiting for the slowest node

Units: milliseconds, megabytes (10^6), Mbit/s. docs/cost-model.md explains each term.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from analysis.model.wire import (
    Exchanged,
    Wire,
    computes_elsewhere,
    exchanged_with,
    is_chain,
    root_has_classifier,
    traffic,
)
from models.shape import ModelShape, Weights, packed_bytes

Floats: TypeAlias = npt.NDArray[np.float64]
Term: TypeAlias = Literal["memory", "computing", "latency", "transfer", "waiting"]
TERMS: tuple[Term, ...] = get_args(Term)
COMPUTED: tuple[Term, ...] = ("memory", "computing")
"""Terms of the root's own work; the others are of the nodes' synchronising."""
MB = 1e6
CACHE_BYTES = 4
"""Of a value of the KV cache."""
USUAL_LINK_MBIT = 1000.0
"""Rate of a link that is not known: what it loses or gains is fitted, too."""

Coefficient: TypeAlias = Literal[
    "memory", "arithmetic", "head", "layer", "latency", "rate", "waiting", "capacity", "worker"
]
COEFFICIENTS: tuple[Coefficient, ...] = get_args(Coefficient)
"""memory: ms for a MB of weights. arithmetic: ms for the arithmetic on what is a MB as q4_0.
head: how many times longer the root alone takes for the logits than for as many other weights.
layer: ms for a layer. latency: ms for a step. rate: share of the link's rate that is reached.
waiting: how much longer than the root's the slowest slice takes, as a share. capacity: how many
nodes' work the one machine that they share does at once. worker: how many times longer a worker
over RPC takes for the same weights than the engine's own program on one node."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a token's time depends on.

    Attributes:
        shape: of the model.
        weights: their type.
        nodes: how many take part.
        wire: how they exchange.
        exchanged: type of exchanged values; None for that which belongs to the weights.
        link_mbit: rate of the links; None where it is not known.
        delay_ms: added to a round trip between two nodes.
        position: tokens in the KV cache, on average over the decoded ones.
        slowness: time of each node for the same work relative to the first measured one, root
            first; empty where all are alike or nothing is known.
        shared: the nodes are virtual ones of one machine.
        memory_gain: how many times faster the memory is than that of the fit.
        compute_gain: the same for arithmetic and cost of layers.
        latency_gain: the same for the latency of a step.
        names: of the machines that take part, root first; those that are not known are left out.
            The time depends on their slowness alone.
    """

    shape: ModelShape
    weights: Weights
    nodes: int
    wire: Wire
    exchanged: Exchanged | None = None
    link_mbit: float | None = None
    delay_ms: float = 0.0
    position: float = 0.0
    slowness: tuple[float, ...] = ()
    shared: bool = False
    memory_gain: float = 1.0
    compute_gain: float = 1.0
    latency_gain: float = 1.0
    names: tuple[str, ...] = ()

    @property
    def sends(self) -> Exchanged:
        """The type of exchanged values."""
        return self.exchanged or exchanged_with(self.weights)


@dataclass(frozen=True, slots=True)
class Features:
    """What the formula needs of settings, a value each.

    Attributes:
        nodes: how many share the work that is shared.
        split_mb: MB that they read together.
        root_mb: MB that the root reads alone.
        split_q4: arithmetic that they share, in MB that its weights take as q4_0.
        root_q4: arithmetic of the root alone.
        layers: of the model.
        steps: messages that are waited for.
        delay_ms: what links add to these altogether.
        line_kbit: kilobits that pass the busiest link.
        link_mbit: its rate.
        root_slowness: of the root, or of the mean node of a chain.
        lag: how much slower than the root the slowest node is, from measurements of each.
        others: 1 where there are other nodes to wait for, else 0.
        shared: 1 where the nodes share a machine, else 0.
        elsewhere: 1 where workers compute what the root's own program computes on one node, else 0.
        memory_gain: as in `Setting`, like the next two.
    """

    nodes: Floats
    split_mb: Floats
    root_mb: Floats
    split_q4: Floats
    root_q4: Floats
    layers: Floats
    steps: Floats
    delay_ms: Floats
    line_kbit: Floats
    link_mbit: Floats
    root_slowness: Floats
    lag: Floats
    others: Floats
    shared: Floats
    elsewhere: Floats
    memory_gain: Floats
    compute_gain: Floats
    latency_gain: Floats


FEATURES = tuple(part.name for part in fields(Features))


def features_of(settings: Sequence[Setting]) -> Features:
    """Work out what the formula needs of settings."""
    rows = [features_of_one(setting) for setting in settings]
    return Features(**{name: np.array([row[name] for row in rows]) for name in FEATURES})


def features_of_one(setting: Setting) -> dict[str, float]:
    """Name of a feature to its value, of one setting."""
    shape, nodes = setting.shape, setting.nodes
    moved = traffic(setting.wire, shape, nodes, setting.sends)
    classifier = shape.vocab * shape.dim
    shared_values = shape.layers * shape.layer_matrix_values
    alone = classifier if root_has_classifier(setting.wire) else 0
    shared_values += classifier - alone
    cache = 2 * shape.layers * shape.kv_dim * CACHE_BYTES * setting.position
    root, lag = _pace(setting)
    return {
        "nodes": 1.0 if is_chain(setting.wire) else float(nodes),
        "split_mb": (packed_bytes(shared_values, setting.weights) + cache) / MB,
        "root_mb": packed_bytes(alone, setting.weights) / MB,
        "split_q4": packed_bytes(shared_values, "q4_0") / MB,
        "root_q4": packed_bytes(alone, "q4_0") / MB,
        "layers": float(shape.layers),
        "steps": float(moved.steps),
        "delay_ms": moved.remote_steps * setting.delay_ms / 2,
        "line_kbit": moved.line_bytes * 8 / 1000,
        "link_mbit": setting.link_mbit or USUAL_LINK_MBIT,
        "root_slowness": root,
        "lag": lag,
        "others": float(nodes > 1 and not is_chain(setting.wire)),
        "shared": float(setting.shared),
        "elsewhere": float(nodes > 1 and computes_elsewhere(setting.wire)),
        "memory_gain": setting.memory_gain,
        "compute_gain": setting.compute_gain,
        "latency_gain": setting.latency_gain,
    }


def _pace(setting: Setting) -> tuple[float, float]:
    """How slow the root is, and by how much more the slowest node: of a chain, the mean and 0."""
    if not setting.slowness:
        return 1.0, 0.0
    if is_chain(setting.wire):
        return sum(setting.slowness) / len(setting.slowness), 0.0
    root = setting.slowness[0]
    return root, max(setting.slowness) - root


class Formula:
    """The formula for some settings.

    A fit asks it thousands of times, so what changes nothing in any of the settings is left out
    once: a gain of 1, a delay of 0.

    Args:
        of: the settings.
    """

    def __init__(self, of: Features) -> None:
        self._of = of
        self._is_shared = bool(np.any(of.shared > 0))
        self._is_elsewhere = bool(np.any(of.elsewhere > 0))
        self._is_delayed = bool(np.any(of.delay_ms))
        self._memory_gain = _unless_one(of.memory_gain)
        self._compute_gain = _unless_one(of.compute_gain)
        self._latency_gain = _unless_one(of.latency_gain)

    def terms(self, values: Mapping[Coefficient, Floats]) -> dict[Term, Floats]:
        """Milliseconds of each term.

        Args:
            values: coefficients, each an array whose last axis is 1 long.

        Returns:
            Term to an array whose last axis is that of the settings.
        """
        of, pace = self._of, self._of.root_slowness
        at_once = of.nodes
        if self._is_shared:
            at_once = np.where(of.shared > 0, np.minimum(of.nodes, values["capacity"]), of.nodes)
        reading, counting = values["memory"], values["arithmetic"]
        if self._is_elsewhere:
            slower = np.where(of.elsewhere > 0, values["worker"], 1.0)
            reading, counting = reading * slower, counting * slower
        reading, counting = _over(reading, self._memory_gain), _over(counting, self._compute_gain)
        split_memory, split_sum = reading * of.split_mb / at_once, counting * of.split_q4 / at_once
        layers = _over(values["layer"] * of.layers, self._compute_gain)
        return {
            "memory": pace * (split_memory + reading * of.root_mb * values["head"]),
            "computing": pace * (split_sum + counting * of.root_q4 * values["head"] + layers),
            "latency": self._latency(values["latency"], at_once),
            "transfer": of.line_kbit / (of.link_mbit * values["rate"]),
            "waiting": of.others * (split_memory + split_sum) * (of.lag + values["waiting"] * pace),
        }

    def _latency(self, value: Floats, at_once: Floats) -> Floats:
        """Milliseconds of the latency of all steps."""
        waited = value * self._of.steps
        if self._is_shared:
            waited = waited * (self._of.nodes / at_once)
        waited = _over(waited, self._latency_gain)
        return waited + self._of.delay_ms if self._is_delayed else waited


def _unless_one(factor: Floats) -> Floats | None:
    """A factor of settings; None where it is 1 in all."""
    return factor if np.any(factor != 1) else None


def _over(value: Floats, divisor: Floats | None) -> Floats:
    return value if divisor is None else value / divisor


def terms_of(values: Mapping[Coefficient, Floats], of: Features) -> dict[Term, Floats]:
    """Milliseconds of each term; see `Formula`, which is made once for many calls."""
    return Formula(of).terms(values)


@dataclass(frozen=True, slots=True)
class Observation:
    """A measured cell.

    Attributes:
        setting: what was measured.
        total_ms: of a decoded token.
        sync_ms: the part of it that the engine reports as synchronising; None where it does not.
        error: standard error of the logarithm of these; 0 where it is not known.
        label: of the cell, for tables.
        model: its name.
        trials: how many its times are medians of; 0 where that is not known.
    """

    setting: Setting
    total_ms: float
    sync_ms: float | None = None
    error: float = 0.0
    label: str = ""
    model: str = ""
    trials: int = 0

    @property
    def has_parts(self) -> bool:
        """Whether computing and synchronising are known apart."""
        return self.sync_ms is not None and 0 <= self.sync_ms < self.total_ms
