"""What is believed of coefficients before a fit, and how well they describe what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from analysis.model.cost import (
    COEFFICIENTS,
    COMPUTED,
    TERMS,
    Coefficient,
    Features,
    Floats,
    Formula,
    Observation,
    Term,
    features_of,
)

DEGREES = 5.0
"""Of Student's t for what the formula leaves of a logarithm."""
NOISES = ("noise_total", "noise_sync")
"""What the formula leaves of a total (or of computing, where it is known apart), and of syncing."""
ELSEWHERE: Coefficient = "worker"
"""The last coefficient: points have it only where something is computed elsewhere."""
RATE = COEFFICIENTS.index("rate")
LINK_LIMIT = 0.05
"""How far above a link's rate a fit may go, in logarithms, where the rate is known."""


@dataclass(frozen=True, slots=True)
class Prior:
    """A log-normal belief.

    Attributes:
        median: of the coefficient, in its unit.
        spread: standard deviation of its natural logarithm.
        source: where it comes from, in words.
    """

    median: float
    spread: float
    source: str = "usual machines"


Priors = Mapping[str, Prior]
CLASS_PRIORS: Priors = {
    "memory": Prior(0.1, 2.0),
    "arithmetic": Prior(0.3, 1.2),
    "head": Prior(1.5, 0.7),
    "layer": Prior(0.08, 1.2),
    "latency": Prior(0.06, 1.5),
    "rate": Prior(0.6, 0.5),
    "waiting": Prior(0.08, 1.2),
    "capacity": Prior(4.0, 1.0),
    "worker": Prior(1.5, 0.35),
    "noise_total": Prior(0.035, 0.8),
    "noise_sync": Prior(0.12, 0.8),
}
"""memory: 10 GB/s, between 0.2 and 500. arithmetic and layer: shares of the time in which memory
reads the same weights as q4_0, and a layer. latency: 0.06 ms for a step. rate: a share of the
link's. worker: a worker over RPC may lack the order of weights that suits a processor's
vectors."""
UNKNOWN_LINK = Prior(0.6, 1.5)


@dataclass(frozen=True, slots=True)
class Problem:
    """Observations as arrays, with what is believed beforehand.

    Attributes:
        of: their settings.
        formula: for these.
        total: logarithms of the totals; of computing alone where it is known apart.
        sync: logarithms of syncing; 0 where it is not known or there is none.
        has_parts: 1 where computing is known apart.
        has_sync: 1 where syncing is known and takes time.
        error: standard errors of the logarithms; one alone where all are the same.
        layer_mb: MB of a usual layer, to which the prior of a layer's cost refers.
        priors: of coefficients and noises.
        links_known: rates of links are known, and cannot be exceeded.
        middle: logarithms of the priors' medians, in the order of `dimensions_of`.
        spread: of the priors, in the same order.
    """

    of: Features
    formula: Formula
    total: Floats
    sync: Floats
    has_parts: Floats
    has_sync: Floats
    error: Floats
    layer_mb: float
    priors: Priors
    links_known: bool
    middle: Floats
    spread: Floats


def problem_of(observations: Sequence[Observation], priors: Priors) -> Problem:
    """Make arrays of observations.

    Args:
        observations: at least one.
        priors: those that are better known than by class.
    """
    of = features_of([one.setting for one in observations])
    apart = np.array([one.has_parts for one in observations])
    sync = np.array([one.sync_ms or 0.0 for one in observations])
    total = np.array([one.total_ms for one in observations])
    computed = np.where(apart, total - sync, total)
    is_waiting = apart & (of.steps > 0) & (sync > 0)
    known = all(one.setting.link_mbit for one in observations if one.setting.nodes > 1)
    usual = {**CLASS_PRIORS, **({} if known else {"rate": UNKNOWN_LINK})}
    every, names = {**usual, **priors}, dimensions_of(of)
    return Problem(
        of=of,
        formula=Formula(of),
        total=np.log(computed),
        sync=np.log(np.where(is_waiting, sync, 1.0)),
        has_parts=apart.astype(float),
        has_sync=is_waiting.astype(float),
        error=_errors_of(observations),
        layer_mb=float(np.median(of.split_mb / of.layers)),
        priors=every,
        links_known=known,
        middle=np.array([math.log(every[name].median) for name in names]),
        spread=np.array([every[name].spread for name in names]),
    )


