"""Bits per byte of a run that scored documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.blocks import File, Section, Tabled, cited
from analysis.cells.documents import (
    ScoredCell,
    change_by_nodes,
    document_frame,
    named_cell,
    scored_cells,
    text_frame,
)
from analysis.cells.tabulate import frame_table, naming
from analysis.study import Study
from analysis.text.sentence import Sentence, say
from analysis.text.wording import DASH, NOTHING, listing, number, plural
from collect.workloads import Documents
from core.bootstrap import FEWEST_TO_DRAW

MEANS = (
    "Bits per byte: the sum of -log2 of the probability of each token, divided by the bytes of "
    "these tokens. Lower is better."
)
INTERVAL = "The interval is that of the bootstrap over documents (95 %)."
NO_INTERVAL = "There is no interval with fewer than {fewest} documents."
FIRST_UNSCORED = (
    "The vocabulary of {models} puts nothing before a text, so the first token of a text has no "
    "probability, and its bytes do not count."
)
BOOTSTRAP = ("efron1979", "efron1993", "shao1995", "kish1965")
"""References of an interval over documents."""
SPLIT = (
    "{cells} split some texts into other tokens than the vocabulary of the model: {texts}. These "
    "count as the engine read them."
)


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run that scored documents."""
    workload = study.run.workload
    found = scored_cells(study.run, study.all_series)
    if not isinstance(workload, Documents) or not found:
        return
    data = document_frame(found)
    shown = data.assign(
        interval=[_interval(one) for one in found],
        largest=[number(one.largest_change, 2) for one in found],
        bits=[number(one.bits_per_byte, 4) for one in found],
    )
    columns = {
        **naming(data), "documents": "Documents", "bytes": "Bytes", "tokens": "Tokens",
        "bits": "Bits per byte", "interval": "95 %",
    }  # fmt: skip
    if any(one.largest_change is not None for one in found):
        columns["largest"] = "Largest change by more nodes"
    title = say("Bits per byte of documents")
    notes = tuple(_notes(study, workload, found))
    table = Tabled(title, frame_table(shown, columns), notes, File("documents", data))
    files = (File("documents-each", text_frame(found)),)
    has_intervals = any(one.low is not None for one in found)
    sources = cited(
        ("Bits per byte", "gao2020pile"), ("Bootstrap", BOOTSTRAP) if has_intervals else None
    )
    yield Section("documents", title, (table, *sources), "Documents", files)


def _interval(one: ScoredCell) -> str:
    if one.low is None or one.high is None:
        return NOTHING
    return f"{number(one.low)}{DASH}{number(one.high)}"


def _notes(study: Study, workload: Documents, found: Sequence[ScoredCell]) -> Iterator[Sentence]:
    yield say(MEANS)
    if any(one.low is not None for one in found):
        yield say(INTERVAL)
    else:
        yield say(NO_INTERVAL, fewest=FEWEST_TO_DRAW)
    if (change := change_by_nodes(found, study.all_series)) is not None:
        yield change
    whole = {(part.document, part.part): len(part.text.encode()) for part in workload.scored}
    models = dict.fromkeys(one.series.model for one in found if _lacks_first(one, whole))
    if models:
        yield say(FIRST_UNSCORED, models=listing(list(models)))
    if split := [one for one in found if one.split_differently]:
        texts = [
            say(
                "{split_differently} ({named_cell})",
                split_differently=plural(one.split_differently, "text"),
                named_cell=named_cell(one, study.all_series),
            )
            for one in split
        ]
        yield say(SPLIT, cells=plural(len(split), "cell"), texts=listing(texts))


def _lacks_first(one: ScoredCell, whole: dict[tuple[str, int], int]) -> bool:
    """Whether a text has bytes that did not count."""
    rows = zip(
        one.texts["document"], one.texts["document_part"], one.texts["document_bytes"], strict=True
    )
    return any(size < whole.get((str(name), int(part)), 0) for name, part, size in rows)
