"""From the readings of a plug to the energy of a window, with the error that it has.

Two ways: the plug's counter at both ends, or the sum of its readings of power. A counter is exact
but coarse: some step by 3600 J, some once a minute. So it is taken where its step is at most 1 % of
the result, and the power elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from collect.plugs import By
from experiments.plugs.http import PlugError
from experiments.plugs.kinds import PlugReading

COUNTER_SHARE = 0.01
"""The largest step of a counter, as a share of the energy that it counted."""
LEAST_READINGS = 3
LONGEST_GAP_S = 5.0
"""Between two readings; in a longer one anything may have happened."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading and its moment, or why there was none.

    Attributes:
        at_s: by the controller's monotonic clock, half way between question and answer.
        within_s: half the time between them: the plug read its meter so long before or after.
    """

    at_s: float
    reading: PlugReading | None
    reason: str = ""
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Used:
    """Energy of a window.

    Attributes:
        readings: in the window.
    """

    joules: float
    error_j: float
    by: By
    readings: int


@dataclass(frozen=True, slots=True)
class _Point:
    at_s: float
    watts: float
    counter_j: float | None
    within_s: float = 0.0


def used_between(samples: Sequence[Sample], begin_s: float, end_s: float) -> Used:
    """Return what was used between two moments.

    The power between two readings is taken to be between theirs. So the sum of the trapezoids is
    wrong by at most half of each change times its duration; before the first reading and after the
    last, each up to a second, by at most the whole range of the power. And a plug read its meter at
    some moment between question and answer.

    Args:
        samples: in their order, from the last before the window on.
        begin_s: of the window, by the controller's monotonic clock.
        end_s: of the window.

    Raises:
        PlugError: the readings do not say, and why.
    """
    known = [
        _Point(one.at_s, one.reading.watts, one.reading.counter_j, one.within_s)
        for one in samples
        if one.reading is not None and one.at_s <= end_s
    ]
    inside = [point for point in known if point.at_s >= begin_s]
    if len(inside) < LEAST_READINGS:
        raise PlugError(_too_few(samples, len(inside), end_s - begin_s))
    points = list(_points(known, begin_s, end_s))
    _require_whole(points, [one.reason for one in samples if one.reason])
    trapezoids = [_trapezoid(*pair) for pair in pairwise(points)]
    edges_j = _error_of_edges(points, [point.watts for point in known])
    steps = [one.reading for one in samples if one.reading is not None]
    counted = _counted(points, trapezoids, min(one.counter_step_j for one in steps))
    if counted is not None:
        joules, step_j = counted
        moments_j = max(point.watts for point in known) * (inside[0].within_s + inside[-1].within_s)
        return Used(joules, step_j + edges_j + moments_j, "counter", len(inside))
    changes_j = sum(_error_of_change(*pair) for pair in pairwise(inside))
    written_j = (end_s - begin_s) * min(one.watts_step for one in steps) / 2
    return Used(sum(trapezoids), changes_j + edges_j + written_j, "power", len(inside))


def _error_of_change(a: _Point, b: _Point) -> float:
    """Return by how much the energy between two readings may be wrong."""
    return abs(b.watts - a.watts) * ((b.at_s - a.at_s) / 2 + max(a.within_s, b.within_s))


def _error_of_edges(points: Sequence[_Point], watts: Sequence[float]) -> float:
    """Return by how much the two ends may be wrong: the whole range of the power, for their time.

    Args:
        points: of the window; the first and the last are no readings.
        watts: all readings, also the one before the window.
    """
    (begin, first), (last, end) = points[:2], points[-2:]
    ends_s = (first.at_s - begin.at_s) + (end.at_s - last.at_s) + first.within_s + last.within_s
    return ends_s * (max(watts) - min(watts))


def _points(known: Sequence[_Point], begin_s: float, end_s: float) -> Iterator[_Point]:
    """Yield the power at the begin, at each reading in the window, and at the end."""
    before = [point for point in known if point.at_s < begin_s][-1:]
    inside = known[len(known) - sum(point.at_s >= begin_s for point in known) :]
    first, watts = inside[0], inside[0].watts
    if before and first.at_s - before[0].at_s <= LONGEST_GAP_S:
        share = (begin_s - before[0].at_s) / (first.at_s - before[0].at_s)
        watts = before[0].watts + share * (first.watts - before[0].watts)
    yield _Point(begin_s, watts, None)
    yield from inside
    yield _Point(end_s, inside[-1].watts, None)


def _require_whole(points: Sequence[_Point], reasons: Sequence[str]) -> None:
    """See that no reading is missing for long and no counter began again. Raises PlugError."""
    gap_s = max(b.at_s - a.at_s for a, b in pairwise(points))
    if gap_s > LONGEST_GAP_S:
        because = f": {reasons[-1]}" if reasons else ""
        raise PlugError(f"it gave no reading for {gap_s:.0f} s{because}")
    counters = [point.counter_j for point in points if point.counter_j is not None]
    for earlier, later in pairwise(counters):
        if later < earlier:
            raise PlugError(
                f"its counter went back from {earlier:.0f} to {later:.0f} J: it was restarted, or "
                "its counter began again"
            )


def _counted(
    points: Sequence[_Point], trapezoids: Sequence[float], written_j: float
) -> tuple[float, float] | None:
    """Return what the counter says and its step; None where it is too coarse or there is none.

    A counter may step by more than its last digit, as one that is only updated each minute. So its
    step is also the most by which it went ahead of the power, or fell behind, between two readings.

    Args:
        points: of the window; the first and the last are no readings.
        trapezoids: energy between each two of them.
        written_j: its last digit.
    """
    counters = [point.counter_j for point in points[1:-1]]
    if any(counter is None for counter in counters):
        return None
    rises = [b - a for a, b in pairwise(counters) if a is not None and b is not None]
    steps = [abs(rise - energy) for rise, energy in zip(rises, trapezoids[1:-1], strict=True)]
    step_j = max(written_j, *steps)
    joules = sum(rises) + trapezoids[0] + trapezoids[-1]
    return (joules, step_j) if step_j <= COUNTER_SHARE * joules else None


def _trapezoid(a: _Point, b: _Point) -> float:
    return (a.watts + b.watts) / 2 * (b.at_s - a.at_s)


def _too_few(samples: Sequence[Sample], readings: int, window_s: float) -> str:
    reasons = [one.reason for one in samples if one.reason]
    if reasons:
        return reasons[-1]
    return (
        f"{readings} readings in a window of {window_s:.1f} s are too few, at least "
        f"{LEAST_READINGS} are needed: generate more tokens"
    )
