"""How one series goes with the number of nodes, as a clause with its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.cells.cells import CellResult
from analysis.cells.family import Claim, Compared
from analysis.cells.labels import GROUPS, in_words, varying_axes
from analysis.cells.scaling import DECODE, Point, Scaling
from analysis.statistics.stats import FEWEST, Ratio
from analysis.text.sentence import say, together
from analysis.text.wording import (
    bare,
    between,
    count,
    interval,
    listing,
    nodes,
    number,
    plural,
    ratio,
)

SURVIVORS = "in the attempts that counted, {clause}; {thrown}, in no figure"
ALL_FAILED = "{clause}; {thrown}, in no figure"
COUNTED = "in the attempts that counted, {clause}"
WITH_REASON = "{what} ({why})"
ONE_THROWN = "{thrown} of {attempts}{where} was thrown away"
THROWN = "{thrown} of {attempts}{where} were thrown away"
ONE_THROWN_OF_CELLS = "{thrown} of {attempts} was thrown away, {most} of {of}{where}"
THROWN_OF_CELLS = "{thrown} of {attempts} were thrown away, {most} of {of}{where}"
ALONE = "{nodes} decodes {rate} tokens/s {about}"
ONE_USER = "a user gets {rate} tokens/s {about}"
ALONE_TOGETHER = "{nodes} decode {rate} tokens/s {about}"
GAIN = "{nodes} are {times} times as fast as {base} {about}"
BASE = "{nodes} ({rate} tokens/s)"
STILL_FASTER = "{step} ({times} times as fast as {base})"
SO_MANY = "{nodes}"
NO_BLOCKS = "{one} cannot be compared with {other}"
SLOWER = "{who} slower than {other}, at {times} times {whose} speed"
FASTER = "{who} {times} times as fast as {other}"
AS_FAST = "{who} as fast as {other} within {margin}, at {times} times"
UNSURE_WHETHER = "it is unclear whether {who} faster than {other}: {times} {whose} speed"
UNSURE_SLOWER = "it is unclear whether {who} slower than {other}: {times} {whose} speed"
CORRECTED = "alone it would be clear; after correction for all comparisons p is {p}"
NO_HELP = "{about} more nodes than {base} do not help: {findings}"
UNSURE = "{about} it is unclear whether more nodes than {base} help: {findings}"
UNSURE_OF_FEW = (
    "{about} from so few {few} it is unclear whether more nodes than {base} help: {findings}"
)
NOT_COMPARED = "{nodes} are not compared"
ARE_SLOWER = "{nodes} are slower, at {times} times {whose} speed"
ARE_UNSURE = "{nodes} are {times} {whose} speed"
NOT_PLANNED = "fewer than {nodes} were not planned"
NOT_YET = "fewer than {nodes} are not measured yet"
NOT_MEASURED = "on {nodes} it could not be measured: {reason}"
MOST_TOLD = 3
"""Numbers of nodes that a brief clause names."""


def scaling_clause(scaling: Scaling, about: str, margin: str, *, brief: bool = False) -> str:
    """How a series scales, as a clause without its full stop.

    Args:
        scaling: the series.
        about: `for <model> with <engine>` or `with <engine>`.
        margin: what counts as the same speed, as `±3 %`.
        brief: of many numbers of nodes that do not help, name the fastest and the largest; of few
            trials the fastest alone, and not what was thrown away.
    """
    others = scaling.points[1:]
    is_short = brief and _is_of_few(scaling)
    if is_short or (brief and len(others) > MOST_TOLD):
        promising = max(others, key=lambda point: point.speed_up.value)
        told = (promising,) if is_short else (promising, others[-1])
        others = tuple(point for point in others if point in told)
    if not scaling.points[1:]:
        clause = _alone(scaling, about)
    elif scaling.best.nodes > scaling.baseline.nodes:
        clause = together([_gain(scaling, about), *_beyond(scaling, margin)], "; ")
    else:
        clause = _no_gain(scaling, others, about, margin, brief=is_short)
    clause = _of_survivors(scaling.series.cells, clause, is_short=is_short)
    why = _why_base(scaling)
    return say(WITH_REASON, what=clause, why=why) if why else clause


def _of_survivors(cells: Sequence[CellResult], clause: str, *, is_short: bool) -> str:
    """Say with a clause that attempts were thrown away; nothing else where none were."""
    thrown = thrown_away(cells)
    if not thrown:
        return clause
    if not has_survivors(cells):
        return clause if is_short else say(ALL_FAILED, clause=clause, thrown=thrown)
    return say(COUNTED if is_short else SURVIVORS, clause=clause, thrown=thrown)


def has_survivors(cells: Sequence[CellResult]) -> bool:
    """Whether a cell lost some of its attempts and has a figure all the same."""
    return any(cell.attempts.thrown and cell.is_measured for cell in cells)


def leaves_out(scaling: Scaling) -> bool:
    """Return whether a brief clause leaves out some numbers of nodes."""
    if _is_of_few(scaling):
        return len(scaling.points) > 2  # noqa: PLR2004 - the baseline and another
    return scaling.best is scaling.points[0] and len(scaling.points) - 1 > MOST_TOLD


def _is_of_few(scaling: Scaling) -> bool:
    """Whether there are too few trials to know whether any number of nodes helps."""
    return len(scaling.points) > 1 and not scaling.is_known and scaling.best is scaling.points[0]


def thrown_away(cells: Sequence[CellResult]) -> str:
    """`12 of 18 attempts on eight nodes were thrown away (pi7: it was throttled)`; may be empty.

    Of several cells all attempts are counted, and the cell that lost most is also named.
    """
    hit = [cell for cell in cells if cell.attempts.thrown]
    if not hit:
        return ""
    worst = max(hit, key=lambda cell: cell.attempts.thrown / cell.attempts.made)
    of = hit if len(hit) == 1 else cells
    thrown, made = (sum(getattr(cell.attempts, name) for cell in of) for name in ("thrown", "made"))
    where = _where(worst, cells)
    causes = list(dict.fromkeys(why for cell in (worst, *hit) for why in cell.attempts.causes))
    is_one = thrown == 1
    if len(hit) == 1:
        template = ONE_THROWN if is_one else THROWN
    else:
        template = ONE_THROWN_OF_CELLS if is_one else THROWN_OF_CELLS
    told = say(
        template,
        thrown=thrown,
        attempts=plural(made, "attempt"),
        where=where,
        most=worst.attempts.thrown,
        of=worst.attempts.made,
    )
    if not causes:
        return told
    return say(WITH_REASON, what=told, why=bare(causes[0]) + ("; …" if causes[1:] else ""))


def _where(cell: CellResult, cells: Sequence[CellResult]) -> str:
    """` on two nodes with 25 Mbit/s`: what distinguishes a cell from others on as many nodes."""
    params = cell.record.params
    if "system" in params and len(cells) > 1:
        return say(" of {system}", system=params["system"])
    alike = [other.record.params for other in cells if other.nodes == cell.nodes]
    told = together(
        (in_words(axis, params[axis]) for axis in varying_axes(alike) if axis in params), ", "
    )
    where = say(" on {nodes}", nodes=nodes(cell.nodes)) if cell.nodes else ""
    return where + (say(" with {shown}", shown=told) if told else "")


def _alone(scaling: Scaling, about: str) -> str:
    n, rate = scaling.baseline.nodes, interval(scaling.baseline.estimate(DECODE))
    if GROUPS in scaling.series.params:
        return say(ONE_USER, rate=rate, about=about)
    return say(ALONE if n == 1 else ALONE_TOGETHER, nodes=nodes(n), rate=rate, about=about)


def _gain(scaling: Scaling, about: str) -> str:
    return say(
        GAIN,
        nodes=nodes(scaling.best.nodes),
        times=ratio(scaling.best.speed_up),
        base=_base(scaling),
        about=about,
    )


def _base(scaling: Scaling) -> str:
    """`one (9.73 tokens/s)`."""
    rate = scaling.baseline.estimate(DECODE)
    speed = number(rate.value if rate else None)
    return say(BASE, nodes=count(scaling.baseline.nodes), rate=speed)


def _beyond(scaling: Scaling, margin: str) -> list[str]:
    """Say what each number of nodes after the best one does, compared with the one before it.

    Compared with the baseline where a report has too many comparisons to make those.
    """
    base = scaling.baseline.nodes
    return [
        _also(_step(point, step.before, step.found, margin), point, step.found, base)
        if (step := scaling.steps.get(point.nodes))
        else _beside_base(point, base, margin)
        for point in scaling.beyond
    ]


def _also(step: str, point: Point, found: Compared, base: int) -> str:
    """Add what is known of a number of nodes that may be as fast as the one before it."""
    if found.finding is not Claim.UNKNOWN or not point.is_faster:
        return step
    return say(STILL_FASTER, step=step, times=ratio(point.speed_up), base=count(base))


def _step(point: Point, before: int, found: Compared, margin: str) -> str:
    n = _n(point)
    if found.ratio is None:
        return say(NO_BLOCKS, one=n, other=count(before))
    return compared(say("{n} are", n=n), _so_many(before), _owner(before), found, margin)


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
    if found.finding is Claim.SLOWER:
        return say(SLOWER, who=who, other=other, times=told, whose=owner)
    if found.finding is Claim.FASTER:
        return say(FASTER, who=who, times=told, other=other)
    if found.finding is Claim.SAME:
        return say(AS_FAST, who=who, other=other, margin=margin, times=told)
    told = unsure(found)
    template = UNSURE_SLOWER if found.is_tried and _is_below(found.ratio) else UNSURE_WHETHER
    return with_why(say(template, who=who, other=other, times=told, whose=owner), found)


def _is_below(told: Ratio | None) -> bool:
    return told is not None and told.high is not None and told.high < 1


def with_why(clause: str, found: Compared) -> str:
    """Add to a clause that decides nothing why its figures do not decide it, where they seem to."""
    why = found.why or _corrected(found)
    return say(WITH_REASON, what=clause, why=why) if why else clause


def _corrected(found: Compared) -> str:
    """That an interval without 1 is not enough among many comparisons; empty if 1 is within."""
    told, p_value = found.ratio, found.p_adjusted
    if told is None or p_value is None or not told.has_interval or told.low is None:
        return ""
    is_clear_alone = told.low > 1 or _is_below(told)
    return say(CORRECTED, p=f"{p_value:.3f}") if is_clear_alone else ""


def unsure(found: Compared, *, brief: bool = False) -> str:
    """Say all that is known of an undecided comparison: `between 0.9 and 3.9 times`."""
    told = found.ratio
    if told is None:
        return "too few trials"
    return (
        say("between {between} times", between=between(told))
        if found.is_tried
        else say("at {shown} times", shown=ratio(told, brief=brief))
    )


def _no_gain(
    scaling: Scaling, points: Sequence[Point], about: str, margin: str, *, brief: bool
) -> str:
    base = scaling.baseline.nodes
    told = together((_beside_base(point, base, margin, brief=brief) for point in points), "; ")
    later = [point.against_base for point in scaling.points[1:]]
    if all(one and one.finding in (Claim.SLOWER, Claim.SAME) for one in later):
        return say(NO_HELP, about=about, base=_base(scaling), findings=told)
    template = UNSURE if scaling.is_known else UNSURE_OF_FEW
    few = _what_is_few(scaling)
    return say(template, about=about, few=few, base=_base(scaling), findings=told)


def _what_is_few(scaling: Scaling) -> str:
    """Trials; or only the blocks in which both of two cells have one."""
    trials = min(len(point.cell.by_block(DECODE)) for point in scaling.points)
    return "trials" if trials < FEWEST else "shared blocks"


def _beside_base(point: Point, base: int, margin: str, *, brief: bool = False) -> str:
    n, found, told = _n(point), point.against_base, ratio(point.speed_up)
    if found is None:
        return say(NOT_COMPARED, nodes=n)
    if found.finding is Claim.SLOWER:
        return say(ARE_SLOWER, nodes=n, times=told, whose=_owner(base))
    if found.finding is Claim.UNKNOWN:
        told = say(ARE_UNSURE, nodes=n, times=unsure(found, brief=brief), whose=_owner(base))
        return with_why(told, found)
    return compared(
        say("{n} are", n=n), _so_many(base), _owner(base), found, margin, point.speed_up
    )


def _owner(before: int) -> str:
    return "its" if before == 1 else "their"


def _so_many(nodes: int) -> str:
    """A number of nodes that others are compared with; Korean counts them as machines."""
    return say(SO_MANY, nodes=count(nodes))


def _n(point: Point) -> str:
    return count(point.nodes)


def _why_base(scaling: Scaling) -> str:
    """Why the baseline is not one node, where it is not."""
    base = scaling.baseline.nodes
    if base == 1 or scaling.series.is_of_one_number:
        return ""
    if not scaling.missing:
        return say(NOT_PLANNED, nodes=count(base))
    why: dict[str, list[str]] = {}
    for cell in scaling.missing:
        if cell.reasons:
            why.setdefault(bare(cell.reasons[0]), []).append(nodes(cell.nodes))
    if not why:
        return say(NOT_YET, nodes=count(base))
    told = [say(NOT_MEASURED, nodes=listing(n), reason=reason) for reason, n in why.items()]
    return together(told, "; ")