def _errors_of(observations: Sequence[Observation]) -> Floats:
    errors = [one.error for one in observations]
    return np.array(errors[:1] if len(set(errors)) == 1 else errors)


def coefficients_at(point: Floats, layer_mb: float) -> dict[Coefficient, Floats]:
    """Turn a point, whose last axis is `dimensions_of`, into coefficients in their units.

    arithmetic and layer are given relative to memory at a point, so that their priors fit a fast
    and a slow machine.
    """
    known = COEFFICIENTS[: point.shape[-1] - len(NOISES)]
    each = np.exp(point[..., : len(known), None])
    raw = {name: each[..., place, :] for place, name in enumerate(known)}
    if ELSEWHERE not in raw:
        raw[ELSEWHERE] = np.ones_like(raw["memory"])
    raw["arithmetic"] = raw["arithmetic"] * raw["memory"]
    raw["layer"] = raw["layer"] * raw["memory"] * layer_mb
    raw["capacity"] = np.maximum(raw["capacity"], 1.0)
    return raw


def dimensions_of(of: Features) -> tuple[str, ...]:
    """Name what a point has: the coefficients that change something here, then noises."""
    is_elsewhere = bool(np.any(of.elsewhere))
    return (*(name for name in COEFFICIENTS if name != ELSEWHERE or is_elsewhere), *NOISES)


def walkers_at(problem: Problem, walkers: int, seed: int) -> Floats:
    """Where walkers begin: at the priors, with the memory that makes the totals fit."""
    generator = np.random.default_rng(seed)
    middle = problem.middle.copy()
    terms = problem.formula.terms(coefficients_at(middle, problem.layer_mb))
    computed = sum_of(terms, COMPUTED)
    middle[0] += float(np.median(problem.total - np.log(computed)))
    return middle + 0.2 * generator.standard_normal((walkers, len(middle)))


def sum_of(terms: Mapping[Term, Floats], names: Sequence[Term] = TERMS) -> Floats:
    """The sum of some terms."""
    return reduce(np.add, [terms[name] for name in names])


def log_density(problem: Problem, weights: Floats, point: Floats) -> Floats:
    """How well points describe the observations, and how credible they are.

    Args:
        problem: observations and priors.
        weights: 1 for each observation that counts, (posteriors, observations).
        point: (posteriors, walkers, dimensions).

    Returns:
        Logarithms, (posteriors, walkers).
    """
    terms = problem.formula.terms(coefficients_at(point, problem.layer_mb))
    computed = sum_of(terms, COMPUTED)
    synced = sum_of(terms, ("latency", "transfer", "waiting"))
    mean = computed + np.where(problem.has_parts > 0, 0.0, synced)
    noises = np.exp(point[..., -len(NOISES) :])
    noise_total, noise_sync = noises[..., :1], noises[..., 1:]
    fits = _student(problem.total - np.log(mean), np.hypot(noise_total, problem.error))
    if problem.has_sync.any():
        off = problem.sync - np.log(np.maximum(synced, 1e-12))
        fits = fits + problem.has_sync * _student(off, np.hypot(noise_sync, problem.error))
    height: Floats = (fits * weights[:, None, :]).sum(axis=-1) + _believed(problem, point)
    return height


def _believed(problem: Problem, point: Floats) -> Floats:
    off = np.square((point - problem.middle) / problem.spread)
    # One after the other, so that the sum is the same to the digit on every machine.
    height = -0.5 * np.add.accumulate(off, axis=-1)[..., -1]
    if problem.links_known:
        over = np.maximum(point[..., RATE], 0.0) / LINK_LIMIT
        height = height - 0.5 * over**2
    return np.asarray(height)


def _student(off: Floats, scale: Floats) -> Floats:
    """Logarithm of Student's density, without its constant."""
    height: Floats = -np.log(scale) - (DEGREES + 1) / 2 * np.log1p((off / scale) ** 2 / DEGREES)
    return height
