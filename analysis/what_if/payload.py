"""What the panel of a page needs to answer questions by the same formula (`formula.js`).

Traffic, sizes and limits are worked out here, for each model, type of weights and number of nodes.
So the page adds up terms, and knows no engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from analysis.model.bound import anchor_of
from analysis.model.cost import (
    COEFFICIENTS,
    FEATURES,
    Floats,
    Observation,
    Setting,
    features_of_one,
)
from analysis.model.fit import TAILS, CostFit
from analysis.model.predict import (
    FASTER,
    HARDLY,
    MOST_GAIN,
    NO_LINK,
    OTHER_LATENCY,
    OTHER_LINK,
    beyond,
)
from analysis.text.sentence import say, verbatim
from analysis.text.wording import plural
from analysis.what_if.answer import cannot, measured_range, offered
from analysis.what_if.basis import MOST_SHOWN, Basis
from analysis.what_if.supposed import (
    LEAST_GAIN,
    LEAST_RATE,
    LEAST_TIMES,
    MOST_RATE,
    MOST_TIMES,
    Supposed,
    setting_of,
)
from core.foreign import visible
from models.shape import Weights

DIGITS = 8
"""Of what is no draw."""
MOST_COUNT = 16
"""Nodes up to which the page offers each number; beyond, doublings up to twice the measured."""
MOST_CHOICES = 600
"""Of a page. Where there are more, it offers doublings only, and then fewer models."""
Json: TypeAlias = dict[str, Any]
WORDS: Json = {
    "form": "What if",
    "fit": "Engine",
    "model": "Model",
    "weights": "Weights",
    "nodes": "Nodes",
    "link": "Links, Mbit/s",
    "link_times": "Links, times as fast as now",
    "latency": "Latency of a step, times that of now",
    "memory": "Memory, times as fast as now",
    "processor": "Processors, times as fast as now",
    "root": "Root",
    "slider": "slider",
    "reset": "As measured",
    "refused": "Not fitted.",
    "cannot": "This cannot run:",
    "wrong": "{name}: it must be a number from {least} to {most}.",
    "no_choice": "Nodes: {nodes} is not offered here. Ask fab what-if.",
    "time": "{ms} ms per token",
    "interval": "(90 % interval: {low} to {high})",
    "rate": "{rate} tokens/s ({slow} to {fast})",
    "against": (
        "{times} times as fast ({least} to {most}) as the formula has the fastest measured cell of "
        "the model, {best_nodes} with {best_weights} weights ({best} ms were measured)."
    ),
    "held": (
        "The formula alone gives {alone} ms ({from} to {to}), partly by saving more than all the "
        "waiting that the engine reports here."
    ),
    "term": "{term} {ms} ms",
    "terms": {
        "memory": "memory",
        "computing": "computing",
        "latency": "latency",
        "transfer": "transfer",
        "waiting": "waiting for the slowest node",
    },
    "extrapolation": "Extrapolation: {why}.",
}
"""What the panel says."""
VALUES = 2
"""Place of the features in a choice."""
LEFT_OUT = "{n}: ask fab what-if."
PACE = ("root_slowness", "lag")
"""Features that depend on which machine is the root."""


@dataclass(slots=True)
class _Pool:
    """Texts, each once, by their place."""

    texts: dict[str, int] = field(default_factory=dict)

    def place(self, text: str) -> int:
        """The place of a text."""
        return self.texts.setdefault(visible(text), len(self.texts))


def payload_of(bases: Sequence[Basis]) -> Json:
    """Make what a page needs.

    Args:
        bases: of a run, with fits that may be used and others.

    Returns:
        `fits` (a list: `name`, `draws`, `choices` …, or `refused` instead), `texts`, to which
        choices refer by their place.
    """
    pool = _Pool()
    room = MOST_CHOICES // max(1, sum(basis.usable is not None for basis in bases[:MOST_SHOWN]))
    return {
        "tails": list(TAILS),
        "hardly": HARDLY,
        "fits": [_fit(basis, pool, room) for basis in bases[:MOST_SHOWN]],
        "texts": list(pool.texts),
        "ranges": {
            "gain": [LEAST_GAIN, MOST_GAIN],
            "rate": [LEAST_RATE, MOST_RATE],
            "times": [LEAST_TIMES, MOST_TIMES],
            "latency": [LEAST_TIMES, MOST_TIMES],
        },
        "words": WORDS,
        "faster": FASTER,
        "other_latency": OTHER_LATENCY,
        "other_link": OTHER_LINK,
        "no_link": NO_LINK,
    }


def _fit(basis: Basis, pool: _Pool, room: int) -> Json:
    fit = basis.usable
    if fit is None:
        return {"name": _name(basis.name), "refused": [visible(why) for why in basis.refusals]}
    links = [one.setting.link_mbit for one in basis.measured if one.setting.link_mbit]
    models, left_out = _models(basis, fit, pool, room)
    names, usual = _shorten([choice for one in models for choice in one["choices"]])
    return {
        "name": _name(basis.name),
        "coefficients": {name: _list(fit.draws[name]) for name in COEFFICIENTS},
        "noise": {
            "computing": _list(fit.noise[0]),
            "syncing": _list(fit.noise[1]),
            "strays": _list(fit.strays),
        },
        "measured": measured_range(basis),
        "links": [min(links), max(links)] if links else None,
        "roots": [_name(name) for name in basis.nodes] if basis.slowness else [],
        "features": [verbatim(name) for name in names],
        "same": usual,
        "models": models,
        "left_out": say(LEFT_OUT, n=plural(left_out, "more model")) if left_out else "",
    }


def _models(basis: Basis, fit: CostFit, pool: _Pool, room: int) -> tuple[list[Json], int]:
    """What each model offers, and how many models are left out for want of room."""
    starts = [best for model in basis.models if (best := basis.best(model)) is not None]
    kinds = [offered(basis, best.setting) for best in starts]
    counts = offered_counts(fit)
    if sum(map(len, kinds)) * len(counts) > room:
        counts = tuple(count for count in counts if count in fit.counts or _is_doubling(count))
    most = max(1, room // (len(counts) * max(map(len, kinds))))
    made = [
        _model(basis, fit, best, [(kind, count) for kind in own for count in counts], pool)
        for best, own in zip(starts[:most], kinds, strict=False)
    ]
    return made, len(starts) - len(made)


def _is_doubling(count: int) -> bool:
    return count & (count - 1) == 0


def _model(
    basis: Basis,
    fit: CostFit,
    best: Observation,
    wanted: Sequence[tuple[Weights, int]],
    pool: _Pool,
) -> Json:
    start = best.setting
    asked = [Supposed(model=best.model, nodes=count, weights=kind) for kind, count in wanted]
    return {
        "name": _name(best.model),
        "best": [
            start.nodes,
            verbatim(start.weights),
            _rounded(best.total_ms),
            visible(basis.who(start)),
        ],
        "root": basis.nodes.index(basis.lineup(start, 1, None)[0]) if basis.nodes else 0,
        "link": basis.link_mbit(start),
        "choices": [_choice(basis, fit, one, pool) for one in asked],
    }


def offered_counts(fit: CostFit) -> tuple[int, ...]:
    """Numbers of nodes that the page offers, where it has room."""
    most = 2 * fit.counts[-1]
    doublings = [2**power for power in range(5, most.bit_length()) if 2**power <= most]
    return tuple(sorted({*range(1, MOST_COUNT + 1), *fit.counts, *doublings}))


def _shorten(choices: Sequence[list[Any]]) -> tuple[list[str], dict[str, float]]:
    """Keep of the features of choices those that differ; return their names, and the others."""
    given = [choice[VALUES] for choice in choices if choice[VALUES]]
    columns = list(zip(*given, strict=True))
    same = {at: column[0] for at, column in enumerate(columns) if len(set(column)) == 1}
    for values in given:
        values[:] = [value for at, value in enumerate(values) if at not in same]
    names = [name for at, name in enumerate(FEATURES) if at not in same]
    return names, {FEATURES[at]: value for at, value in same.items()}


def _choice(basis: Basis, fit: CostFit, asked: Supposed, pool: _Pool) -> list[Any]:
    """Make `[weights, nodes, features, why it cannot run or -1, what was not measured, roots, …]`.

    The last but one is how often the measured numbers of nodes must be doubled to get there, the
    last what is known of the engine's computing: with each root, or once.
    """
    setting = setting_of(basis, asked)
    reason = cannot(basis, fit, setting)
    values = {} if reason else features_of_one(setting)
    return [
        verbatim(setting.weights),
        setting.nodes,
        [_rounded(values[name]) for name in FEATURES] if values else [],
        pool.place(reason) if reason else -1,
        [] if reason else [pool.place(told) for told in beyond(fit, setting)],
        [] if reason else _paces(basis, asked),
        _rounded(fit.doublings(setting)),
        [] if reason else [_computed(fit, one) for one in _rooted(basis, asked) or [setting]],
    ]


def _rooted(basis: Basis, asked: Supposed) -> list[Setting]:
    """The same setting with each machine as the root; none where machines are alike."""
    if not basis.slowness:
        return []
    return [
        setting_of(basis, Supposed(asked.model, asked.nodes, asked.weights, root=name))
        for name in basis.nodes
    ]


def _paces(basis: Basis, asked: Supposed) -> list[list[float]]:
    """`root_slowness` and `lag` with each machine as the root."""
    found = [features_of_one(setting) for setting in _rooted(basis, asked)]
    return [[_rounded(values[name]) for name in PACE] for values in found]


def _name(text: str) -> str:
    """A name, which is the same in every language: the script finds things by it."""
    return verbatim(visible(text))


def _computed(fit: CostFit, setting: Setting) -> list[Any]:
    """Share of a measured cell that is computing, and in what else that cell differs; or nothing.

    The cell is on the same machines (`anchor_of`), so its other features are those of the setting.
    """
    anchor = anchor_of(fit, setting)
    if anchor is None:
        return []
    here, there = features_of_one(setting), features_of_one(anchor.cell.setting)
    differ = {
        name: _rounded(there[name])
        for name in FEATURES
        if name not in PACE and _rounded(there[name]) != _rounded(here[name])
    }
    return [_rounded(anchor.computed), differ]


def _list(values: Floats) -> list[float]:
    return [float(value) for value in np.ravel(values)]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
