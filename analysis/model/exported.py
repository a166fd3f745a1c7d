"""A fit as JSON, for a page that evaluates the same formula (`formula.js`) without Python.

The traffic and the sizes are worked out here, for each number of nodes, so that the page has the
sum of terms alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from analysis.model.cost import COEFFICIENTS, Floats, Setting, features_of_one
from analysis.model.fit import TAILS, CostFit
from analysis.model.predict import beyond
from analysis.model.wire import limit
from models.shape import ModelShape, Weights

DIGITS = 7
Json: TypeAlias = dict[str, Any]


def to_json(
    fit: CostFit,
    models: dict[str, ModelShape],
    weights: Sequence[Weights],
    counts: Iterable[int] = (1, 2, 4, 8, 16),
) -> Json:
    """Make of a fit what a page needs to predict.

    Args:
        fit: one that holds.
        models: name to sizes of those that the page offers.
        weights: types that it offers.
        counts: numbers of nodes that it offers.

    Returns:
        `coefficients` and `noise` (a list of draws each), `tails` (ends of the interval),
        `choices` (a list: model, weights, nodes, `features`, `limit` (why it cannot be; null),
        `beyond` (what was not measured)), `version`, `wire`, `device`, `median_error`, `coverage`.
    """
    usual = fit.observations[0].setting
    links = [one.setting.link_mbit for one in fit.observations if one.setting.link_mbit]
    base = replace(usual, slowness=(), link_mbit=max(links) if links else None, delay_ms=0.0)
    counts = tuple(counts)
    return {
        "format": 1,
        "version": fit.version,
        "wire": usual.wire,
        "device": fit.device,
        "median_error": _rounded(fit.median_error),
        "coverage": _rounded(fit.coverage),
        "tails": list(TAILS),
        "coefficients": {name: _list(fit.draws[name]) for name in COEFFICIENTS},
        "noise": {"computing": _list(fit.noise[0]), "syncing": _list(fit.noise[1])},
        "choices": [
            _choice(
                fit, name, replace(base, shape=shape, weights=kind, exchanged=None, nodes=count)
            )
            for name, shape in models.items()
            for kind in weights
            for count in counts
        ],
    }


def _choice(fit: CostFit, model: str, setting: Setting) -> Json:
    reason = limit(setting.wire, setting.shape, setting.weights, setting.nodes)
    return {
        "model": model,
        "weights": setting.weights,
        "nodes": setting.nodes,
        "limit": reason,
        "beyond": [str(one) for one in beyond(fit, setting)],
        "features": {name: _rounded(value) for name, value in features_of_one(setting).items()},
    }


def _list(values: Floats) -> list[float]:
    return [_rounded(value) for value in np.ravel(values)]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
