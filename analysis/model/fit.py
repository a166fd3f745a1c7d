"""A fit of the cost model: draws of its coefficients, and how it does on cells that it never saw.

Errors are judged by leaving out all cells of a number of nodes in turn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.model.cost import (
    COEFFICIENTS,
    COMPUTED,
    TERMS,
    Coefficient,
    Features,
    Floats,
    Observation,
    Setting,
    Term,
    features_of,
    terms_of,
)
from analysis.model.posterior import (
    CLASS_PRIORS,
    DEGREES,
    Priors,
    Problem,
    coefficients_at,
    dimensions_of,
    log_density,
    problem_of,
    sum_of,
    walkers_at,
)
from analysis.model.sampling import draw
from analysis.model.wire import is_chain

WALKERS = 36
BURN, KEEP, EVERY = 600, 40, 25
DRAWS = 400
"""Of the whole fit that are kept; the noise of each belongs to it."""
LEVEL = 0.9
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
BEYOND = 0.05
"""Standard deviation of the logarithm of what each doubling of nodes, beyond the measured numbers,
may add to a time that the formula does not have (docs/cost-model.md has what was simulated)."""
AS_BEFORE = 0.7
"""Share of a prior's spread from which a coefficient counts as unknown after a fit."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """A cell as a fit predicts it that saw no cell of its number of nodes.

    Attributes:
        observation: what was measured.
        predicted_ms: median of the prediction.
        low_ms: lower end of its 90 % interval.
        high_ms: upper end.
    """

    observation: Observation
    predicted_ms: float
    low_ms: float
    high_ms: float

    @property
    def error(self) -> float:
        """The relative error, without its sign."""
        return abs(self.predicted_ms / self.observation.total_ms - 1)

    @property
    def is_covered(self) -> bool:
        """Whether the interval has what was measured."""
        return self.low_ms <= self.observation.total_ms <= self.high_ms


@dataclass(frozen=True, slots=True)
class CostFit:
    """The cost model fitted to cells.

    Attributes:
        observations: the cells.
        version: of the engine, as recorded.
        device: what computed, `cpu` or `gpu`; None where it is not recorded.
        draws: coefficient to its draws, in its unit, (draws, 1).
        noise: factor on computing and on syncing of each draw, (draws, 1) each.
        strays: logarithm of a factor for each doubling beyond the measured nodes, (draws, 1).
        inner: median prediction of each cell by the fit that saw it, in ms.
        inner_sync: the same of its syncing.
        left_out: each cell by a fit that did not see it.
        apart: computing and syncing were known apart.
        spreads: prior and posterior standard deviation of each coefficient's logarithm.
        priors: what was believed beforehand.
    """

    observations: tuple[Observation, ...]
    version: str | None
    device: str | None
    draws: dict[Coefficient, Floats]
    noise: tuple[Floats, Floats]
    strays: Floats
    inner: tuple[float, ...]
    inner_sync: tuple[float, ...]
    left_out: tuple[Unseen, ...]
    apart: bool
    spreads: dict[str, tuple[float, float]]
    priors: Priors = field(default_factory=dict)

    @property
    def fewest_trials(self) -> int:
        """Trials of the cell with the fewest; 0 where that is not known."""
        return min(one.trials for one in self.observations)

    @property
    def median_error(self) -> float:
        """Median relative error over cells that were left out."""
        return float(np.median([one.error for one in self.left_out]))

    @property
    def coverage(self) -> float:
        """Share of the cells that are inside their 90 % interval when they are left out."""
        return float(np.mean([one.is_covered for one in self.left_out]))

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of nodes, each once."""
        return tuple(sorted({one.setting.nodes for one in self.observations}))

    def terms(self, of: Features) -> dict[Term, Floats]:
        """Milliseconds of each term, (draws, settings)."""
        return terms_of(self.draws, of)

    def totals(self, setting: Setting, without: Sequence[Term] = ()) -> Floats:
        """Milliseconds of a token with what the formula leaves, a draw each.

        Args:
            setting: measured or not.
            without: terms that are taken to be 0.
        """
        terms = self.terms(features_of([setting]))
        kept = {name: 0 * found if name in without else found for name, found in terms.items()}
        beyond = np.exp(self.doublings(setting) * self.strays)
        totals: Floats = (totals_of(kept, self.noise) * beyond)[:, 0]
        return totals

    def doublings(self, setting: Setting) -> float:
        """How often the measured numbers of nodes must be doubled, or halved, to get there.

        A chain divides no work among nodes, so more of them are nothing new.
        """
        if is_chain(setting.wire):
            return 0.0
        least, most = self.counts[0], self.counts[-1]
        return math.log2(max(1.0, setting.nodes / most, least / setting.nodes))

    def unknown(self) -> tuple[Coefficient, ...]:
        """Coefficients on which the cells have next to no bearing: their spread is the prior's."""
        return tuple(
            name
            for name in self.relevant()
            if self.spreads[name][1] > AS_BEFORE * self.spreads[name][0]
            or (name == "arithmetic" and not self._arithmetic_is_apart())
        )

    def _arithmetic_is_apart(self) -> bool:
        """Whether something distinguishes arithmetic from memory: types of weights, or a probe."""
        types = {one.setting.weights for one in self.observations}
        return len(types) > 1 or self.priors["arithmetic"].source != CLASS_PRIORS["memory"].source

    def relevant(self) -> tuple[Coefficient, ...]:
        """Coefficients that some cell's time depends on."""
        of = features_of([one.setting for one in self.observations])
        absent = {
            "capacity": of.shared,
            "worker": of.elsewhere,
            "head": of.root_mb,
            "waiting": of.others,
            "rate": of.line_kbit,
            "latency": of.steps,
        }
        return tuple(n for n in COEFFICIENTS if n not in absent or bool(np.any(absent[n])))


