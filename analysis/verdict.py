"""What a run found, in plain words with numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.caveats import caveats_of, reservations_of
from analysis.cells import CellResult, Series, subject, thing
from analysis.correctness import perplexity_sentences, same_text
from analysis.scaling import DECODE, Point, Scaling, compare
from analysis.stats import Estimate
from analysis.wording import (
    bare,
    capital,
    count,
    interval,
    listing,
    nodes,
    plural,
    ratio,
)

MOST_IN_HEADLINE = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings of a run.

    Attributes:
        headline: the answer, one sentence.
        details: further findings, a sentence each.
        caveats: what a reader must know before quoting the headline.
        reservations: the gravest of them in a few words each.
    """

    headline: str
    details: tuple[str, ...]
    caveats: tuple[str, ...]
    reservations: tuple[str, ...]

    @property
    def spoken(self) -> str:
        """The headline with its gravest reservations, for where nothing else is shown."""
        if not self.reservations:
            return self.headline
        return f"{self.headline} ({capital('; '.join(self.reservations))}.)"


def verdict_of(
    all_series: Sequence[Series],
    scalings: Sequence[Scaling],
    counts: Mapping[str, int],
    *,
    is_lab: bool,
) -> Verdict:
    """The findings of a run.

    Args:
        all_series: every series of the run.
        scalings: those of them whose speed was measured.
        counts: trials by state.
        is_lab: the nodes are virtual and share one machine.
    """
    perplexities = perplexity_sentences(all_series)
    if not scalings and not perplexities:
        headline, details = _no_speed(all_series, counts), _first_cause(all_series)
    elif not scalings:
        headline, details = perplexities[0], perplexities[1:]
    elif len(scalings) <= MOST_IN_HEADLINE:
        headline = _clauses(scalings, all_series)
        details = [*_left_out(scalings, all_series), *perplexities]
    else:
        headline = _summary(scalings, all_series)
        details = [_sentence(_scaling_clause(s, subject(s.series, all_series))) for s in scalings]
        details += perplexities
    return Verdict(
        headline=headline,
        details=(*details, *_rival_sentences(scalings), *same_text(all_series)),
        caveats=caveats_of(all_series, is_lab=is_lab),
        reservations=reservations_of(all_series, is_lab=is_lab),
    )


def _sentence(clause: str) -> str:
    return f"{capital(clause)}."


def _clauses(scalings: Sequence[Scaling], all_series: Sequence[Series]) -> str:
    """The findings on a few series as one sentence; a model is named once."""
    named: set[tuple[str, str]] = set()
    parts = []
    for scaling in scalings:
        what = (scaling.series.model, scaling.series.weights)
        parts.append(
            _scaling_clause(
                scaling,
                subject(scaling.series, all_series, with_model=what not in named),
                brief=True,
            )
        )
        named.add(what)
    return _sentence("; ".join(parts))


def _left_out(scalings: Sequence[Scaling], all_series: Sequence[Series]) -> list[str]:
    """What the headline's clauses leave out: the way to the largest number, where none pays."""
    return [
        _sentence(_scaling_clause(scaling, subject(scaling.series, all_series)))
        for scaling in scalings
        if scaling.best is scaling.points[0] and len(scaling.points) > 2  # noqa: PLR2004
    ]


def _scaling_clause(scaling: Scaling, about: str, *, brief: bool = False) -> str:
    """How one series scales, as a clause without its full stop.

    Args:
        scaling: the series.
        about: `for <model> with <engine>` or `with <engine>`.
        brief: where no number of nodes pays, tell of the largest only.
    """
    base = scaling.baseline.nodes
    others = scaling.points[1:]
    if brief and scaling.is_known:
        others = tuple(point for point in others if point.speed_up.has_interval)[-1:]
    if len(scaling.points) == 1:
        verb = "decodes" if base == 1 else "decode"
        rate = interval(scaling.baseline.estimate(DECODE))
        clause = f"{nodes(base)} {verb} {rate} tokens/s {about}"
    elif scaling.best.nodes > base:
        clause = (
            f"{nodes(scaling.best.nodes)} are {ratio(scaling.best.speed_up)} times as fast as "
            f"{count(base)} {about}"
        )
        clause += "".join(f"; {part}" for part in _beyond(scaling))
    elif scaling.is_known:
        clause = f"{about} more nodes do not help: {_no_gain(scaling, others)}"
    else:
        clause = (
            f"{about} there are too few trials to compare numbers of nodes: "
            f"{_times(others)} times as fast as {count(base)}"
        )
    return clause + _why_base(scaling)


def _beyond(scaling: Scaling) -> list[str]:
    """What the numbers of nodes after the best one do."""
    best = count(scaling.best.nodes)
    parts = []
    for point in scaling.points:
        if point.nodes <= scaling.best.nodes:
            continue
        _, step = scaling.steps[point.nodes]
        if step.below_one:
            told = f"{_n(point)} are slower than {best}, at {ratio(step)} times its speed"
        elif not step.has_interval:
            told = f"{_n(point)} have too few trials to compare, {ratio(step)} times"
        else:
            told = f"{_n(point)} are not measurably faster than {best}, {ratio(step)} times"
        parts.append(told)
    return parts


