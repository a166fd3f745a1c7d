"""Find the fastest cells: all that may be the fastest; and compare engine with engine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.cells.family import Family
from analysis.cells.labels import named_by, varying_axes
from analysis.cells.scaling import DECODE, Point, Scaling, compare, is_unbeaten, task_of
from analysis.cells.series import Series, engine_named
from analysis.text.sentence import Sentence, say
from analysis.text.wording import interval, listing, nodes
from analysis.verdict.scaling_text import compared
from collect.workloads import PROMPT_AXES

FASTEST = "fastest for {model} is {cells}"
FASTEST_OF_SEVERAL = "fastest for {model}, and not distinguishable, are {cells}"
UNKNOWN = "it is unclear which of {cells} cells is fastest for {model}"
UNKNOWN_OF_LEFT = (
    "it is unclear which of {cells} cells is fastest for {model}: {left} of them are left"
)
UNKNOWN_UNCOMPARED = (
    "it is unclear which of {cells} cells is fastest for {model}: {left} of them are left, "
    "not all compared with each other"
)
UNKNOWN_FOR = "it is unclear which cell is fastest for {models}"
WITH_RATE = "{cell} with {rate} tokens/s"
AT_THEIR_BEST = "Each at its best for {model}, {finding}."
ENGINES = "Engine against engine for {model}, {finding}."
NOT_COMPARED = "{one} and {other} are not compared"
RAN = "{engine} ran it with {weights}"
OTHER_WEIGHTS = "Engines are not compared for {model}, because their weights differ: {engines}."
MOST_NAMED = 4
"""Cells that are named one by one."""


@dataclass(frozen=True, slots=True)
class Fastest:
    """The cells of one model and weights that no comparison found slower than another of them.

    Attributes:
        task: the numbers of tokens, where they differ between cells of the run; else empty.
        cells: they, highest median first.
        of: how many cells were measured.
        is_known: some of these were compared with each other.
        is_compared: every two of `cells` were, by enough trials. Otherwise one of them may be
            clearly faster than another.
    """

    model: str
    weights: str
    task: str
    cells: tuple[tuple[Scaling, Point], ...]
    of: int
    is_known: bool
    is_compared: bool

    @property
    def what(self) -> str:
        """The model with its weights and, where it matters, what was asked of it."""
        model = f"{self.model} ({self.weights})" if self.weights else self.model
        return say("{model} with {task}", model=model, task=self.task) if self.task else model

    @property
    def is_told(self) -> bool:
        """So few are left that they may be named."""
        is_few = len(self.cells) <= MOST_NAMED and len(self.cells) < self.of
        return self.is_known and self.is_compared and is_few


def fastest_of(scalings: Sequence[Scaling], family: Family) -> tuple[Fastest, ...]:
    """Find the fastest cells of every model and weights for which several were measured.

    Cells with other numbers of tokens have their own: a shorter prompt is no better choice.
    """
    groups: dict[tuple[str, str, str], list[tuple[Scaling, Point]]] = {}
    varying = varying_axes(dict(task_of(scaling.series)) for scaling in scalings)
    for scaling in scalings:
        series = scaling.series
        key = (series.model, series.weights, named_by(dict(task_of(series)), varying))
        groups.setdefault(key, []).extend((scaling, point) for point in scaling.points)
    return tuple(_fastest(*key, group, family) for key, group in groups.items() if len(group) > 1)


def fastest_clauses(
    fastest: Sequence[Fastest], all_series: Sequence[Series], *, brief: bool = False
) -> list[Sentence]:
    """A clause for each model whose fastest cells are known, and one for all others."""
    told = [fastest_clause(found, all_series) for found in fastest if found.is_told]
    rest = [found for found in fastest if not found.is_told]
    if not rest:
        return told
    if len(rest) == 1:
        return [*told, fastest_clause(rest[0], all_series)]
    names = [found.what for found in rest]
    many = brief or len(rest) > MOST_NAMED
    about = (
        say("{rest} of {fastest} models", rest=len(rest), fastest=len(fastest))
        if many
        else listing(names)
    )
    return [*told, say(UNKNOWN_FOR, models=about)]


def _fastest(
    model: str,
    weights: str,
    task: str,
    group: Sequence[tuple[Scaling, Point]],
    family: Family,
) -> Fastest:
    cells = [point.cell for _, point in group]
    ids = {cell.record.cell_id for cell in cells}
    unbeaten = [pair for pair in group if is_unbeaten(pair[1].cell, cells, family)]
    return Fastest(
        model=model,
        weights=weights,
        task=task,
        cells=tuple(sorted(unbeaten, key=lambda pair: -rate_of(pair[1]))),
        of=len(group),
        is_known=any(
            row.is_tried and row.pair.numerator.key in ids and row.pair.denominator.key in ids
            for row in family.rows
        ),
        is_compared=all(
            (found := compare(one.cell, two.cell, family)) and found.is_tried
            for (_, one), (_, two) in itertools.combinations(unbeaten, 2)
        ),
    )


def rate_of(point: Point) -> float:
    """Median tokens/s."""
    found = point.cell.estimate(DECODE)
    return found.value if found else 0.0


def fastest_clause(found: Fastest, all_series: Sequence[Series]) -> Sentence:
    """Say which cells are fastest, or that it is not known, as a clause without its full stop."""
    model = found.what
    if not found.is_told:
        template = UNKNOWN
        if found.is_known and len(found.cells) < found.of:
            template = UNKNOWN_OF_LEFT if found.is_compared else UNKNOWN_UNCOMPARED
        return say(template, cells=found.of, model=model, left=len(found.cells))
    without = PROMPT_AXES if found.task else ()
    named = [_with_rate(scaling, point, all_series, without) for scaling, point in found.cells]
    return say(
        FASTEST if len(named) == 1 else FASTEST_OF_SEVERAL, model=model, cells=listing(named)
    )


def _with_rate(
    scaling: Scaling, point: Point, all_series: Sequence[Series], without: Sequence[str] = ()
) -> str:
    rate = interval(point.cell.estimate(DECODE))
    return say(WITH_RATE, cell=short_name(scaling, point, all_series, without), rate=rate)


def short_name(
    scaling: Scaling, point: Point, all_series: Sequence[Series], without: Sequence[str] = ()
) -> str:
    """`distributed-llama (net-turbo off) on two nodes`, without axes that are named anyway."""
    who = engine_named(scaling.series, all_series, without)
    return say("{who} on {nodes}", who=who, nodes=nodes(point.nodes))


def rival_sentences(
    scalings: Sequence[Scaling], all_series: Sequence[Series], family: Family, margin: str
) -> list[Sentence]:
    """Engine against engine, each at its best number of nodes, for each model and weights."""
    groups: dict[object, dict[str, Scaling]] = {}
    for scaling in scalings:
        series = scaling.series
        engines = groups.setdefault((series.model, series.weights, task_of(series)), {})
        held = engines.get(series.engine)
        if held is None or rate_of(scaling.best) > rate_of(held.best):
            engines[series.engine] = scaling
    sentences = []
    for engines in groups.values():
        first, *others = sorted(engines.values(), key=lambda one: -rate_of(one.best))
        sentences += [_rival(first, other, all_series, family, margin) for other in others]
    return [*sentences, *_other_weights(scalings)]


def _rival(
    first: Scaling, second: Scaling, all_series: Sequence[Series], family: Family, margin: str
) -> Sentence:
    series = first.series
    one, other = (_with_rate(scaling, scaling.best, all_series) for scaling in (first, second))
    is_best = all(scaling.is_known for scaling in (first, second))
    what = f"{series.model} ({series.weights})" if series.weights else series.model
    found = compare(first.best.cell, second.best.cell, family)
    if found is None or found.ratio is None:
        told: str = say(NOT_COMPARED, one=one, other=other)
    else:
        told = compared(say("{one} is", one=one), other, "its", found, margin)
    return say(AT_THEIR_BEST if is_best else ENGINES, model=what, finding=told)


def _other_weights(scalings: Sequence[Scaling]) -> list[Sentence]:
    """Say that engines are not compared if they ran a model with other weights."""
    weights: dict[str, dict[str, list[str]]] = {}
    for scaling in scalings:
        series = scaling.series
        ran = weights.setdefault(series.model, {}).setdefault(series.engine, [])
        if series.weights not in ran:
            ran.append(series.weights)
    sentences = []
    for model, engines in weights.items():
        common = set.intersection(*(set(ran) for ran in engines.values()))
        if len(engines) > 1 and not common:
            told = [say(RAN, engine=name, weights=listing(ran)) for name, ran in engines.items()]
            sentences.append(say(OTHER_WEIGHTS, model=model, engines=listing(list(told))))
    return sentences
