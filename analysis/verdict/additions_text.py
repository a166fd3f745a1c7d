"""What each set of machines brings or costs, in sentences with their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from analysis.cells.additions import Addition, Setup
from analysis.cells.family import Claim, Compared
from analysis.cells.scaling import DECODE
from analysis.text.sentence import Sentence, capital, say, together
from analysis.text.wording import interval, listing, ratio
from analysis.verdict.scaling_text import compared, unsure, with_why
from analysis.verdict.verdict import Verdict

ABOUT = "for {model} with {label}"
ABOUT_WEIGHTS = "for {model} ({weights}) with {label}"
ALONE = "{about}, {base} alone makes {rate} tokens/s"
TOGETHER = "{about}, {base} make {rate} tokens/s"
CHANGES = "adding {added} makes it {times} times as fast"
SAME = "adding {added} changes nothing within {margin}, at {times} times the speed"
UNSURE = "it is unclear whether adding {added} helps: {times} the speed"
NOT_COMPARED = "adding {added} is not compared"
WITH_BASE = "{step}; together {finding}"
MAKES = "{who} makes {rate} tokens/s"
MAKE = "{who} make {rate} tokens/s"
MADE_AND_IS, MADE_AND_ARE = "{made} and is", "{made} and are"
IS, ARE = "{who} is", "{who} are"
IS_AS, ARE_AS = "{who} is {times} times as fast", "{who} are {times} times as fast"
SOFTWARE = "Shown and not compared, because the GPU is software: {sets}."
CLAUSE = "{clause}."
MOST_IN_HEADLINE = 2
"""Setups that the headline names."""


def addition_sentences(setup: Setup, margin: str) -> tuple[Sentence, ...]:
    """What the base makes, what each addition to it does, and what the others make without it.

    Args:
        setup: of a run.
        margin: what counts as the same speed, as `±3 %`.
    """
    base = setup.base
    if base is None:
        return tuple(_software(setup))
    told = [_base(setup, base), *_steps(setup, base, margin), *_others(setup, base, margin)]
    return (*(say(CLAUSE, clause=capital(clause)) for clause in told), *_software(setup))


def with_additions(verdict: Verdict, setups: Sequence[Setup], margin: str) -> Verdict:
    """The verdict that begins with what machines bring to a GPU; the same where none was used."""
    on_gpu = [setup for setup in setups if setup.is_on_gpu]
    if not 0 < len(on_gpu) <= MOST_IN_HEADLINE:
        return verdict
    is_only = len(on_gpu) == 1
    clauses = [clause for one in on_gpu for clause in _brief(one, margin, is_only=is_only)]
    headline = say(CLAUSE, clause=capital(together(clauses, "; ")))
    return replace(verdict, headline=headline, details=(verdict.headline, *verdict.details))


def _base(setup: Setup, base: Addition) -> Sentence:
    return say(
        ALONE if base.cell.nodes == 1 else TOGETHER,
        about=_about(setup),
        base=base.machines,
        rate=_rate(base),
    )


def _about(setup: Setup) -> Sentence:
    weights = setup.params.get("weights")
    template = ABOUT_WEIGHTS if weights else ABOUT
    return say(template, model=setup.params["model"], weights=weights, label=setup.who)


def _brief(setup: Setup, margin: str, *, is_only: bool) -> Iterator[str]:
    """The base and the largest addition to it; of an only setup also the smallest, and others."""
    base = setup.base
    if base is None:
        return
    yield _base(setup, base)
    added = [one for one in setup.comparable if one.added_to_base]
    first = added[:1] if is_only and len(added) > 1 else []
    for one in (*first, *added[-1:]):
        yield _clause(one.added_to_base, one.against_base, margin)
    if is_only:
        yield from (_beside(one, base, margin) for one in _without(setup, base))


def _beside(one: Addition, base: Addition, margin: str) -> str:
    """How fast a set without the base is, as a clause."""
    is_one, found = one.cell.nodes == 1, one.against_base
    if found is None or found.ratio is None:
        return _made(one)
    if found.finding in (Claim.FASTER, Claim.SLOWER):
        return say(IS_AS if is_one else ARE_AS, who=one.machines, times=ratio(found.ratio))
    who = say(IS if is_one else ARE, who=one.machines)
    return compared(who, base.machines, _owner(base), found, margin)


def _steps(setup: Setup, base: Addition, margin: str) -> Iterator[str]:
    for one in setup.comparable:
        if not one.added_to_base:
            continue
        if one.added == one.added_to_base:
            yield _clause(one.added, one.against_base, margin)
            continue
        step = _clause(one.added, one.against_before, margin)
        told = one.against_base
        if told is None or told.ratio is None:
            yield step
        else:
            beside = compared("they are", base.machines, _owner(base), told, margin)
            yield say(WITH_BASE, step=step, finding=beside)


def _clause(added: str, found: Compared | None, margin: str) -> str:
    if found is None or found.ratio is None:
        return say(NOT_COMPARED, added=added)
    if found.finding is Claim.SAME:
        return say(SAME, added=added, margin=margin, times=ratio(found.ratio))
    if found.finding is Claim.UNKNOWN:
        return with_why(say(UNSURE, added=added, times=unsure(found)), found)
    return say(CHANGES, added=added, times=ratio(found.ratio))


def _others(setup: Setup, base: Addition, margin: str) -> Iterator[str]:
    for one in _without(setup, base):
        found = one.against_base
        if found is None or found.ratio is None:
            yield _made(one)
            continue
        who = say(MADE_AND_IS if one.cell.nodes == 1 else MADE_AND_ARE, made=_made(one))
        yield compared(who, base.machines, _owner(base), found, margin)


def _without(setup: Setup, base: Addition) -> Iterable[Addition]:
    """Of each series without the base its largest set."""
    others = (one for one in setup.comparable if one.series is not base.series)
    return {id(one.series): one for one in others}.values()


def _made(one: Addition) -> Sentence:
    return say(MAKES if one.cell.nodes == 1 else MAKE, who=one.machines, rate=_rate(one))


def _rate(one: Addition) -> str:
    return interval(one.cell.estimate(DECODE), brief=True)


def _owner(base: Addition) -> str:
    return "its" if base.cell.nodes == 1 else "their"


def _software(setup: Setup) -> list[Sentence]:
    sets = [one.machines for one in setup.software]
    return [say(SOFTWARE, sets=listing(sets))] if sets else []
