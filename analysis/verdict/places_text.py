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
    "the best of {tried} {orders} of the same {n} machines is {name}, with {rate} tokens/s: "
    "{times} times the speed with {other}"
)
NOT_BETTER = "none of {tried} {orders} of the same {n} machines was found faster than {names}"
NOT_WORSE = "none of {tried} {orders} of the same {n} machines was found slower than {names}"
EVEN_ROOTS = "the {tried} {orders} of the same {n} machines are equally fast, within {margin}"
UNKNOWN_ROOTS = (
    "none of {tried} {orders} of the same {n} machines was found faster or slower than another"
)
TOO_FEW = "{clause} (with fewer than {fewest} shared blocks, nothing can be found)"
UNTRIED = "fewer than {fewest} blocks are shared with {names}, so nothing can be found there"
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
    fastest, slowest = contest.fastest, contest.slowest
    if contest.is_even:
        yield (
            say(EVEN, n=len(contest.compared), margin=margin)
            if is_alone
            else say(EVEN_ROOTS, **_orders(contest), margin=margin)
        )
    elif len(fastest) == len(slowest) == len(contest.compared):
        clause = (
            say(UNKNOWN, n=len(contest.compared))
            if is_alone
            else say(UNKNOWN_ROOTS, **_orders(contest))
        )
        yield say(TOO_FEW, clause=clause, fewest=FEWEST) if _is_untried(contest) else clause
    elif is_alone:
        yield from _alone(contest, fastest, slowest)
    else:
        yield from _together(contest, fastest, slowest)
    if contest.untried:
        yield say(UNTRIED, fewest=FEWEST, names=listing([one.name for one in contest.untried]))


def _orders(contest: Contest) -> dict[str, object]:
    """How many orders of how many machines were compared, as places of a sentence."""
    return {
        "tried": len(contest.compared),
        "orders": "roots" if contest.is_of_roots else "orders",
        "n": contest.places[0].cell.nodes,
    }


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
    contest: Contest, fastest: Sequence[Contender], slowest: Sequence[Contender]
) -> Iterator[Sentence]:
    if len(fastest) == 1 and contest.is_apart(fastest[0]):
        best, worst = fastest[0], slowest[0]
        yield say(
            BEST_ROOT,
            **_orders(contest),
            name=best.name,
            rate=_rate(best),
            times=_times(contest, best, worst),
            other=worst.name,
        )
    else:
        yield say(NOT_BETTER, **_orders(contest), names=_rated(fastest))
        yield say(NOT_WORSE, **_orders(contest), names=_rated(slowest))


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
