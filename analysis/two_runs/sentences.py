"""What two runs show, in sentences: the verdict, how sure it is, and what it does not cover."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from analysis.cells.family import Claim
from analysis.cells.scaling import SPEED
from analysis.text.sentence import Sentence, say
from analysis.text.wording import bare_percent, listing, number, percent, plural, ratio, within
from analysis.two_runs.changes import MACHINE, METHOD, OF_NODES, PLACES, TOOLKIT
from analysis.two_runs.comparison import TwoRuns
from analysis.two_runs.pairing import MACHINES, measured_by_both
from analysis.two_runs.quality import WORDS
from analysis.two_runs.speeds import SpeedChange

SLOWER = "Slower in {cells} of {all}: {what} of {cell} is {ratio} times that of the baseline{rest}."
FASTER = "Faster in {cells} of {all}: {what} of {cell} is {ratio} times that of the baseline{rest}."
BOTH = "{slower} {faster}"
AND_MORE = "; the others are in the table"
ALL_SAME = "The same within {margin} in all {all} that were compared."
NOTHING = "No difference between the runs is shown in {all} that were compared."
NOT_JUDGED = "Too few trials for a verdict: six of a cell are needed in both runs."
NO_SPEED = "No speed of these runs can be compared."
LOST = "Every trial failed in the contender, and not in the baseline: {cells}."
WORSE = "{what} is worse in {cells}."
BETTER = "{what} is better in {cells}."
APART = (
    "The runs were not measured in turn: they began {days} apart. What else was different then, "
    "such as heat, load or a kernel, is in the ratios, too."
)
ASSUMED = (
    "It is assumed that two runs of the same differ by at most {bound} in 95 % of cases. If they "
    "differ by more on this cluster, verdicts are wrong more often ({page}). Measure it: from four "
    "runs of the same matrix on, their differences are used instead."
)
PAGE = "docs/compare-runs.md"
ASSUMED_FEW = "{runs} of the same cells are there, which are too few to know how far runs differ."
MEASURED = (
    "How far runs of the same differ was measured on {runs} of the same cells: by at most {bound} "
    "in 95 % of cases, for {what}."
)
UNKNOWN_CAUSE = (
    "Nothing that is recorded of the compared cells was changed. A difference is then one between "
    "two runs of the same."
)
CAUSES = (
    "A ratio is of all that was changed together ({kinds}), and of what was not recorded: two runs "
    "cannot show which of it is the cause."
)
CONTROLS = (
    "{cells} were not changed. They differ by {most} at most, which comes from the day. Other "
    "cells are only called faster or slower if they also differ from these."
)
ODD = {"baseline": "In the baseline: {what}", "contender": "In the contender: {what}"}
BROKEN_LIMIT = "Beyond the limit of {limit}: {cells}."
LESS = "less than a day"
SPEED_OF = "{cell} ({what})"
WITHIN_LIMIT = "No speed is shown to be slower by more than {limit}."
UNFINISHED = (
    "The limit was not judged for all cells, because the contender has trials left, or too few: "
    "{cells}."
)
TOO_FEW = "Not judged, because there are too few trials of it: {cells}."
ONLY = {
    "baseline": "Only the baseline measured {cells} (table Not compared).",
    "contender": "Only the contender measured {cells} (table Not compared).",
}


def headline(found: TwoRuns) -> Sentence:
    """The answer, one sentence."""
    if not found.speeds:
        return say(NO_SPEED)
    if not found.is_judged:
        return say(NOT_JUDGED)
    slower, faster = found.found(Claim.SLOWER), found.found(Claim.FASTER)
    told = [
        _spoken(template, own, len(found.speeds))
        for template, own in ((SLOWER, slower), (FASTER, faster))
        if own
    ]
    if len(told) > 1:
        return say(BOTH, slower=told[0], faster=told[1])
    if told:
        return told[0]
    speeds = plural(len(found.speeds), "speed")
    if len(found.found(Claim.SAME)) == len(found.speeds):
        return say(ALL_SAME, margin=within(found.margin), all=speeds)
    return say(NOTHING, all=speeds)


def _spoken(template: str, own: Sequence[SpeedChange], count: int) -> Sentence:
    first = [one for one in own if one.asked.what == SPEED] or own
    most = max(first, key=lambda one: abs(one.means.log))
    return say(
        template,
        cells=len(own),
        all=plural(count, "speed"),
        what=most.asked.what,
        cell=most.asked.name,
        ratio=ratio(most.means.ratio),
        rest=say(AND_MORE) if len(own) > 1 else "",
    )


def details(found: TwoRuns) -> Iterator[Sentence]:
    """Further findings."""
    limit = found.asked.limit
    if limit is not None and found.is_judged:
        told = bare_percent(limit)
        yield (
            say(BROKEN_LIMIT, limit=told, cells=_cells(found.beyond))
            if found.beyond
            else say(WITHIN_LIMIT, limit=told)
        )
    if limit is not None and (open_ones := [pair.name for pair in found.unfinished]):
        yield say(UNFINISHED, cells=listing(open_ones))
    few = [one for one in found.speeds if not one.means.is_tried]
    if few and found.is_judged:
        yield say(TOO_FEW, cells=_cells(few))
    lost = [pair.name for pair in found.lost]
    if lost:
        yield say(LOST, cells=listing(lost))
    for side, template in ONLY.items():
        alone = sum(one.side == side for one in found.left)
        if count := alone - (len(lost) if side == "baseline" else 0):
            yield say(template, cells=plural(count, "cell"))
    for verdict, template in zip(list(WORDS.values())[1::-1], (WORSE, BETTER), strict=True):
        own = [one for one in found.quality if one.verdict == verdict]
        for what in dict.fromkeys(one.what for one in own):
            names = [one.name for one in own if one.what == what]
            yield say(template, what=what, cells=listing(names))


def _cells(found: Sequence[SpeedChange]) -> str:
    """List speeds with their cells."""
    return listing([say(SPEED_OF, cell=one.asked.name, what=one.asked.what) for one in found])


def caveats(found: TwoRuns) -> Iterator[Sentence]:
    """What a reader must know before quoting the answer."""
    between = abs(found.contender.run.created_at - found.baseline.run.created_at) / 86_400
    days = plural(round(between), "day") if between >= 1 else say(LESS)
    yield say(APART, days=days)
    kinds = list(dict.fromkeys(_changed_kinds(found)))
    yield say(CAUSES, kinds=listing(kinds)) if kinds else say(UNKNOWN_CAUSE)
    yield from _between(found)
    yield from _controls(found)
    for side, study in (("baseline", found.baseline), ("contender", found.contender)):
        for odd in (*study.warnings, *study.steadiness.oddities):
            yield say(ODD[side], what=odd)


def _changed_kinds(found: TwoRuns) -> Iterator[str]:
    """Kinds of what was changed of the cells that are compared, the machines of others left out."""
    own = {kind for pair in measured_by_both(found.pairs) for kind in pair.changed}
    if MACHINES in own:
        own.add(MACHINE)
    for one in found.changes:
        is_elsewhere = one.kind in OF_NODES and one.kind not in own and one.what != PLACES
        if one.kind not in (METHOD, TOOLKIT) and not is_elsewhere:
            yield one.kind


def _between(found: TwoRuns) -> Iterator[Sentence]:
    told = found.between[SPEED]
    if told.is_assumed:
        yield say(ASSUMED, bound=percent(told.bound), page=PAGE)
        if told.runs:
            yield say(ASSUMED_FEW, runs=plural(told.runs, "run"))
        return
    for what, one in found.between.items():
        if not one.is_assumed:
            yield say(MEASURED, runs=plural(one.runs, "run"), bound=percent(one.bound), what=what)


def _controls(found: TwoRuns) -> Iterator[Sentence]:
    controls = [one for one in found.speeds if not one.asked.is_changed and one.means.is_tried]
    if controls and any(one.asked.is_changed for one in found.speeds):
        most = max(abs(one.means.log) for one in controls)
        names = {one.asked.key for one in controls}
        yield say(CONTROLS, cells=plural(len(names), "cell"), most=percent(math.expm1(most)))


def shown_ratio(one: SpeedChange) -> str:
    """A ratio with its interval; of too few trials without one."""
    found = one.means.ratio
    return ratio(found) if found.low is not None else number(found.value)
