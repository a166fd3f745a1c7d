"""The cost model: what a token's time consists of, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from analysis.blocks import Block, Bullets, File, Prose, Section, Tabled, cited
from analysis.cells.tabulate import Table, frame_table
from analysis.charted import charted
from analysis.charts.chart import Chart
from analysis.charts.terms import term_bars
from analysis.model.cost import COMPUTED, TERMS, Coefficient, Observation, Term, features_of
from analysis.model.fit import TAILS, CostFit
from analysis.model.scope import ENOUGH_COUNTS, chance_of_coverage
from analysis.model.wire import is_chain
from analysis.network.run_fits import GroupFit
from analysis.study import Study
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import DASH, listing, nodes, number, percent, plural
from collect.workloads import Benchmark

TITLE, MENU = "What a token's time consists of", "Cost model"
LARGEST = (
    "{who}: on {nodes}, {share} of the time of a token of {model} is {term} ({ms} of {total} ms "
    "by the cost model)."
)
ERRORS = (
    "Each number of nodes was predicted from the others: half of the {cells} are off by less than "
    "{error}, and {covered} of them are in their 90 % interval."
)
FEW = (
    "That is {counts} numbers of nodes. From four on, these errors say something about further "
    "ones."
)
ALONE = (
    "How fast each machine is relative to {first} follows from its own cells alone. So only those "
    "of {first} count among these."
)
QUOTA = (
    "{nodes} may use only a share of a core on average, by a quota. When one has used it up, the "
    "others report the wait as synchronising. So these fits are of whole tokens."
)
CHAIN = (
    "Not every machine was measured alone. A machine or a link that takes part only on {nodes}, "
    "and is slower than the others, may look like latency in a chain. Measure each machine alone "
    "(`on: [each, first]`), and the links by `fab probe`."
)
CLOSE = "What the cells do not determine is as it was believed beforehand: {names}."
REFUSED = "{who}: {why}"
ONE_BAR = "{who}, {model} on {nodes}: {parts}"
READ = (
    "Bars are the model's terms, the line is what was measured. Memory: reading weights. "
    "Computing: arithmetic and what each layer costs. Latency: steps that wait for a message. "
    "Transfer: bytes through the busiest link. Waiting: the slowest node takes longer."
)
TOGETHER = (
    "With one type of weights, memory and arithmetic cannot be distinguished: only their sum is "
    "measured."
)
TABLE = (
    "Left out: the median relative error of cells that were predicted from the other numbers of "
    "nodes. Covered: how many of these are in their 90 % interval."
)
PRIORS = (
    "The interval holds 90 % of the draws. A coefficient that the cells do not determine keeps "
    "what was believed of usual machines, or what a probe of the machines measured."
)
NAMED: dict[Term, str] = {
    "memory": "reading memory", "computing": "computing", "latency": "latency",
    "transfer": "transfer", "waiting": "waiting for the slowest node",
}  # fmt: skip
COMPUTED_NAME = "reading memory and computing"
UNITS: dict[Coefficient, tuple[str, float]] = {
    "memory": ("ms for a MB of weights", 1),
    "arithmetic": ("ms for the arithmetic on a MB of q4_0", 1),
    "head": ("times the usual time, for the logits on the root", 1),
    "layer": ("ms for a layer", 1),
    "latency": ("µs for a step", 1000),
    "rate": ("share of the link's rate", 1),
    "waiting": ("more time of the slowest slice, as a share", 1),
    "capacity": ("nodes' work at once on the shared machine", 1),
    "worker": ("times the usual time, for weights in a worker over RPC", 1),
}
COEFFICIENT_COLUMNS = {
    "series": "Series", "coefficient": "Coefficient", "median": "Median",
    "interval": "90 % interval", "unit": "Unit", "determined": "Determined",
}  # fmt: skip
ERROR_COLUMNS = {
    "series": "Series", "cells": "Cells", "counts": "Nodes", "error": "Left out",
    "covered": "Covered", "state": "Used",
}  # fmt: skip


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a benchmark on at least three numbers of nodes."""
    if not isinstance(study.run.workload, Benchmark):
        return
    found = study.fits
    if not found:
        return
    blocks: list[Block] = [Prose((told,)) for one in found for told in _told(one)]
    refused = [say(REFUSED, who=one.group.label, why=why) for one in found for why in one.refusals]
    if refused:
        blocks.append(Bullets(tuple(refused), is_warning=True))
    used = [one for one in found if not one.refusals]
    if used:
        blocks += charted([_chart(used)])
    fitted = [one for one in found if one.outcome.fit is not None]
    if fitted:
        file = File("cost-model", cost_frame(fitted))
        notes = (say(TABLE),)
        blocks.append(Tabled(say("Errors of the cost model"), _errors(fitted), notes, file))
    if used:
        data = coefficient_frame(used)
        file = File("cost-coefficients", data)
        caption = say("Coefficients of the cost model")
        blocks.append(Tabled(caption, _coefficients(data), (say(PRIORS),), file))
    if fitted:
        blocks += cited(
            ("Latency and bytes of a message", "hockney1994"),
            ("Draws of the coefficients", "terbraak2006"),
        )
    yield Section("cost-model", say(TITLE), tuple(blocks), say(MENU))


