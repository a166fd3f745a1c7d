"""Which machine is fast alone, which is slow, and which is the best root, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.cells.places import ALONE, Contender, Contest, Contests
from analysis.cells.scaling import DECODE, compare
from analysis.statistics.stats import FEWEST
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import interval, listing, ratio

ABOUT = "For {model} ({weights}) with {who}, {clause}."
FASTEST = "{name} is the fastest of {n} machines alone, with {rate} tokens/s"
SLOWEST = "{name} is the slowest alone, with {rate} tokens/s: {times} times the speed of {other}"
NOT_FASTER = "no machine alone was found faster than {names}"
NOT_SLOWER = "no machine alone was found slower than {names}"
EVEN = "the {n} machines are equally fast alone, within {margin}"
UNKNOWN = "no machine of {n} was found faster or slower alone than another"
BEST_ROOT = (
    "the best root of the same {n} machines is {name}, with {rate} tokens/s: {times} times the "
    "speed with {other} as the root"
)
NOT_BETTER = "no root of the same {n} machines was found better than {names}"
NOT_WORSE = "no root of the same {n} machines was found worse than {names}"
EVEN_ROOTS = "of the same {n} machines, each is as good a root as another, within {margin}"
UNKNOWN_ROOTS = "no root of the same {n} machines was found better or worse than another"
TOO_FEW = "{clause} (with fewer than {fewest} shared blocks, nothing can be found)"
WITH_RATE = "{name} ({rate} tokens/s)"


def place_sentences(fleet: Contests, margin: str) -> tuple[Sentence, ...]:
    """What was found about machines.

    Args:
        fleet: of a run.
        margin: what counts as the same speed, as `±3 %`.
    """
    return tuple(
        say(
            ABOUT,
            model=fleet.model,
            weights=fleet.weights,
            who=fleet.who,
            clause=together(_clauses(contest, margin), "; "),
        )
        for contest in fleet.contests
        if len(contest.compared) > 1 and contest.fastest and contest.slowest
    )


def _clauses(contest: Contest, margin: str) -> Iterator[Sentence]:
    is_alone = contest.kind == ALONE
    n = len(contest.compared) if is_alone else contest.places[0].cell.nodes
    fastest, slowest = contest.fastest, contest.slowest
    if contest.is_even:
        yield say(EVEN if is_alone else EVEN_ROOTS, n=n, margin=margin)
    elif len(fastest) == len(slowest) == len(contest.compared):
        clause = say(UNKNOWN if is_alone else UNKNOWN_ROOTS, n=n)
        yield say(TOO_FEW, clause=clause, fewest=FEWEST) if _is_untried(contest) else clause
    elif is_alone:
        yield from _alone(contest, fastest, slowest)
    else:
        yield from _together(contest, n, fastest, slowest)


def _alone(
    contest: Contest, fastest: Sequence[Contender], slowest: Sequence[Contender]
) -> Iterator[Sentence]:
    if len(fastest) == 1 and contest.is_apart(fastest[0]):
        n = len(contest.compared)
        yield say(FASTEST, name=fastest[0].name, n=n, rate=_rate(fastest[0]))
    else:
        yield say(NOT_FASTER, names=_rated(fastest))
    if len(slowest) == 1 and contest.is_apart(slowest[0]):
        low = slowest[0]
        yield say(
            SLOWEST,
            name=low.name,
            rate=_rate(low),
            times=_times(contest, low, fastest[0]),
            other=fastest[0].name,
        )
    else:
        yield say(NOT_SLOWER, names=_rated(slowest))


def _together(
    contest: Contest, n: int, fastest: Sequence[Contender], slowest: Sequence[Contender]
) -> Iterator[Sentence]:
    if len(fastest) == 1 and contest.is_apart(fastest[0]):
        best, worst = fastest[0], slowest[0]
        yield say(
            BEST_ROOT,
            n=n,
            name=best.name,
            rate=_rate(best),
            times=_times(contest, best, worst),
            other=worst.name,
        )
    else:
        yield say(NOT_BETTER, n=n, names=_rated(fastest))
        yield say(NOT_WORSE, n=n, names=_rated(slowest))


def _is_untried(contest: Contest) -> bool:
    """No two of its places have blocks enough in common for a comparison."""
    first, *others = contest.compared
    found = (compare(first.cell, other.cell, contest.family) for other in others)
    return not any(one is not None and one.is_tried for one in found)


def _rated(places: Sequence[Contender]) -> str:
    return listing([say(WITH_RATE, name=one.name, rate=_rate(one)) for one in places])


def _rate(place: Contender) -> str:
    return interval(place.cell.estimate(DECODE), brief=True)


def _times(contest: Contest, place: Contender, other: Contender) -> str:
    found = compare(place.cell, other.cell, contest.family)
    return ratio(found.ratio, brief=True) if found and found.ratio else ""
