"""Answers as `fab what-if --json` prints them."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.model.cost import Term
from analysis.what_if.answer import Predicted
from analysis.what_if.asking import Consulted
from analysis.what_if.basis import Basis
from analysis.what_if.bought import Bought
from core.json_answer import JsonAnswer, JsonPart


class UsedFit(JsonPart):
    """A fit that was asked.

    Attributes:
        series: what it was fitted to, as the report calls it.
        used: whether it may be used.
        refusals: why not, a sentence each.
        cells: measured ones that it is of.
        measured_nodes: numbers of nodes that were measured.
        median_error: of each number of nodes as predicted from the others, as a share; null
            without a fit.
        coverage: share of the cells that are in their 90 % interval then; null without a fit.
    """

    engine: str
    series: str
    used: bool
    refusals: tuple[str, ...]
    cells: int
    measured_nodes: tuple[int, ...]
    median_error: float | None
    coverage: float | None


class TokenTime(JsonPart):
    """The time of a token in a setting; times are null where it cannot run.

    Attributes:
        cannot: why the setting cannot run, a clause; null if it can.
        ms_per_token: median, in ms.
        low_ms: lower end of the 90 % interval, in ms.
        high_ms: upper end of it, in ms.
        terms_ms: what the time consists of, medians in ms.
    """

    engine: str
    model: str
    weights: str
    nodes: int
    link_mbit: float | None
    cannot: str | None
    ms_per_token: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    tokens_per_s: float | None = None
    terms_ms: dict[Term, float] | None = None


class PredictedTime(TokenTime):
    """The same, predicted from a run.

    Attributes:
        series: whose fit predicts it.
        root: name of the machine that was to be the root; null where none was named.
        machines: names of the nodes, the root first; none where the setting has no names.
        latency: how long a step waits, as a multiple of now.
        memory: how many times as fast the memory is as now.
        processor: how many times as fast the processors are as now.
        extrapolates: in what the setting is beyond what was measured.
        best_measured_ms: the fastest measured cell of the model, in ms; null if none was.
        times_as_fast: median and ends of how many times as fast as the formula has that cell; null
            if there is none.
        formula_ms: median and ends of what the formula alone gives, in ms, where some of that saves
            more than all the waiting that the engine reports: there the times above stop, and
            `terms_ms` are of the formula. Null elsewhere.
    """

    series: str
    root: str | None
    machines: tuple[str, ...]
    latency: float
    memory: float
    processor: float
    extrapolates: tuple[str, ...] = ()
    best_measured_ms: float | None = None
    times_as_fast: tuple[float, float, float] | None = None
    formula_ms: tuple[float, float, float] | None = None


class WhatIfAnswer(JsonAnswer):
    """Settings that were not measured, predicted from a run.

    Attributes:
        answers: in the order of the fits, then of the questions.
    """

    fits: tuple[UsedFit, ...]
    answers: tuple[PredictedTime, ...]


class WhatIfMachineAnswer(JsonAnswer):
    """Settings on a machine of the catalogue, guessed without a run (`--machine`).

    Attributes:
        memory_gib: of each node; null where it was not given.
        weights_gbs: weights of 4 bits that it goes through in a second, in GB/s.
        source: where that is from.
    """

    machine: str
    memory_gib: float | None
    weights_gbs: float
    source: str
    answers: tuple[TokenTime, ...]


def what_if_answer(asked: Consulted) -> WhatIfAnswer:
    """Answer by the fits of a run."""
    return WhatIfAnswer(
        fits=tuple(map(_fit, asked.bases)), answers=tuple(map(_predicted, asked.answers))
    )


def _fit(basis: Basis) -> UsedFit:
    fit = basis.fit
    return UsedFit(
        engine=basis.engine,
        series=basis.label,
        used=basis.usable is not None,
        refusals=tuple(basis.refusals),
        cells=len(basis.measured),
        measured_nodes=tuple(fit.counts) if fit else (),
        median_error=fit.median_error if fit else None,
        coverage=fit.coverage if fit else None,
    )


def _predicted(found: Predicted) -> PredictedTime:
    predicted, setting, asked = found.prediction, found.setting, found.asked
    told = PredictedTime(
        engine=found.basis.engine,
        series=found.basis.label,
        model=found.model,
        weights=setting.weights,
        nodes=setting.nodes,
        link_mbit=setting.link_mbit,
        root=asked.root,
        machines=tuple(setting.names),
        latency=asked.latency,
        memory=asked.memory,
        processor=asked.processor,
        cannot=found.reason or None,
    )
    if predicted is None:
        return told
    return told.model_copy(
        update={
            "ms_per_token": predicted.total_ms,
            "low_ms": predicted.low_ms,
            "high_ms": predicted.high_ms,
            "tokens_per_s": predicted.tokens_per_s,
            "terms_ms": dict(predicted.terms),
            "extrapolates": tuple(predicted.extrapolates),
            "best_measured_ms": found.best.total_ms if found.best else None,
            "times_as_fast": found.times,
            "formula_ms": predicted.formula_ms,
        }
    )


def what_if_machine_answer(guessed: Sequence[Bought]) -> WhatIfMachineAnswer:
    """Answer for a machine of the catalogue."""
    first = guessed[0]
    return WhatIfMachineAnswer(
        machine=first.machine.name,
        memory_gib=first.memory_gib,
        weights_gbs=first.found.weights_gbs,
        source=first.found.source,
        answers=tuple(map(_guessed, guessed)),
    )


def _guessed(one: Bought) -> TokenTime:
    setting = one.setting
    middle, low, high = one.ms or (None, None, None)
    return TokenTime(
        engine=one.engine,
        model=one.model,
        weights=setting.weights,
        nodes=setting.nodes,
        link_mbit=setting.link_mbit,
        cannot=one.reason or None,
        ms_per_token=middle,
        low_ms=low,
        high_ms=high,
        tokens_per_s=1000 / middle if middle else None,
        terms_ms=dict(one.terms) if one.ms else None,
    )