def _no_gain(scaling: Scaling, points: Sequence[Point]) -> str:
    base = count(scaling.baseline.nodes)
    slower = [point for point in points if point.speed_up.below_one]
    rest = [point for point in points if not point.speed_up.below_one]
    alike = [point for point in rest if point.speed_up.has_interval]
    unknown = [point for point in rest if not point.speed_up.has_interval]
    parts = []
    if alike:
        told = listing([f"{_n(point)} at {ratio(point.speed_up)} times" for point in alike])
        parts.append(f"{told} show no measurable difference to {base}")
    if slower:
        parts.append(f"{_times(slower)} times as fast as {base}")
    if unknown:
        parts.append(f"too few trials on {listing([_n(point) for point in unknown])} to tell")
    return ", ".join(parts)


def _times(points: Sequence[Point]) -> str:
    """`two are 0.48 (0.46-0.50), four 0.28 (0.25-0.30) and eight 0.12 (0.11-0.14)`."""
    first, *others = [(_n(point), ratio(point.speed_up)) for point in points]
    return listing([f"{first[0]} are {first[1]}", *(f"{n} {r}" for n, r in others)])


def _n(point: Point) -> str:
    return count(point.nodes)


def _why_base(scaling: Scaling) -> str:
    """Why the baseline is not one node, where it is not."""
    base = scaling.baseline.nodes
    if base == 1:
        return ""
    for cell in scaling.missing:
        if cell.reasons:
            return f" (on {nodes(cell.nodes)} it could not be measured: {bare(cell.reasons[0])})"
    return (
        f" (fewer than {count(base)} are not measured yet)"
        if scaling.missing
        else f" (fewer than {count(base)} were not asked for)"
    )


def _summary(scalings: Sequence[Scaling], all_series: Sequence[Series]) -> str:
    """One sentence over many series: which is fastest, and which gains most from nodes."""
    owner, fastest = max(
        ((scaling, point) for scaling in scalings for point in scaling.points),
        key=lambda pair: _rate(pair[1].cell),
    )
    clause = (
        f"Fastest is {thing(owner.series, all_series)} on {nodes(fastest.nodes)} with "
        f"{interval(fastest.cell.estimate(DECODE))} tokens/s"
    )
    scaled = [s for s in scalings if len(s.points) > 1]
    gaining = [s for s in scaled if s.best.nodes > s.baseline.nodes]
    if not any(s.is_known for s in scaled):
        return _sentence(clause)
    if not gaining:
        return _sentence(f"{clause}; more nodes help none of the {len(scaled)} series")
    most = max(gaining, key=lambda s: s.best.speed_up.value)
    return _sentence(
        f"{clause}; more nodes help {len(gaining)} of {len(scaled)} series, most "
        f"{thing(most.series, all_series)}, where "
        f"{nodes(most.best.nodes)} are {ratio(most.best.speed_up)} times as fast as "
        f"{count(most.baseline.nodes)}"
    )


def _rate(cell: CellResult) -> float:
    found = cell.estimate(DECODE)
    return found.value if found else 0.0


def _rival_sentences(scalings: Sequence[Scaling]) -> list[str]:
    """Engine against engine, each at its best number of nodes, for each model and weights."""
    best: dict[tuple[str, str], dict[str, Scaling]] = {}
    for scaling in scalings:
        series = scaling.series
        engines = best.setdefault((series.model, series.weights), {})
        held = engines.get(series.engine)
        if held is None or _rate(scaling.best.cell) > _rate(held.best.cell):
            engines[series.engine] = scaling
    sentences = []
    for engines in best.values():
        first, *others = sorted(engines.values(), key=lambda s: -_rate(s.best.cell))
        sentences += [_rival(first, other) for other in others]
    return sentences


def _rival(first: Scaling, second: Scaling) -> str:
    found: Estimate | None = compare(first.best.cell, second.best.cell)
    sides = [
        f"{s.series.engine} on {nodes(s.best.nodes)} with "
        f"{interval(s.best.cell.estimate(DECODE))} tokens/s"
        for s in (first, second)
    ]
    start = f"Each at its best for {first.series.model} ({first.series.weights}),"
    if found is None or not found.has_interval:
        return f"{start} {sides[0]} and {sides[1]} have too few trials to compare."
    if not found.above_one:
        return f"{start} there is no measurable difference between {sides[0]} and {sides[1]}."
    return f"{start} {sides[0]} is {ratio(found)} times as fast as {sides[1]}."


def _no_speed(all_series: Sequence[Series], counts: Mapping[str, int]) -> str:
    measured = [cell for series in all_series for cell in series.measured]
    if any(cell.emulated for cell in measured):
        return "No speed was measured: an emulated processor took part wherever trials are done."
    if measured:
        return "What was asked was answered; no engine's speed on nodes was measured."
    return _nothing(counts)


def _nothing(counts: Mapping[str, int]) -> str:
    rest = [f"{n} {state}" for state, n in counts.items() if n and state != "done"]
    planned = plural(sum(counts.values()), "planned trial")
    return f"Nothing was measured: none of {planned} is done" + (
        f" ({listing(rest)})." if rest else "."
    )


def _first_cause(all_series: Sequence[Series]) -> list[str]:
    causes = [reason for series in all_series for cell in series.cells for reason in cell.reasons]
    return [f"The first reason: {bare(causes[0])}."] if causes else []
