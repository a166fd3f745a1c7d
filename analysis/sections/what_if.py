"""What if: what a token would take in settings that were not measured, and what would help most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from analysis.blocks import Block, Bullets, Controls, File, Prose, Section, Tabled
from analysis.cells.tabulate import Table, frame_table
from analysis.charted import charted
from analysis.charts.gains import gain_chart
from analysis.model.cost import TERMS
from analysis.model.scope import ENOUGH_COUNTS
from analysis.study import Study
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import NOTHING, percent, plural, with_ends
from analysis.what_if.answer import ONE_EACH, Predicted, is_of_one_trial
from analysis.what_if.asking import predicted_of
from analysis.what_if.basis import MOST_SHOWN, Basis, usable
from analysis.what_if.gains import gain_frame, gains_of
from analysis.what_if.payload import payload_of
from analysis.what_if.supposed import Supposed
from analysis.what_if.told import CANNOT, EXTRAPOLATED, FEW, held_words
from collect.workloads import Benchmark

TITLE, MENU = "What if", "What if"
INTRO = (
    "The cost model, fitted to this run, predicts the time of a decoded token in settings that "
    "were not measured. The HTML page has controls for it, and fab what-if answers the same "
    "questions."
)
ERROR = (
    "{who}: half of {n} measured cells are off by less than {error} when they are predicted from "
    "the other numbers of nodes."
)
SOME = "A few settings"
NOT_ASKED = "{who}: not fitted (see What a token's time consists of)."
LEFT_OUT = "{n} of cells: ask fab what-if."
READ = (
    "Everything but the number of nodes is as in the fastest measured cell of the model. The "
    "interval holds 90 % of what would be measured, if the cost model describes the setting. "
    "Outside the measured range, nothing has checked that."
)
COLUMNS = {
    "series": "Series", "model": "Model", "weights": "Weights", "nodes": "Nodes",
    "ms": "ms per token", "tokens_per_s": "Tokens/s", "note": "Note",
}  # fmt: skip
MEASURED = "in the measured range"


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a benchmark that has a fit which may be used."""
    if not isinstance(study.run.workload, Benchmark):
        return
    bases = study.bases
    if not usable(bases):
        return
    shown = [*(basis for basis, _ in usable(bases)), *(one for one in bases if not one.usable)]
    data = answer_frame(_doublings(shown[:MOST_SHOWN]))
    blocks: list[Block] = [Prose(tuple(_introduced(shown)))]
    if refused := [one for one in shown if not one.usable]:
        blocks.append(Bullets(tuple(say(NOT_ASKED, who=one.name) for one in refused)))
    blocks.append(Controls("what-if-panel", payload_of(shown)))
    blocks.append(Tabled(say(SOME), _table(data), (say(READ),), File("what-if", data)))
    chart = gain_chart(gain_frame(gains_of(bases)))
    blocks += charted([chart] if chart else [])
    yield Section("what-if", say(TITLE), tuple(blocks), say(MENU))


def _introduced(shown: Sequence[Basis]) -> Iterator[Sentence]:
    """Say what is asked, and how well it is answered."""
    yield say(INTRO)
    for basis, fit in usable(shown[:MOST_SHOWN]):
        yield say(ERROR, who=basis.name, error=percent(fit.median_error), n=len(fit.left_out))
        if is_of_one_trial(basis):
            yield say(ONE_EACH)
        if len(fit.counts) < ENOUGH_COUNTS:
            yield say(FEW, counts=len(fit.counts))
    if (rest := len(shown) - MOST_SHOWN) > 0:
        yield say(LEFT_OUT, n=plural(rest, "more group"))


def _doublings(shown: Iterable[Basis]) -> Iterator[Predicted]:
    """Ask each fit about each model it measured, on doublings up to twice what was measured."""
    for basis, fit in usable(shown):
        counts = [2**power for power in range((2 * fit.counts[-1]).bit_length())]
        for model in basis.models:
            yield from predicted_of([basis], [Supposed(model=model, nodes=n) for n in counts])


def answer_frame(answers: Iterable[Predicted]) -> pd.DataFrame:
    """`what-if.csv`: a row for each answer."""
    return pd.DataFrame([_row(one) for one in answers])


def _row(one: Predicted) -> dict[str, Any]:
    found = one.prediction
    return {
        "engine": one.basis.engine,
        "series": one.basis.label,
        "model": one.model,
        "weights": one.setting.weights,
        "nodes": one.setting.nodes,
        "link_mbit": one.setting.link_mbit,
        "ms_per_token": found.total_ms if found else None,
        "low_ms": found.low_ms if found else None,
        "high_ms": found.high_ms if found else None,
        "tokens_per_s": found.tokens_per_s if found else None,
        **{f"{term}_ms": found.terms[term] if found else None for term in TERMS},
        "note": _note(one),
    }


def _note(one: Predicted) -> Sentence:
    if one.prediction is None:
        return say(CANNOT, why=one.reason)
    found = one.prediction
    first = (
        say(EXTRAPOLATED, why=together(found.extrapolates, "; "))
        if found.extrapolates
        else say(MEASURED)
    )
    if found.formula_ms is None:
        return first
    return together([first, held_words(found.formula_ms)], "; ")


def _table(data: pd.DataFrame) -> Table:
    ends = zip(data["ms_per_token"], data["low_ms"], data["high_ms"], strict=True)
    told = [with_ends(*one) if pd.notna(one[0]) else NOTHING for one in ends]
    return frame_table(data.assign(ms=told), COLUMNS)
