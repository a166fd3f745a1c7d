"""What limits each engine with a model, what it is good at, and what would help."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.blocks import File, Part, Section, Tabled, note
from analysis.cells.tabulate import Table, Text, table
from analysis.limits.assessment import Assessment, Kind, frame
from analysis.limits.combinations import Combination, combinations_of
from analysis.limits.fitted import fitted_of
from analysis.limits.improvements import improvements_of
from analysis.limits.limits import limits_of
from analysis.limits.strengths import strengths_of
from analysis.study import Study
from analysis.text.sentence import say, say_of
from analysis.verdict.fastest import Fastest, fastest_of
from analysis.what_if.gains import Gain, gains_of
from collect.workloads import Benchmark

TITLE = "Limits, strengths and what would help"
READ = (
    "Measured: a comparison of this report found it, or it was read from logs. Upper bound: no "
    "more than that is possible. Calculated: from measured parts, not tried. Fitted: by the cost "
    "model, not tried, with a 90 % interval. Each sentence is made from its row in the file."
)
NAMES = {Kind.LIMIT: "Limit", Kind.STRENGTH: "Strength", Kind.IMPROVEMENT: "To improve"}
PLACES = {
    "time": "Time and traffic", "prompt": "Prefill", "failures": "What did not work",
    "stability": "Stability", "decode": "Decoding", "scaling": "Speed-up", "cells": "Cells",
    "additions": "What each addition brings", "links": "Slower links", "what-if": "What if",
    "machines": "Which machines", "together": "Together or apart", "cost-model": "Cost model",
}  # fmt: skip


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run that measured a speed on nodes."""
    if not study.scalings:
        return
    combinations = tuple(combinations_of(study.on_nodes, study.scalings))
    fastest = fastest_of(study.scalings, study.family)
    gains = gains_of(study.bases) if isinstance(study.run.workload, Benchmark) else ()
    by_group = [
        (combination, findings)
        for combination in combinations
        if (findings := _findings(combination, combinations, study, fastest, gains))
    ]
    if not by_group:
        return
    every = [finding for _, findings in by_group for finding in findings]
    parts = tuple(
        Part(title, (Tabled(title, _table(findings)),))
        for combination, findings in by_group
        if (title := say("{engine}, {model}", engine=combination.engine, model=combination.model))
    )
    ending = note(say(READ), file=File("limits", frame(every)))
    yield Section("limits", say(TITLE), (*parts, ending), "Limits and strengths")


def _findings(
    combination: Combination,
    combinations: tuple[Combination, ...],
    study: Study,
    fastest: tuple[Fastest, ...],
    gains: tuple[Gain, ...],
) -> tuple[Assessment, ...]:
    node_rows = study.steadiness.nodes.to_dict("records")
    fits = study.fits if isinstance(study.run.workload, Benchmark) else ()
    limits = tuple(limits_of(combination, study.family, study.chain, node_rows, fits))
    strengths = strengths_of(combination, fastest)
    helping = improvements_of(
        combination, combinations, study.setups, study.family, study.chain, limits
    )
    fitted = fitted_of(combination, gains, study.family.margin)
    return (*limits, *strengths, *helping, *fitted)


def _table(findings: tuple[Assessment, ...]) -> Table:
    rows = [
        [
            NAMES[one.kind],
            one.sentence,
            str(one.source),
            Text(PLACES[one.where], anchor=one.where) if one.where else "",
        ]
        for one in findings
    ]
    return table(("What", "Finding", say_of("From", "how it is known"), "See"), rows)
