"""What cells of two runs make of the same texts: right answers, bits per byte, perplexity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.answers.accuracy import RIGHT, accuracy_of
from analysis.answers.systems import SystemAnswers
from analysis.cells.cells import CellResult
from analysis.cells.documents import ScoredCell, scored_cells
from analysis.study import Study
from analysis.text.wording import number, percent
from analysis.tuning.pairs import (
    Effect,
    PairedChange,
    ScoredText,
    change_of_documents,
    change_of_questions,
    effects,
)
from analysis.two_runs.pairing import PairedCell, parts_of_study

BITS, PERPLEXITY, SAME_TEXTS = "bits per byte", "perplexity", "the same first answer"
SAME_BY = 0.001
"""Share by which a perplexity may change by adding up in another order."""
WORDS: Mapping[Effect, str] = {
    Effect.GAINED: "better",
    Effect.FORGOTTEN: "worse",
    Effect.NO_DIFFERENCE: "no difference shown",
    Effect.TOO_FEW: "too few",
}
COLUMNS = ("what", "cell", "baseline", "contender", "change", "low", "high", "n", "verdict")


@dataclass(frozen=True, slots=True)
class QualityChange:
    """A figure of a cell in both runs.

    Attributes:
        what: the quantity.
        name: the cell.
        baseline: the figure; a share where it is one.
        contender: the same of the other run.
        low: lower end of the 95 % interval of the change; None where there is none.
        high: its upper end.
        n: questions or documents that both have; 1 of a perplexity.
        verdict: `better`, `worse`, `no difference shown`, `too few`; of a perplexity, which has no
            noise, `the same` or `changed`; empty for texts.
    """

    what: str
    name: str
    baseline: float | None
    contender: float
    low: float | None
    high: float | None
    n: int
    verdict: str

    @property
    def shown(self) -> tuple[str, str]:
        """Both figures as they are read."""
        told = percent if self.what in (RIGHT, SAME_TEXTS) else number
        return told(self.baseline), told(self.contender)


def quality_changes(
    baseline: Study, contender: Study, pairs: Sequence[PairedCell]
) -> tuple[QualityChange, ...]:
    """Compare what is not a speed; paired by question or document, corrected together."""
    ours, others = parts_of_study(baseline), parts_of_study(contender)
    tried: list[tuple[str, str, PairedChange]] = []
    rest: list[QualityChange] = []
    for pair in pairs:
        one, other = ours[pair.part], others[pair.part]
        tried += _tried(pair, one, other)
        rest += [*_perplexity(pair), *_texts(pair, one, other)]
    shown = effects([change for *_, change in tried])
    found = [
        QualityChange(what, name, c.before, c.after, c.low, c.high, c.count, WORDS[effect])
        for (what, name, c), effect in zip(tried, shown, strict=True)
    ]
    return (*found, *rest)


def _tried(pair: PairedCell, one: Study, other: Study) -> Iterator[tuple[str, str, PairedChange]]:
    grades = [_grades(study, cell.record.cell_id) for study, cell in _sides(pair, one, other)]
    if all(grades) and (change := change_of_questions(*grades)):
        yield RIGHT, pair.name, change
    texts = [_scored(study, cell.record.cell_id) for study, cell in _sides(pair, one, other)]
    if all(texts) and (change := change_of_documents(*texts)):
        yield BITS, pair.name, change


def _sides(pair: PairedCell, one: Study, other: Study) -> tuple[tuple[Study, CellResult], ...]:
    return ((one, pair.baseline), (other, pair.contender))


def system_of(study: Study, cell_id: str) -> SystemAnswers | None:
    """The answers of a cell; None where it gave none."""
    systems = study.comparison.systems if study.comparison else ()
    return next((one for one in systems if one.cell.record.cell_id == cell_id), None)


def _grades(study: Study, cell_id: str) -> Mapping[str, bool]:
    system = system_of(study, cell_id)
    graded = accuracy_of(study.run.asked, [system]) if system else None
    return graded.grades.get(system.name, {}) if system and graded else {}


def _scored(study: Study, cell_id: str) -> dict[str, ScoredText]:
    cells = scored_cells(study.run, study.all_series)
    own = next((one for one in cells if one.cell.record.cell_id == cell_id), None)
    return _documents(own) if own else {}


def _documents(scored: ScoredCell) -> dict[str, ScoredText]:
    sums = scored.texts.groupby("document")[["document_bits", "document_bytes"]].sum()
    return {
        str(name): ScoredText(float(row["document_bits"]), int(row["document_bytes"]))
        for name, row in sums.iterrows()
    }


def _perplexity(pair: PairedCell) -> Iterator[QualityChange]:
    found = [cell.estimate(PERPLEXITY) for cell in (pair.baseline, pair.contender)]
    if found[0] is not None and found[1] is not None:
        before, after = found[0].value, found[1].value
        is_same = abs(after - before) <= SAME_BY * before
        verdict = "the same" if is_same else "changed"
        yield QualityChange(PERPLEXITY, pair.name, before, after, None, None, 1, verdict)


def _texts(pair: PairedCell, one: Study, other: Study) -> Iterator[QualityChange]:
    systems = [system_of(study, cell.record.cell_id) for study, cell in _sides(pair, one, other)]
    if systems[0] is None or systems[1] is None:
        return
    first, second = (system.first_texts() for system in systems if system)
    shared = first.keys() & second.keys()
    if shared:
        same = sum(first[name] == second[name] for name in shared) / len(shared)
        yield QualityChange(SAME_TEXTS, pair.name, None, same, None, None, len(shared), "")


def quality_frame(found: Sequence[QualityChange]) -> pd.DataFrame:
    """`quality.csv`: a row a cell and quantity."""
    rows = [
        (
            one.what, one.name, one.baseline, one.contender,
            None if one.baseline is None else one.contender - one.baseline,
            one.low, one.high, one.n, one.verdict,
        )
        for one in found
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))
