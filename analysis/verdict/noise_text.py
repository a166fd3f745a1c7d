"""What identical arms showed, in sentences: the noise floor, and whether blocks can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from analysis.cells.arms import Noise, Texts, Twice
from analysis.cells.family import Family
from analysis.statistics.floor import Floor
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import DASH, listing, percent, plural, ratio
from analysis.verdict.verdict import Verdict

FLOOR = (
    "The noise floor of {what} is {floor} (95 %: {low} to {high}): two identical arms of {pairs} "
    "each differ by less in 95 % of comparisons. It comes from {cells}."
)
ENOUGH_CELLS = 8
FEW_CELLS = (
    "In simulations with trials that are far off, with drift of single cells or with cells of "
    "different noise, a floor of {cells} held in {share} of comparisons or more, and one of more "
    "cells more often."
)
SEEN = "The largest difference between two identical arms was {largest}."
RULE = "No difference below the floor is reported as one."
TOO_FEW = (
    "Identical arms were measured, but no cell has six pairs of trials, so there is no noise floor."
)
ALIKE = (
    "Neighbouring blocks are alike (correlation {alike} in {what}): something lasts over several "
    "blocks and affects one arm only. The floor allows for it."
)
ALONE = "Nothing is known of the noise of {cells}."
ALONE_ONE = "{name} (arm {arm} has no trial that is done)"
QUIET = "No comparison of identical arms found a difference."
BROKEN = (
    "Identical arms differ: {cells}. Blocks do not cancel what changes on this cluster, so do not "
    "trust differences in this report that are not much larger."
)
BROKEN_ONE = "{name} is {times} times itself ({what})"
SAME_TEXTS = "Both arms gave the same texts: {answers} of {cells}."
OTHER_TEXTS = (
    "Identical arms gave different texts: {cells}. The same question, settings and seed should "
    "give the same text, so the engine's answers do not depend on these alone."
)
OTHER_TEXTS_ONE = "{differing} of {answers} of {name}"
SHORT = "identical arms differ, see Noise"


def noise_sentences(noise: Noise) -> Iterator[Sentence]:
    """Say what the floor is, what it is from, and what identical arms showed."""
    if noise.broken:
        yield broken_sentence(noise)
    for what, floor in noise.floors.items():
        yield _floor(what, floor)
        if floor.alike:
            yield say(ALIKE, alike=f"{floor.alike:.2f}", what=what)
    if noise.floors:
        yield say(RULE)
    elif noise.twice:
        yield say(TOO_FEW)
    if noise.twice and not noise.broken and any(one.compared.is_tried for one in noise.twice):
        yield say(QUIET)
    if alone := noise.alone:
        told = [say(ALONE_ONE, name=name, arm=arm) for name, arm in alone.items()]
        yield say(ALONE, cells=listing(told))
    if noise.texts:
        yield _texts(noise.texts)


def _floor(what: str, floor: Floor) -> Sentence:
    told, low, high, largest = (
        percent(value - 1) for value in (floor.ratio, floor.low, floor.high, floor.largest)
    )
    sentence = say(
        FLOOR, what=what, floor=told, low=low, high=high,
        pairs=plural(floor.blocks, "pair"), cells=plural(floor.cells, "cell"),
    )  # fmt: skip
    return together([sentence, *_few_cells(floor), say(SEEN, largest=largest)])


def _few_cells(floor: Floor) -> Iterator[Sentence]:
    """Say how far a floor of few cells can be trusted."""
    if floor.cells < ENOUGH_CELLS:
        yield say(FEW_CELLS, cells=plural(floor.cells, "cell"), share=percent(floor.held))


def broken_sentence(noise: Noise) -> Sentence:
    """Say which cells differ from themselves."""
    return say(BROKEN, cells=listing([_broken(one) for one in noise.broken]))


def _broken(one: Twice) -> Sentence:
    told = ratio(one.compared.ratio) if one.compared.ratio else DASH
    return say(BROKEN_ONE, name=one.name, times=told, what=one.what)


def _texts(texts: tuple[Texts, ...]) -> Sentence:
    other = [one for one in texts if one.differing]
    if not other:
        answers = plural(sum(one.compared for one in texts), "answer")
        return say(SAME_TEXTS, answers=answers, cells=plural(len(texts), "cell"))
    told = [
        say(
            OTHER_TEXTS_ONE,
            differing=one.differing,
            answers=plural(one.compared, "answer"),
            name=one.name,
        )
        for one in other
    ]
    return say(OTHER_TEXTS, cells=listing(list(told)))


def with_noise(verdict: Verdict, noise: Noise, family: Family) -> Verdict:
    """The verdict with what a reader must know of the noise: loudly if identical arms differ."""
    refused = [row for row in family.rows if row.why]
    told = [broken_sentence(noise)] if noise.broken else []
    return replace(
        verdict,
        caveats=(*told, *verdict.caveats, *_refused(len(refused))),
        reservations=(*((SHORT,) if noise.broken else ()), *verdict.reservations),
    )


def _refused(n: int) -> Iterator[Sentence]:
    if n:
        yield say(REFUSED_ONE if n == 1 else REFUSED, n=n)


REFUSED = "{n} comparisons have no verdict because identical arms differ as much (see Noise)."
REFUSED_ONE = "One comparison has no verdict because identical arms differ as much (see Noise)."
