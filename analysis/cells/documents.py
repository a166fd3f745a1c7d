"""How well each cell's model predicts the documents of a run: bits per byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.series import Series, thing
from analysis.text.sentence import Sentence, say
from analysis.text.wording import nodes, number, plural
from collect.run import RunManifest
from collect.workloads import Documents
from core.bootstrap import paired_change

COUNTS_FROM = 0.001
"""Bits per byte; engines add up in another order on more nodes, which changes far less."""
COLUMNS = (
    "model", "series", "nodes", "documents", "bytes", "tokens", "bits_per_byte", "low", "high",
    "largest_change", "split_differently",
)  # fmt: skip
"""Of `documents.csv`."""
ONE_CELL = "{cell} needs {bits} bits per byte over {documents}."
SEVERAL = "{cells} need {least} to {most} bits per byte over {documents}."
ALL_ALIKE = "{cells} need {least} bits per byte over {documents}."
NODES_CHANGE_NOTHING = (
    "More nodes change the bits per byte of no document by more than {most}, which counts for "
    "nothing."
)
NODES_CHANGE = (
    "More nodes change the bits per byte of a document by up to {most} ({cell}): they should "
    "change nothing."
)


@dataclass(frozen=True, slots=True)
class ScoredCell:
    """What a cell made of the documents.

    Attributes:
        texts: a row a scored document or part of one, by name (columns of the table of trials).
        size: bytes that have a probability, over all documents.
        bits_per_byte: over all documents: bits divided by bytes.
        low: lower end of its 95 % interval over documents; None where they are too few.
        high: its upper end.
        largest_change: of a text's bits per byte, against the fewest nodes of the series; None
            for the cell with the fewest.
    """

    series: Series
    cell: CellResult
    texts: pd.DataFrame
    size: int
    bits_per_byte: float
    low: float | None
    high: float | None
    largest_change: float | None

    @property
    def documents(self) -> int:
        """Documents, parts of one together."""
        return int(self.texts["document"].nunique())

    @property
    def tokens(self) -> int:
        """Tokens with a probability."""
        return int(self.texts["read_tokens"].sum())

    @property
    def split_differently(self) -> int:
        """Texts that the engine split into other tokens than the model's vocabulary does."""
        return int((self.texts["read_tokens"] != self.texts["document_tokens"]).sum())


def scored_cells(run: RunManifest, all_series: Sequence[Series]) -> tuple[ScoredCell, ...]:
    """Every cell that scored documents, in the order of the series; none of another run."""
    if not isinstance(run.workload, Documents):
        return ()
    return tuple(one for series in all_series for one in _of_series(series))


def _of_series(series: Series) -> Iterator[ScoredCell]:
    fewest: pd.DataFrame | None = None
    for cell in series.measured:
        texts = _texts(cell)
        if texts.empty:
            continue
        by_document = texts.groupby("document", sort=False)[["document_bits", "document_bytes"]]
        sums = by_document.sum().astype(float)
        values, sizes = sums["document_bits"] / sums["document_bytes"], sums["document_bytes"]
        drawn = paired_change([0.0] * len(values), values.tolist(), sizes.tolist())
        yield ScoredCell(
            series=series,
            cell=cell,
            texts=texts,
            size=int(sizes.sum()),
            bits_per_byte=float(sums["document_bits"].sum() / sizes.sum()),
            low=drawn.low if drawn else None,
            high=drawn.high if drawn else None,
            largest_change=None if fewest is None else _largest_change(fewest, texts),
        )
        fewest = texts if fewest is None else fewest


def _texts(cell: CellResult) -> pd.DataFrame:
    if "document_bits" not in cell.done:
        return cell.done.iloc[:0]
    found = cell.done.dropna(subset=["document", "document_bits", "document_bytes"])
    names = found["document"].astype(str) + " " + found["document_part"].astype(str)
    return found.assign(name=names).set_index("name").sort_values("repeat")


def _largest_change(before: pd.DataFrame, after: pd.DataFrame) -> float | None:
    changes = (after["bits_per_byte"] - before["bits_per_byte"]).abs().dropna()
    return None if changes.empty else float(changes.max())


def document_frame(found: Sequence[ScoredCell]) -> pd.DataFrame:
    """A row a cell (columns: `COLUMNS`)."""
    rows = [
        (
            one.series.model, one.series.label, one.cell.nodes, one.documents, one.size,
            one.tokens, one.bits_per_byte, one.low, one.high, one.largest_change,
            one.split_differently,
        )
        for one in found
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def text_frame(found: Sequence[ScoredCell]) -> pd.DataFrame:
    """A row a cell and text."""
    columns = [
        "document", "document_part", "document_bytes", "document_tokens", "read_tokens",
        "document_bits", "bits_per_byte",
    ]  # fmt: skip
    frames = [
        one.texts[columns]
        .reset_index(drop=True)
        .assign(model=one.series.model, series=one.series.label, nodes=one.cell.nodes)
        for one in found
    ]
    named = ["model", "series", "nodes", *columns]
    return pd.concat(frames)[named] if frames else pd.DataFrame(columns=named)


def document_headline(found: Sequence[ScoredCell], all_series: Sequence[Series]) -> Sentence:
    """How well the cells that scored most documents predict them; one sentence.

    It names no best cell: without a paired comparison that may be chance.
    """
    most = max(len(one.texts) for one in found)
    found = [one for one in found if len(one.texts) == most]
    documents = plural(found[0].documents, "document")
    least, largest = (number(end(one.bits_per_byte for one in found)) for end in (min, max))
    if len(found) == 1:
        cell = named_cell(found[0], all_series)
        return say(ONE_CELL, cell=cell, bits=least, documents=documents)
    return say(
        ALL_ALIKE if least == largest else SEVERAL,
        cells=plural(len(found), "cell"),
        least=least,
        most=largest,
        documents=documents,
    )


def change_by_nodes(found: Sequence[ScoredCell], all_series: Sequence[Series]) -> Sentence | None:
    """Say whether more nodes change a figure; None where no series has several numbers of them."""
    changed = [one for one in found if one.largest_change is not None]
    if not changed:
        return None
    worst = max(changed, key=lambda one: one.largest_change or 0.0)
    most = number(worst.largest_change, 2)
    if (worst.largest_change or 0.0) <= COUNTS_FROM:
        return say(NODES_CHANGE_NOTHING, most=number(COUNTS_FROM, 1))
    return say(NODES_CHANGE, most=most, cell=named_cell(worst, all_series))


def named_cell(one: ScoredCell, all_series: Sequence[Series]) -> str:
    """Name a cell in a sentence."""
    return say(
        "{thing} on {nodes}", thing=thing(one.series, all_series), nodes=nodes(one.cell.nodes)
    )
