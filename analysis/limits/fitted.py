"""What would help by the cost model: not tried, and with the interval that its fit has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analysis.limits.assessment import Assessment, Kind, Source
from analysis.limits.combinations import Combination
from analysis.text.wording import nodes
from analysis.what_if.gains import Gain, starting_from

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
            "predicted nodes" if gain.more_nodes else "predicted change",
            starting_from(gain),
            other=nodes(gain.more_nodes) if gain.more_nodes else str(gain.change),
            value=gain.times,
            low=gain.low,
            high=gain.high,
            source=Source.FITTED,
            where="what-if",
        )


def _is_of(gain: Gain, combination: Combination) -> bool:
    weights = gain.start.setting.weights
    return (gain.basis.engine, f"{gain.start.model} ({weights})") == (
        combination.engine,
        combination.model,
    )