def _told(one: GroupFit) -> Iterator[Sentence]:
    """Say what is largest, and how far the fit can be trusted."""
    fit = one.outcome.fit
    if fit is None or one.refusals:
        return
    last = max(fit.observations, key=lambda cell: cell.setting.nodes)
    parts = _parts_known_apart(fit, last)
    total = sum(parts.values())
    name = max(parts, key=parts.__getitem__)
    yield say(
        LARGEST, who=one.group.label, nodes=nodes(last.setting.nodes), model=last.model,
        share=percent(parts[name] / total), term=name, ms=number(parts[name]),
        total=number(total),
    )  # fmt: skip
    cells = plural(len(fit.left_out), "cell")
    covered = sum(cell.is_covered for cell in fit.left_out)
    yield say(ERRORS, cells=cells, error=percent(fit.median_error), covered=covered)
    if len(fit.observations) < len(one.group.observations):
        yield say(ALONE, first=one.group.reference)
    if one.group.on_quota:
        yield say(QUOTA, nodes=listing(list(one.group.on_quota)))
    if len(fit.counts) < ENOUGH_COUNTS:
        yield say(FEW, counts=len(fit.counts))
    if is_chain(last.setting.wire) and not last.setting.slowness:
        yield say(CHAIN, nodes=nodes(last.setting.nodes))
    if unknown := fit.unknown():
        yield say(CLOSE, names=listing(list(unknown)))


def _parts_known_apart(fit: CostFit, cell: Observation) -> dict[str, float]:
    """Name to ms: with one type of weights, reading memory and computing are one part."""
    terms = _terms(fit, cell)
    if "arithmetic" not in fit.unknown():
        return {NAMED[term]: ms for term, ms in terms.items()}
    rest = {NAMED[term]: ms for term, ms in terms.items() if term not in COMPUTED}
    return {COMPUTED_NAME: sum(terms[term] for term in COMPUTED), **rest}


def _terms(fit: CostFit, cell: Observation) -> dict[Term, float]:
    """Term to its mean over draws: such means add up to the mean of the whole, medians do not."""
    found = fit.terms(features_of([cell.setting]))
    return {term: float(np.mean(found[term])) for term in TERMS}


def cost_frame(found: Sequence[GroupFit]) -> pd.DataFrame:
    """A row for each cell: what was measured, its terms, and how it is predicted without it."""
    return pd.DataFrame([row for one in found for row in _rows(one)])


