"""What limits an engine and what would help, by the cost model: with the interval of its fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from analysis.cells.cells import CellResult
from analysis.limits.assessment import Assessment, Kind, Source
from analysis.limits.combinations import Combination
from analysis.model.cost import COMPUTED, TERMS, Floats, Setting, Term, features_of
from analysis.model.fit import CostFit
from analysis.network.run_fits import GroupFit
from analysis.text.wording import nodes
from analysis.what_if.answer import ends_of
from analysis.what_if.gains import Gain, starting_from

HALF = 0.5
"""Share from which something limits it."""
NETWORK: tuple[Term, ...] = ("latency", "transfer")
MOST_NAMED = 3
"""Changes of a combination; the chart has all."""


def fitted_of(
    combination: Combination, gains: Iterable[Gain], margin: float
) -> Iterator[Assessment]:
    """Say which changes would help most, by the fit that explains the fastest cells.

    Args:
        combination: an engine with a model.
        gains: of the run.
        margin: relative difference below which two speeds are the same: an interval that begins
            below it promises nothing.
    """
    own = [gain for gain in gains if _is_of(gain, combination)]
    if not own:
        return
    fastest = min(own, key=lambda gain: gain.start.total_ms).start
    helping = [gain for gain in own if gain.start is fastest and gain.low > 1 + margin]
    for gain in sorted(helping, key=lambda one: -one.times)[:MOST_NAMED]:
        yield Assessment(
            combination.engine,
            combination.model,
            Kind.IMPROVEMENT,
            _kind_of(gain),
            starting_from(gain),
            other=nodes(gain.more_nodes) if gain.more_nodes else str(gain.change),
            value=gain.times,
            low=gain.low,
            high=gain.high,
            n=_trials(gain.basis.fit),
            source=Source.FITTED,
            where="what-if",
        )


def _trials(fit: CostFit | None) -> int:
    return fit.fewest_trials if fit else 0


def _kind_of(gain: Gain) -> str:
    if gain.more_nodes:
        return "predicted nodes"
    return "predicted change, assumed" if gain.is_assumed_apart else "predicted change"


def fitted_limit(
    combination: Combination, cell: CellResult, fits: Iterable[GroupFit]
) -> Assessment | None:
    """What takes most of a token's time by the cost model; None without a fit that may be used.

    Memory and arithmetic are one share: a fit of one type of weights cannot tell them apart.
    """
    for one in fits:
        fit = None if one.refusals else one.outcome.fit
        if fit is not None and cell.record.cell_id in one.group.cell_ids:
            place = one.group.cell_ids.index(cell.record.cell_id)
            shares = _shares(fit, one.group.observations[place].setting)
            what = next((name for name, drawn in shares.items() if ends_of(drawn)[1] > HALF), "")
            slowest = _slowest(one, cell) if what == "waiting" else ""
            key = f"fitted {what or 'several'}{' for' if slowest else ''}"
            value, low, high = ends_of(shares[what or "computing"])
            return Assessment(
                combination.engine,
                combination.model,
                Kind.LIMIT,
                key,
                combination.setting(cell),
                other=slowest,
                value=value,
                low=low,
                high=high,
                n=_trials(fit),
                source=Source.FITTED,
                where="cost-model",
            )
    return None


def _shares(fit: CostFit, setting: Setting) -> dict[str, Floats]:
    """What takes the time of a cell to its share in each draw."""
    terms = fit.terms(features_of([setting]))
    drawn = {term: terms[term][:, 0] for term in TERMS}
    total: Floats = np.sum([drawn[term] for term in TERMS], axis=0)
    parts = {"computing": COMPUTED, "network": NETWORK, "waiting": ("waiting",)}
    return {
        name: np.sum([drawn[term] for term in terms_of], axis=0) / total
        for name, terms_of in parts.items()
    }


def _slowest(one: GroupFit, cell: CellResult) -> str:
    """The machine of a cell that takes longest alone; empty where they were not measured alone."""
    known = {name: s for name in cell.record.nodes if (s := one.group.slowness.get(name))}
    is_known = len(known) == len(cell.record.nodes) and len(set(known.values())) > 1
    return max(known, key=known.__getitem__) if is_known else ""


def _is_of(gain: Gain, combination: Combination) -> bool:
    weights = gain.start.setting.weights
    return (gain.basis.engine, f"{gain.start.model} ({weights})") == (
        combination.engine,
        combination.model,
    )
