"""Which machine is the slowest, which root is best, and which machines to leave out.

Only where cells name their machines (axis `on`), and only as far as comparisons found it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from analysis.cells.cells import CellResult
from analysis.cells.family import Compared, Family
from analysis.cells.labels import ON, in_words
from analysis.cells.places import ALONE, Contest, Contests, contests_of
from analysis.cells.scaling import compare, is_unbeaten
from analysis.limits.assessment import Assessment, Kind
from analysis.limits.combinations import Combination, median_rate
from analysis.limits.gains import faster, gain, times
from analysis.text.sentence import say
from analysis.text.wording import nodes


def slowest_machine(combination: Combination, family: Family) -> Iterator[Assessment]:
    """Name the slowest machine alone: the lowest median, which the fastest was found faster than.

    It is called the slowest only if each other machine was found faster.
    """
    for contest in _contests(combination, family, alone=True):
        if not (contest.slowest and contest.fastest):
            continue
        slowest = contest.slowest[0]
        is_apart = len(contest.slowest) == 1 and contest.is_apart(slowest)
        low, top = slowest.cell, contest.fastest[0].cell
        if found := faster(top, low, family):
            names = _named(combination, low.record.nodes[0], low), top.record.nodes[0]
            what = "slowest machine" if is_apart else "slow machine"
            yield from gain(combination, what, found, names, "machines", Kind.LIMIT)


def slow_links(combination: Combination, family: Family) -> Iterator[Assessment]:
    """Name a machine that makes a worse root than its own speed alone explains.

    All traffic passes the root's link, or most of it. So such a machine has a slow link, or another
    fault that only others notice.
    """
    alone = {
        place.machines: place.cell
        for contest in _contests(combination, family, alone=True)
        for place in contest.compared
    }
    for contest in _contests(combination, family, alone=False):
        if not (contest.is_of_roots and contest.fastest):
            continue
        best = contest.fastest[0]
        for place in contest.compared:
            found = faster(best.cell, place.cell, family)
            one, other = alone.get(best.root), alone.get(place.root)
            if found and one and other and _is_unexplained(found, compare(one, other, family)):
                names = _named(combination, place.root, place.cell), best.root
                yield from gain(combination, "slow link", found, names, "machines", Kind.LIMIT)


def _is_unexplained(roots: Compared, alone: Compared | None) -> bool:
    """Whether two machines alone differ less than the same machines with each as the root."""
    if roots.ratio is None or alone is None or alone.ratio is None:
        return False
    least, most = roots.ratio.low, alone.ratio.high
    return least is not None and most is not None and most < least


def machines_to_change(combination: Combination, family: Family) -> Iterator[Assessment]:
    """Name the best root instead of the worst, and the fewer machines that were found faster."""
    for contest in _contests(combination, family, alone=False):
        yield from _order(combination, contest, family)
    for contests in contests_of(combination.series, family):
        found = list(_fewer(contests, family))
        if found:
            most, fewer, more = max(found, key=lambda one: times(one[0]))
            names = _machines(fewer), _named(combination, _machines(more), more)
            yield from gain(combination, "machines", most, names, _shown_in(contests))


def _contests(combination: Combination, family: Family, *, alone: bool) -> Iterator[Contest]:
    for contests in contests_of(combination.series, family):
        for contest in contests.contests:
            if (contest.kind == ALONE) is alone and len(contest.compared) > 1:
                yield contest


def _order(combination: Combination, contest: Contest, family: Family) -> Iterator[Assessment]:
    """The best order of the same machines instead of the worst."""
    if not (contest.fastest and contest.slowest):
        return
    best, worst = contest.fastest[0], contest.slowest[0]
    if found := faster(best.cell, worst.cell, family):
        what = "root" if contest.is_of_roots else "machines"
        names = best.name, _named(combination, worst.name, worst.cell)
        yield from gain(combination, what, found, names, "machines")


def _fewer(contests: Contests, family: Family) -> Iterator[tuple[Compared, CellResult, CellResult]]:
    """Fewer machines that were found faster than more of them in every order, and the best one.

    Nothing that another place was found faster than is advised.
    """
    sets: dict[frozenset[str], list[CellResult]] = {}
    for cell in (place.cell for place in contests.compared):
        sets.setdefault(frozenset(cell.record.nodes), []).append(cell)
    every = [cell for cells in sets.values() for cell in cells]
    for (few, ones), (many, others) in itertools.permutations(sets.items(), 2):
        if few < many:
            best = max(others, key=median_rate)
            for one in (cell for cell in ones if is_unbeaten(cell, every, family)):
                if all(faster(one, other, family) for other in others):
                    yield from _pair(one, best, family)


def _pair(
    one: CellResult, other: CellResult, family: Family
) -> Iterator[tuple[Compared, CellResult, CellResult]]:
    if found := faster(one, other, family):
        yield found, one, other


def _shown_in(contests: Contests) -> str:
    """The section that has the speeds of fewer machines and of more."""
    is_apart = any(one.kind == ALONE and len(one.places) > 1 for one in contests.contests)
    return "together" if is_apart else "machines"


def _named(combination: Combination, words: str, cell: CellResult) -> str:
    """Words for a cell, with what else distinguishes it, such as the length of its prompt."""
    return combination.with_distinction(words, cell, without=(ON,))


def _machines(cell: CellResult) -> str:
    """`desk alone`, `desk+pi1`, `the first three nodes`."""
    named = cell.record.params.get(ON)
    if named == "+".join(cell.record.nodes):
        return in_words(ON, str(named))
    return say("the first {nodes}", nodes=nodes(cell.nodes))
