"""The agreement with the reference as a reader sees it: a table, and what differs in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from analysis.agreement.agreement import Agreement, Difference, agreements, difference, distances
from analysis.cells.cells import cell_results
from analysis.cells.series import Series, series_of, thing
from analysis.cells.tabulate import Table, table
from analysis.text.sentence import say, together
from analysis.text.wording import NOTHING, count, listing, nodes, number, plural
from collect.load import load_references
from collect.reference import References
from collect.run import RunManifest
from collect.tables import Tables
from collect.workloads import Greedy

NOT_COMPARED = "Nothing with 32-bit weights was compared with the reference."
ALL_AGREE = (
    "With 32-bit weights every text matches the reference token by token: {texts} in {cells}."
)
ONE_DIFFERS = "{wrong} of {cells} with 32-bit weights differs from the reference."
SOME_DIFFER = "{wrong} of {cells} with 32-bit weights differ from the reference."
IN_TABLE = "The table has the other {cells}."
TEXT_DIFFERS = "{n} of {texts} differs, {named}"
TEXTS_DIFFER = "{n} of {texts} differ, {named}"
SOME_TEXTS_DIFFER = "{n} of {texts} differ, such as {named}"
OTHER_TOKENS = "it split the scored text into different tokens"
PROBABILITIES = "the probability of {beyond} of {tokens} differs, in the logarithm by up to {most}"
CELL_DIFFERS = "{cell}: {how}."
DIFFERS_AT = "“{prompt}” at token {token} ({found!r} instead of {expected!r})"
MOST_NAMED = 3
"""The most texts that differ, and the most cells, that are named one by one."""
COLUMNS = {
    "model": "Model",
    "series": "Series",
    "nodes": "Nodes",
    "texts": "Texts",
    "texts_equal": "Equal",
    "first_differing": "From token",
    "first_differing_median": "Median",
    "mean_change": "|Δ log p|",
    "p99_change": "99 %",
    "perplexity": "Perplexity",
    "judgement": "Judgement",
}


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a greedy run found.

    Attributes:
        headline: one sentence.
        sentences: what differs in cells that had to agree.
        cells: a row a cell, after the reference's own rows (columns: `COLUMNS`).
        differing: a row a text that is not the reference's.
        is_wrong: some cell had to agree and does not, or none could be compared.
    """

    headline: str
    sentences: tuple[str, ...]
    cells: pd.DataFrame
    differing: pd.DataFrame
    is_wrong: bool


def agreed(run: RunManifest, tables: Tables, run_folder: Path) -> Agreed | None:
    """Hold a run against what the reference says; None if its workload is not greedy.

    Raises:
        HerdError: the run's folder does not hold what the reference says.
    """
    if not isinstance(run.workload, Greedy):
        return None
    references = load_references(run_folder)
    all_series = series_of(cell_results(run, tables.trials, nodes=tables.nodes))
    found = agreements(run.workload, all_series, tables.trials, tables.texts, references)
    return Agreed(
        headline=_headline(found),
        sentences=_sentences(found, all_series),
        cells=_agreement_frame(found, references),
        differing=_difference_frame(found),
        is_wrong=not found or any(one.is_wrong for one in found),
    )


