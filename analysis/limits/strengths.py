"""What an engine with a model is good at, as far as comparisons of the report found it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from analysis.cells.cells import CellResult
from analysis.cells.scaling import DECODE
from analysis.limits.assessment import Assessment, Kind
from analysis.limits.combinations import Combination
from analysis.limits.limits import TOO_LITTLE
from analysis.text.sentence import say
from analysis.text.wording import count, listing, nodes, plural
from analysis.verdict.fastest import Fastest
from collect.workloads import PROMPT_AXES


def strengths_of(combination: Combination, fastest: Iterable[Fastest]) -> Iterator[Assessment]:
    """Find what an engine with a model is good at.

    Args:
        combination: its cells.
        fastest: the fastest cells of each model of the report.
    """
    yield from _fastest(combination, fastest)
    yield from _speed_up(combination)
    yield from _holds(combination)
    yield from _same_text(combination)


def _fastest(combination: Combination, fastest: Iterable[Fastest]) -> Iterator[Assessment]:
    ids = {cell.record.cell_id for cell in combination.cells}
    for found in fastest:
        own = [point.cell for _, point in found.cells if point.cell.record.cell_id in ids]
        rate = own[0].estimate(DECODE) if own and found.is_told else None
        if rate is not None and rate.low is not None and rate.high is not None:
            what, other = _how_fast(found)
            yield Assessment(
                combination.engine,
                combination.model,
                Kind.STRENGTH,
                what,
                combination.with_distinction(nodes(own[0].nodes), own[0], _named_anyway(found)),
                other=other,
                value=rate.value,
                low=rate.low,
                high=rate.high,
                n=rate.n,
                where="decode",
            )


def _how_fast(found: Fastest) -> tuple[str, str]:
    """What is known of the fastest cells, and what else the sentence names."""
    if len(found.cells) > 1:
        return "one of the fastest", plural(len(found.cells), "cell")
    return ("fastest for a task", found.task) if found.task else ("fastest", "")


def _named_anyway(found: Fastest) -> tuple[str, ...]:
    """Axes that a cell need not name because the sentence names the task."""
    return PROMPT_AXES if len(found.cells) == 1 and found.task else ()


def _speed_up(combination: Combination) -> Iterator[Assessment]:
    """The best number of nodes against the fewest, where a comparison found it faster."""
    if combination.best is None:
        return
    scaling, best = combination.best
    found = best.against_base
    if found is None or not best.is_faster or found.ratio is None:
        return
    ends = found.ratio
    if ends.low is None or ends.high is None:
        return
    yield Assessment(
        combination.engine,
        combination.model,
        Kind.STRENGTH,
        "speed-up",
        combination.setting(best.cell),
        other=nodes(scaling.baseline.nodes),
        value=ends.value,
        low=ends.low,
        high=ends.high,
        n=ends.n,
        where="scaling",
    )


def _holds(combination: Combination) -> Iterator[Assessment]:
    """A model that fewer of these nodes cannot hold."""
    for series in combination.series:
        measured = series.measured
        too_small = [
            cell
            for cell in series.cells
            if measured
            and cell.nodes < measured[0].nodes
            and TOO_LITTLE.search(cell.record.unavailable or "")
        ]
        if too_small:
            yield Assessment(
                combination.engine,
                combination.model,
                Kind.STRENGTH,
                "memory of several",
                combination.setting(measured[0]),
                other=listing([count(cell.nodes) for cell in too_small]),
                n=len(measured[0].done),
                where="failures",
            )


def _same_text(combination: Combination) -> Iterator[Assessment]:
    for series in combination.series:
        told = [cell for cell in series.measured if cell.texts()]
        if len(told) > 1 and len(set().union(*(cell.texts() for cell in told))) == 1:
            yield Assessment(
                combination.engine,
                combination.model,
                Kind.STRENGTH,
                "same text",
                _numbers(combination, told),
                n=sum(len(cell.done) for cell in told),
                where="cells",
            )


def _numbers(combination: Combination, cells: list[CellResult]) -> str:
    """`one, two and four nodes (net-turbo off)`."""
    numbers = say("{found} nodes", found=listing([count(cell.nodes) for cell in cells]))
    return combination.with_distinction(numbers, cells[0])