def _rows(one: GroupFit) -> Iterator[dict[str, Any]]:
    fit = one.outcome.fit
    if fit is None:
        return
    seen = zip(fit.observations, fit.left_out, fit.inner, fit.inner_sync, strict=True)
    for cell, unseen, inner, inner_sync in seen:
        setting, terms = cell.setting, _terms(fit, cell)
        yield {
            "series": one.group.label,
            "engine": one.group.engine,
            "model": cell.model,
            "weights": setting.weights,
            "nodes": setting.nodes,
            "link_mbit": setting.link_mbit,
            "delay_ms": setting.delay_ms,
            "measured_ms": cell.total_ms,
            "measured_sync_ms": cell.sync_ms,
            **{f"{term}_ms": value for term, value in terms.items()},
            "memory_and_computing_ms": sum(terms[term] for term in COMPUTED),
            "all_terms_ms": sum(terms.values()),
            "fitted_ms": inner,
            "fitted_sync_ms": inner_sync if fit.apart else None,
            "fitted_computing_ms": inner - inner_sync if fit.apart else None,
            "left_out_ms": unseen.predicted_ms,
            "left_out_low_ms": unseen.low_ms,
            "left_out_high_ms": unseen.high_ms,
            "left_out_error": unseen.error,
            "left_out_covered": unseen.is_covered,
            "median_error": fit.median_error,
            "coverage": fit.coverage,
            "chance_of_coverage": chance_of_coverage(fit),
            "used": not one.refusals,
        }


def _chart(used: Sequence[GroupFit]) -> Chart:
    data = cost_frame(used)
    told = [
        say(
            ONE_BAR,
            who=row["series"],
            model=row["model"],
            nodes=nodes(row["nodes"]),
            parts=_parts(row),
        )
        for row in data.to_dict("records")
    ]
    alike = any(len({c.setting.weights for c in _cells(one)}) == 1 for one in used)
    return Chart(
        name="cost-terms",
        title="Terms of a token's time",
        understanding=together([READ, *([TOGETHER] if alike else [])]),
        data=data[["series", "model", "nodes", *(f"{t}_ms" for t in TERMS), "measured_ms"]],
        draw=partial(term_bars, data),
        description=say("Milliseconds: {found}.", found=listing(list(told))),
    )


def _parts(row: Mapping[Any, Any]) -> str:
    return together(
        (say("{term} {ms}", term=term, ms=number(row[f"{term}_ms"])) for term in TERMS), ", "
    )


def _cells(one: GroupFit) -> Sequence[Observation]:
    return one.outcome.fit.observations if one.outcome.fit else ()


def _errors(found: Sequence[GroupFit]) -> Table:
    rows = []
    for one in found:
        fit = one.outcome.fit
        if fit is None:
            continue
        covered = sum(cell.is_covered for cell in fit.left_out)
        rows.append(
            {
                "series": one.group.label,
                "cells": len(fit.left_out),
                "counts": listing([str(count) for count in fit.counts]),
                "error": percent(fit.median_error),
                "covered": say(
                    "{covered} of {left_out}", covered=covered, left_out=len(fit.left_out)
                ),
                "state": "no" if one.refusals else "yes",
            }
        )
    return frame_table(pd.DataFrame(rows), ERROR_COLUMNS)


def coefficient_frame(found: Sequence[GroupFit]) -> pd.DataFrame:
    """A row for each coefficient of each fit: its median, its interval, and where it is from."""
    rows = []
    for one in found:
        fit = one.outcome.fit
        if fit is None:
            continue
        for name in fit.relevant():
            unit, scale = UNITS[name]
            ends = np.quantile(fit.draws[name] * scale, (0.5, *TAILS))
            middle, low, high = (float(end) for end in ends)
            rows.append(
                {
                    "series": one.group.label,
                    "coefficient": name,
                    "median": middle,
                    "low": low,
                    "high": high,
                    "unit": unit,
                    "before": fit.priors[name].source,
                    "determined": name not in fit.unknown(),
                }
            )
    return pd.DataFrame(rows)


def _coefficients(data: pd.DataFrame) -> Table:
    ends = zip(data["low"], data["high"], strict=True)
    shown = data.assign(
        interval=[f"{number(low)}{DASH}{number(high)}" for low, high in ends],
        determined=["yes" if one else "no" for one in data["determined"]],
    )
    return frame_table(shown, COEFFICIENT_COLUMNS)