def _agreement_frame(found: Sequence[Agreement], references: References) -> pd.DataFrame:
    """A row a cell, after the reference's own rows: those of quantised weights against float32."""
    rows = [*_reference_rows(references), *map(_cell_row, found)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def agreement_table(data: pd.DataFrame) -> Table:
    """The frame of agreement as a table; the model's column only where there are several."""
    shown = [name for name in COLUMNS if name != "model" or len(set(data["model"])) > 1]
    rows = [[_spelled(name, row[name]) for name in shown] for row in data.to_dict("records")]
    numeric = [COLUMNS[name] for name in shown if name not in {"model", "series", "judgement"}]
    return table([COLUMNS[name] for name in shown], rows, numeric)


def _cell_row(one: Agreement) -> dict[str, object]:
    return {
        "model": one.series.model,
        "series": one.series.label,
        "nodes": one.cell.nodes,
        **_texts(one.prompts, one.differences),
        **_spread(one.changes),
        "perplexity": one.perplexity,
        "judgement": ("agrees" if one.agrees else "DIFFERS") if one.is_judged else "not judged",
    }


def _reference_rows(references: References) -> Iterator[dict[str, object]]:
    for model, by_weights in references.models.items():
        exact = by_weights["f32"]
        for weights, says in by_weights.items():
            row: dict[str, object] = {
                "model": model,
                "series": say("reference, {weights}", weights=weights),
                "perplexity": math.exp(-sum(says.scored) / len(says.scored)),
                "judgement": "the measure",
            }
            if says is not exact:
                pairs = zip(says.continuations, exact.continuations, strict=True)
                found = [d for text, wanted in pairs for d in difference("", text.pieces, wanted)]
                row |= _texts(len(exact.continuations), found)
                row |= _spread(distances(says, exact))
                row["judgement"] = "against f32"
            yield row


def _texts(prompts: int, differences: Sequence[Difference]) -> dict[str, object]:
    tokens = [one.token for one in differences]
    return {
        "texts": prompts,
        "texts_equal": prompts - len(tokens),
        "first_differing": min(tokens, default=None),
        "first_differing_median": median(tokens) if tokens else None,
    }


def _spread(changes: Sequence[float]) -> dict[str, object]:
    if not changes:
        return {}
    return {
        "mean_change": float(np.mean(changes)),
        "p99_change": float(np.quantile(changes, 0.99)),
    }


def _spelled(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float) or math.isnan(value):
        return NOTHING
    if name.endswith("_change"):
        return f"{value:.1e}"
    return number(value, 5) if name == "perplexity" else f"{value:g}"


def _difference_frame(found: Sequence[Agreement]) -> pd.DataFrame:
    """A row a text that is not the reference's."""
    return pd.DataFrame(
        [
            {
                "model": one.series.model,
                "series": one.series.label,
                "nodes": one.cell.nodes,
                "prompt": differs.prompt,
                "token": differs.token,
                "reference": differs.expected,
                "engine": differs.found,
                "margin": differs.margin,
            }
            for one in found
            for differs in one.differences
        ],
        columns=[
            "model", "series", "nodes", "prompt", "token", "reference", "engine", "margin",
        ],
    )  # fmt: skip


def difference_table(data: pd.DataFrame) -> Table:
    """The frame of texts that differ as a table."""
    columns = (
        "Series", "Nodes", "Prompt", "Token", "Reference", "Engine", "Margin of the reference",
    )  # fmt: skip
    rows = [
        [
            row["series"],
            str(row["nodes"]),
            row["prompt"],
            str(row["token"]),
            row["reference"],
            row["engine"],
            number(row["margin"], 2),
        ]
        for row in data.to_dict("records")
    ]
    return table(columns, rows, [columns[1], columns[3], columns[6]])


def _headline(found: Sequence[Agreement]) -> str:
    """Whether 32-bit weights say the same everywhere, one sentence."""
    judged = [one for one in found if one.is_judged]
    wrong = [one for one in judged if one.is_wrong]
    if not judged:
        return say(NOT_COMPARED)
    if not wrong:
        texts = sum(one.prompts for one in judged)
        return say(ALL_AGREE, texts=plural(texts, "text"), cells=plural(len(judged), "cell"))
    differs = ONE_DIFFERS if len(wrong) == 1 else SOME_DIFFER
    return say(differs, wrong=len(wrong), cells=plural(len(judged), "cell"))


def _sentences(found: Sequence[Agreement], all_series: Sequence[Series]) -> tuple[str, ...]:
    """What differs in each cell that had to agree: which prompt, which token, both texts."""
    wrong = [one for one in found if one.is_wrong]
    told = [_sentence(one, all_series) for one in wrong[:MOST_NAMED]]
    if len(wrong) > MOST_NAMED:
        told.append(say(IN_TABLE, cells=count(len(wrong) - MOST_NAMED)))
    return tuple(told)


def _sentence(one: Agreement, all_series: Sequence[Series]) -> str:
    parts = []
    if one.differences:
        few = [_told(differs) for differs in one.differences[:MOST_NAMED]]
        n = len(one.differences)
        template = TEXTS_DIFFER if len(few) == n else SOME_TEXTS_DIFFER
        template = TEXT_DIFFERS if n == 1 else template
        texts = plural(one.prompts, "text")
        parts.append(say(template, n=n, texts=texts, named=listing(list(few))))
    if one.misread:
        parts.append(say(OTHER_TOKENS))
    if one.beyond:
        tokens, most = plural(len(one.changes), "scored token"), f"{max(one.changes):.2g}"
        parts.append(say(PROBABILITIES, tokens=tokens, beyond=one.beyond, most=most))
    about = say(
        "{thing} on {nodes}", thing=thing(one.series, all_series), nodes=nodes(one.cell.nodes)
    )
    return say(CELL_DIFFERS, cell=about, how=together(parts, "; "))


def _told(differs: Difference) -> str:
    return say(
        DIFFERS_AT,
        prompt=differs.prompt,
        token=differs.token,
        found=differs.found,
        expected=differs.expected,
    )
