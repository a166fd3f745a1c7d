"""How one series goes with the number of nodes, as a clause with its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis.cells import CellResult, in_words, varying_axes
from analysis.family import Compared, Finding
from analysis.scaling import DECODE, Point, Scaling
from analysis.stats import FEWEST, Ratio
from analysis.wording import bare, between, count, interval, listing, nodes, number, plural, ratio

MOST_TOLD = 3
"""Numbers of nodes that a brief clause names."""


def scaling_clause(scaling: Scaling, about: str, margin: str, *, brief: bool = False) -> str:
    """How a series scales, as a clause without its full stop.

    Args:
        scaling: the series.
        about: `for <model> with <engine>` or `with <engine>`.
        margin: what counts as the same speed, as `±3 %`.
        brief: of many numbers of nodes that do not help, tell the highest speed and the most nodes.
    """
    others = scaling.points[1:]
    if brief and len(others) > MOST_TOLD:
        promising = max(others, key=lambda point: point.speed_up.value)
        others = tuple(point for point in others if point in (promising, others[-1]))
    if not scaling.points[1:]:
        clause = _alone(scaling, about)
    elif scaling.best.nodes > scaling.baseline.nodes:
        clause = "; ".join([_gain(scaling, about), *_beyond(scaling, margin)])
    else:
        clause = _no_gain(scaling, others, about, margin)
    return _survivors(scaling)(clause) + _why_base(scaling)


def leaves_out(scaling: Scaling) -> bool:
    """A brief clause does not tell all numbers of nodes."""
    return scaling.best is scaling.points[0] and len(scaling.points) - 1 > MOST_TOLD


def thrown_away(cells: Sequence[CellResult]) -> str:
    """`12 of 18 attempts on eight nodes were thrown away (pi7: it was throttled)`; may be empty.

    Of several cells all attempts are counted, and the cell that lost most is told besides.
    """
    hit = [cell for cell in cells if cell.attempts.thrown]
    if not hit:
        return ""
    worst = max(hit, key=lambda cell: cell.attempts.thrown / cell.attempts.made)
    of = hit if len(hit) == 1 else cells
    thrown, made = (sum(getattr(cell.attempts, name) for cell in of) for name in ("thrown", "made"))
    where = _where(worst, cells)
    causes = list(dict.fromkeys(why for cell in (worst, *hit) for why in cell.attempts.causes))
    why = f" ({bare(causes[0])}{'; …' if len(causes) > 1 else ''})" if causes else ""
    verb = "was" if thrown == 1 else "were"
    if len(hit) == 1:
        return f"{thrown} of {plural(made, 'attempt')}{where} {verb} thrown away{why}"
    most = f", {worst.attempts.thrown} of {worst.attempts.made}{where}"
    return f"{thrown} of {plural(made, 'attempt')} {verb} thrown away{most}{why}"


def _where(cell: CellResult, cells: Sequence[CellResult]) -> str:
    """` on two nodes with 25 Mbit/s`: what tells a cell from others on as many nodes."""
    params = cell.record.params
    if "system" in params and len(cells) > 1:
        return f" of {params['system']}"
    alike = [other.record.params for other in cells if other.nodes == cell.nodes]
    told = ", ".join(in_words(axis, params[axis]) for axis in varying_axes(alike) if axis in params)
    where = f" on {nodes(cell.nodes)}" if cell.nodes else ""
    return where + (f" with {told}" if told else "")


def _survivors(scaling: Scaling) -> Callable[[str], str]:
    """What turns a clause into one on the attempts that counted, where others did not."""
    thrown = thrown_away(scaling.series.cells)
    if not thrown:
        return lambda clause: clause
    return lambda clause: f"in the attempts that counted, {clause}; {thrown}, in no figure"


def _alone(scaling: Scaling, about: str) -> str:
    verb = "decodes" if scaling.baseline.nodes == 1 else "decode"
    rate = interval(scaling.baseline.estimate(DECODE))
    return f"{nodes(scaling.baseline.nodes)} {verb} {rate} tokens/s {about}"


def _gain(scaling: Scaling, about: str) -> str:
    told = f"{nodes(scaling.best.nodes)} are {ratio(scaling.best.speed_up)} times as fast as"
    return f"{told} {_base(scaling)} {about}"


def _base(scaling: Scaling) -> str:
    """`one (9.73 tokens/s)`."""
    rate = scaling.baseline.estimate(DECODE)
    return f"{count(scaling.baseline.nodes)} ({number(rate.value if rate else None)} tokens/s)"


def _beyond(scaling: Scaling, margin: str) -> list[str]:
    """What the numbers of nodes after the best one do, each beside the one before it.

    Beside the baseline where a report has too many comparisons to make those.
    """
    base = scaling.baseline.nodes
    return [
        _step(point, step.before, step.found, margin) + _also(point, step.found, base)
        if (step := scaling.steps.get(point.nodes))
        else _beside_base(point, base, margin)
        for point in scaling.beyond
    ]


def _also(point: Point, found: Compared, base: int) -> str:
    """What is known of a number of nodes that cannot be told from the one before it."""
    if found.finding is not Finding.UNKNOWN or not point.is_faster:
        return ""
    return f" ({ratio(point.speed_up)} times as fast as {count(base)})"


def _step(point: Point, before: int, found: Compared, margin: str) -> str:
    n, other = _n(point), count(before)
    if found.ratio is None:
        return f"{n} cannot be compared with {other}"
    return compared(f"{n} are", other, _owner(before), found, margin)


def compared(
    who: str, other: str, owner: str, found: Compared, margin: str, shown: Ratio | None = None
) -> str:
    """What was found of two, as a clause.

    Args:
        who: the one with its verb: `four are`.
        other: the other: `two`.
        owner: whose speed the other's is: `their`.
        found: what was found.
        margin: within which two are as fast.
        shown: the ratio of their speeds that the report shows; None for the found one.
    """
    told = ratio(beside) if (beside := shown or found.ratio) else ""
    if found.finding is Finding.SLOWER:
        return f"{who} slower than {other}, at {told} times {owner} speed"
    if found.finding is Finding.FASTER:
        return f"{who} {told} times as fast as {other}"
    if found.finding is Finding.SAME:
        return f"{who} as fast as {other} within {margin}, at {told} times"
    return f"whether {who} faster than {other} cannot be told: {unsure(found)} {owner} speed"


def unsure(found: Compared) -> str:
    """`between 0.9 and 3.9 times`: all that may be said where it cannot be told."""
    told = found.ratio
    if told is None:
        return "too few trials"
    return f"between {between(told)} times" if found.is_tried else f"at {ratio(told)} times"


def _no_gain(scaling: Scaling, points: Sequence[Point], about: str, margin: str) -> str:
    base = scaling.baseline.nodes
    told = "; ".join(_beside_base(point, base, margin) for point in points)
    later = [point.against_base for point in scaling.points[1:]]
    if all(one and one.finding in (Finding.SLOWER, Finding.SAME) for one in later):
        return f"{about} more nodes than {_base(scaling)} do not help: {told}"
    few = "" if scaling.is_known else f"from so few {_what_is_few(scaling)} "
    return f"{about} {few}it cannot be told whether more nodes than {_base(scaling)} help: {told}"


def _what_is_few(scaling: Scaling) -> str:
    """Trials; or only the blocks in which both of two cells have one."""
    trials = min(len(point.cell.by_block(DECODE)) for point in scaling.points)
    return "trials" if trials < FEWEST else "shared blocks"


def _beside_base(point: Point, base: int, margin: str) -> str:
    n, found, told = _n(point), point.against_base, ratio(point.speed_up)
    if found is None:
        return f"{n} are not compared"
    if found.finding is Finding.SLOWER:
        return f"{n} are slower, at {told} times {_owner(base)} speed"
    if found.finding is Finding.UNKNOWN:
        return f"{n} are {unsure(found)} {_owner(base)} speed"
    return compared(f"{n} are", count(base), _owner(base), found, margin, point.speed_up)


def _owner(before: int) -> str:
    return "its" if before == 1 else "their"


def _n(point: Point) -> str:
    return count(point.nodes)


def _why_base(scaling: Scaling) -> str:
    """Why the baseline is not one node, where it is not."""
    base = scaling.baseline.nodes
    if base == 1:
        return ""
    if not scaling.missing:
        return f" (fewer than {count(base)} were not asked for)"
    why: dict[str, list[str]] = {}
    for cell in scaling.missing:
        if cell.reasons:
            why.setdefault(bare(cell.reasons[0]), []).append(nodes(cell.nodes))
    if not why:
        return f" (fewer than {count(base)} are not measured yet)"
    told = [
        f"on {listing(where)} it could not be measured: {reason}" for reason, where in why.items()
    ]
    return f" ({'; '.join(told)})"