def totals_of(terms: dict[Term, Floats], noise: tuple[Floats, Floats]) -> Floats:
    """Sum terms with a factor of noise on computing and on syncing."""
    synced = sum_of(terms, ("latency", "transfer", "waiting"))
    return sum_of(terms, COMPUTED) * noise[0] + synced * noise[1]


def fit_of(
    observations: Sequence[Observation],
    version: str | None = None,
    priors: Priors | None = None,
    *,
    device: str | None = None,
    seed: int = 1,
) -> CostFit:
    """CostFit the model, and fit it again without each number of nodes.

    Args:
        observations: cells of one wire on one set of machines, of two numbers of nodes at least.
        version: of the engine.
        device: what computed, `cpu` or `gpu`.
        priors: what a probe knows, by coefficient; the rest is as usual for machines.
        seed: of the draws.
    """
    problem = problem_of(observations, priors or {})
    counts = sorted({one.setting.nodes for one in observations})
    nodes = np.array([one.setting.nodes for one in observations])
    weights = np.stack([np.ones(len(nodes)), *((nodes != count) * 1.0 for count in counts)])
    begin = np.stack([walkers_at(problem, WALKERS, seed) for _ in weights])
    points = draw(
        lambda point: log_density(problem, weights, point),
        begin, burn=BURN, keep=KEEP, every=EVERY, seed=seed,
    )  # fmt: skip
    apart = bool(problem.has_sync.any())
    left_out = [
        _left_out(observations, problem, points[1 + counts.index(count)], place, seed, apart=apart)
        for place, count in enumerate(nodes)
    ]
    whole = points[0]
    chosen = whole[np.linspace(0, len(whole) - 1, DRAWS).astype(int)]
    draws = coefficients_at(chosen, problem.layer_mb)
    terms = terms_of(draws, problem.of)
    return CostFit(
        observations=tuple(observations),
        version=version,
        device=device,
        draws=draws,
        noise=_noise(chosen, seed, apart=apart),
        strays=BEYOND * np.random.default_rng(seed + 1).standard_normal((len(chosen), 1)),
        inner=tuple(np.median(sum_of(terms), axis=0)),
        inner_sync=tuple(np.median(sum_of(terms, ("latency", "transfer", "waiting")), axis=0)),
        left_out=tuple(left_out),
        apart=apart,
        spreads={
            name: (problem.priors[name].spread, float(np.std(whole[:, place])))
            for place, name in enumerate(dimensions_of(problem.of))
        },
        priors=problem.priors,
    )


def _left_out(
    observations: Sequence[Observation],
    problem: Problem,
    points: Floats,
    place: int,
    seed: int,
    *,
    apart: bool,
) -> Unseen:
    of = features_of([observations[place].setting])
    terms = terms_of(coefficients_at(points, problem.layer_mb), of)
    noise = _noise(points, seed + place + 1, apart=apart)
    error = np.exp(
        observations[place].error * np.random.default_rng(place).standard_normal((len(points), 1))
    )
    totals = totals_of(terms, noise) * error
    low, middle, high = np.quantile(totals[:, 0], (TAILS[0], 0.5, TAILS[1]))
    return Unseen(observations[place], float(middle), float(low), float(high))


def _noise(points: Floats, seed: int, *, apart: bool) -> tuple[Floats, Floats]:
    """Draw what the formula leaves, as factors; the same for all terms where nothing is apart."""
    generator = np.random.default_rng(seed)
    off = generator.standard_t(DEGREES, size=(len(points), 2))
    computing = np.exp(off[:, :1] * np.exp(points[:, -2:-1]))
    syncing = np.exp(off[:, 1:] * np.exp(points[:, -1:])) if apart else computing
    return computing, syncing


__all__ = ["LEVEL", "TAILS", "TERMS", "CostFit", "Unseen", "fit_of", "totals_of"]
