"""Answers in words, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from analysis.model.cost import TERMS
from analysis.model.fit import CostFit
from analysis.model.scope import ENOUGH_COUNTS
from analysis.text.sentence import Sentence, say
from analysis.text.wording import listing, number, percent, plural, with_ends
from analysis.what_if.answer import Predicted, measured_range
from analysis.what_if.asking import Consulted
from analysis.what_if.basis import Basis

FITTED = (
    "{who}: fitted to {cells}. Each number of nodes was predicted from the others: half of the "
    "cells are off by less than {error}, and {covered} of {all} are in their 90 % interval."
)
FEW = "Only {counts} numbers of nodes: from four on, these errors say something about further ones."
NOT_FITTED = "{who}: not fitted. {why}"
ASKED = "{model}, {weights} weights, {nodes}{rest}"
TIME = "{ms} ms per token ({low} to {high} in 90 of 100 cases), {rate} tokens/s ({slow} to {fast})"
TERMS_TOLD = "consists of (medians, ms): {terms}"
TERMS_OF_FORMULA = "the formula's terms (medians, ms): {terms}"
FASTER = (
    "{times} times as fast as the formula has the fastest measured cell, {nodes} with {weights} "
    "({ms} ms were measured)"
)
AS_MEASURED = (
    "as fast as the fastest measured cell: {ms} ms were measured on {nodes} with {weights}"
)
HELD = (
    "the formula alone gives {ms} ms ({low} to {high}), partly by saving more than all the waiting "
    "that the engine reports here"
)
UNMEASURED = "{model} was not measured in this run: its sizes are from the catalogue"
EXTRAPOLATED = "extrapolation: {why}"
CANNOT = "cannot run: {why}"
LINK, LATENCY = "links of {rate} Mbit/s", "latency of a step x {times}"
MEMORY, PROCESSOR = "memory x {times}", "processor x {times}"


def consulted_lines(asked: Consulted) -> Iterator[str]:
    """Say what was fitted, then what each fit answers: one answer in full, several as a table."""
    for basis in asked.bases:
        yield from _heading(basis)
        own = [one for one in asked.answers if one.basis is basis]
        yield from (_table_lines(own) if len(own) > 1 else chain(*map(_lines_of, own)))


def _heading(basis: Basis) -> Iterator[str]:
    """Say what was fitted and how well, or why it is not used; then what was measured."""
    fit = basis.fit
    if fit is not None:
        yield say(FITTED, who=basis.name, **_quality(fit))
        if len(fit.counts) < ENOUGH_COUNTS:
            yield say(FEW, counts=len(fit.counts))
    if basis.refusals:
        yield say(NOT_FITTED, who=basis.name, why=" ".join(basis.refusals))
    if basis.measured:
        yield measured_range(basis)


def _quality(fit: CostFit) -> dict[str, object]:
    return {
        "cells": plural(len(fit.left_out), "cell"),
        "error": percent(fit.median_error),
        "covered": sum(one.is_covered for one in fit.left_out),
        "all": len(fit.left_out),
    }


def _lines_of(found: Predicted) -> Iterator[str]:
    """Say an answer, a line for each thing."""
    yield _setting_words(found)
    predicted, setting = found.prediction, found.setting
    if predicted is None:
        yield f"  {say(CANNOT, why=found.reason)}"
        return
    ends = (predicted.total_ms, predicted.low_ms, predicted.high_ms)
    ms, low, high = map(number, ends)
    rate, fast, slow = (number(1000 / end) for end in ends)
    yield f"  {say(TIME, ms=ms, low=low, high=high, rate=rate, slow=slow, fast=fast)}"
    terms = listing(
        [say("{term} {ms}", term=term, ms=number(predicted.terms[term])) for term in TERMS]
    )
    if predicted.formula_ms is None:
        yield f"  {say(TERMS_TOLD, terms=terms)}"
    if found.best is not None and found.times is not None:
        best = found.best.setting
        times = with_ends(*found.times)
        ms = number(found.best.total_ms)
        who = found.basis.who(best)
        template = AS_MEASURED if found.times == (1.0, 1.0, 1.0) else FASTER
        yield f"  {say(template, times=times, nodes=who, weights=best.weights, ms=ms)}"
    else:
        yield f"  {say(UNMEASURED, model=found.model)}"
    if predicted.formula_ms is not None:
        yield f"  {held_words(predicted.formula_ms)}"
        yield f"  {say(TERMS_OF_FORMULA, terms=terms)}"
    if predicted.extrapolates:
        yield f"  {say(EXTRAPOLATED, why='; '.join(predicted.extrapolates))}"
    if setting.nodes > len(found.basis.nodes) and setting.slowness:
        yield "  further machines count as the middle one of those that were measured"


def held_words(formula_ms: tuple[float, float, float]) -> Sentence:
    """Say what the formula alone gives: median and ends, in ms."""
    ms, low, high = map(number, formula_ms)
    return say(HELD, ms=ms, low=low, high=high)


def _setting_words(found: Predicted) -> str:
    """`stories15m, q4_0 weights, eight nodes, links of 2500 Mbit/s`."""
    setting, asked = found.setting, found.asked
    told = [
        say(LINK, rate=f"{setting.link_mbit:g}") if setting.link_mbit else "",
        say(LATENCY, times=f"{asked.latency:g}") if asked.latency != 1 else "",
        say(MEMORY, times=f"{asked.memory:g}") if asked.memory != 1 else "",
        say(PROCESSOR, times=f"{asked.processor:g}") if asked.processor != 1 else "",
    ]
    rest = "".join(f", {one}" for one in told if one)
    who = found.basis.who(setting)
    return say(ASKED, model=found.model, weights=setting.weights, nodes=who, rest=rest)


HEAD = ("ms per token", "90 % interval", "tokens/s", "against the best", "")


def _table_lines(found: Sequence[Predicted]) -> Iterator[str]:
    """Print several answers as a table, a line each."""
    rows = [("setting", *HEAD), *((_setting_words(one), *_row(one)) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def _row(found: Predicted) -> tuple[str, ...]:
    predicted = found.prediction
    if predicted is None:
        return ("-", "-", "-", "-", say(CANNOT, why=found.reason))
    times = f"x {with_ends(*found.times)}" if found.times else "-"
    notes = [
        say(EXTRAPOLATED, why="; ".join(predicted.extrapolates)) if predicted.extrapolates else "",
        held_words(predicted.formula_ms) if predicted.formula_ms is not None else "",
    ]
    return (
        number(predicted.total_ms),
        say(
            "{low_ms} to {high_ms}",
            low_ms=number(predicted.low_ms),
            high_ms=number(predicted.high_ms),
        ),
        number(predicted.tokens_per_s),
        times,
        "; ".join(note for note in notes if note),
    )
