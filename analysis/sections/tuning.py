"""Before and after: what fine-tuning gained and lost, and whether the model stayed the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.blocks import Block, Bullets, Cited, File, Folded, Part, Prose, Section, Tabled, cited
from analysis.cells.tabulate import Table, table
from analysis.charted import charted
from analysis.sections.documents import BOOTSTRAP
from analysis.study import Study
from analysis.text.sentence import say
from analysis.text.wording import NOTHING, TIMES, listing, ratio, within
from analysis.tuning.arms import UNCHECKED
from analysis.tuning.changes import BeforeAfter, Changed, Quantity, frame_of
from analysis.tuning.chart import change_chart, curve_chart
from analysis.tuning.records import (
    fault_sentences,
    hygiene_table,
    memorised_sentence,
    parentage_table,
    proof_sentences,
    sameness_frame,
    sameness_table,
    training_sentence,
    tuned_frame,
)
from analysis.tuning.sentences import level, sentence_of, signed, speeds, verdict_sentences
from collect.run import RunManifest
from models.tuned import TunedRecord

TITLE, MENU = "Before and after", "Before and after"
MOST_OPEN = 6
"""Sentences that are not folded."""
NOTHING_YET = (
    "Nothing can be compared yet: no cell of a base and of its tuned model was measured in the "
    "same part of this run."
)
HOW = (
    "Each figure pairs a base with the model tuned from it: the same engine, weights, nodes and "
    "documents or questions. The interval is that of the change: paired bootstrap over documents "
    "or questions. A change is called gained or forgotten only if p is below 0.05 after correction "
    "for all changes in this table (Holm), and if the interval excludes zero."
)
CONTROL = (
    "Speeds are medians. Their change is a ratio paired by block, and they count as the same if "
    "its interval is within {margin}."
)
PROOF = (
    "Same texts: greedy continuations of the same prompts that are equal token by token to those "
    "of the model in 32 bits. Mean |Δ log p|: change of the logarithm of a token's probability "
    "over the held-out text, in nats. The base's figures show what writing and quantising a file "
    "costs without any tuning."
)
HYGIENE = (
    "The data is split by document or prompt. Documents are left out before training, so that no "
    "held-out document and no question of this project was seen in it."
)
MORE = "Every figure in words: {figures}"


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a run with fine-tuned models."""
    if study.tuning is not None:
        yield section_of(study.run, study.tuning)


def section_of(run: RunManifest, found: BeforeAfter) -> Section:
    """Make the section of a run.

    Args:
        run: the run's plan.
        found: what tuning changed in it.
    """
    margin = run.equivalence_margin
    records = tuple(run.tuned.values())
    blocks: list[Block] = list(_warnings(found, records))
    if not found.rows and not found.refusals:
        blocks.append(Prose((say(NOTHING_YET),)))
    blocks += _words(found.rows, records, margin)
    blocks += charted(filter(None, [change_chart(found.rows)]))
    if found.rows:
        notes = [say(HOW)]
        notes += [say(CONTROL, margin=within(margin))] if _has_speed(found.rows) else []
        file = File("before-after", frame_of(found.rows))
        blocks.append(Tabled(say(TITLE), change_table(found.rows), tuple(notes), file))
    blocks += _cited(found.rows)
    blocks += [_training(records), _sameness(records)]
    return Section("before-after", say(TITLE), tuple(blocks), say(MENU))


def _cited(rows: Sequence[Changed]) -> tuple[Cited, ...]:
    kinds = {row.quantity for row in rows if row.change is not None and row.change.low is not None}
    is_right = Quantity.RIGHT in kinds
    return cited(
        ("Bootstrap", BOOTSTRAP) if kinds else None,
        ("Sign-flip test", "pitman1937") if kinds - {Quantity.RIGHT} else None,
        ("McNemar's test", ("mcnemar1947", "bonett2012")) if is_right else None,
        ("Correction for several comparisons", "holm1979") if kinds else None,
    )


def _has_speed(rows: Sequence[Changed]) -> bool:
    return any(row.speed for row in rows)


def _warnings(found: BeforeAfter, records: Sequence[TunedRecord]) -> Iterator[Bullets]:
    told: list[str] = [*found.refusals]
    if found.unchecked:
        told.append(say(UNCHECKED, cells=listing([*found.unchecked])))
    told += [fault for record in records for fault in fault_sentences(record)]
    if told:
        yield Bullets(tuple(told), is_warning=True)


def _words(
    rows: Sequence[Changed], records: Sequence[TunedRecord], margin: float
) -> Iterator[Block]:
    told = [sentence_of(row, margin) for row in rows]
    if len(told) <= MOST_OPEN:
        yield from (Prose((one,)) for one in told)
    else:
        yield from (Prose((one,)) for one in verdict_sentences(rows, margin))
        yield Folded(say(MORE, figures=len(told)), (Bullets(tuple(told)),), is_printed=True)
    for record in records:
        memorised = memorised_sentence(record)
        if memorised is not None:
            yield Prose((memorised,))


def change_table(rows: Sequence[Changed]) -> Table:
    """A row a figure: before, after, the change with its interval, and what it shows."""
    parts = any(row.part for row in rows)
    models = len({(row.arms.tuned, row.arms.base) for row in rows}) > 1
    told = [_cells(row) for row in rows]
    columns = [
        *(["Part"] if parts else []), *(["Model"] if models else []), "Cells", "Quantity",
        "Before", "After", "Change (95 %)", "Over", "Result",
    ]  # fmt: skip
    return table(
        columns,
        [[one[name] for name in columns] for one in told],
        ("Before", "After", "Change (95 %)", "Over"),
    )


def _cells(row: Changed) -> dict[str, str]:
    head = {"Part": row.part, "Model": row.arms.tuned, "Cells": row.arms.where,
            "Quantity": row.name}  # fmt: skip
    if row.change is None:
        before, after = speeds(row)
        found = row.speed
        told = ratio(found.ratio, brief=True) if found and found.ratio else NOTHING
        over = str(found.pair.n) if found else NOTHING
        result = str(found.finding) if found else NOTHING
        times = say("{times} {shown}", times=TIMES, shown=told)
        return {**head, "Before": before, "After": after, "Change (95 %)": times,
                "Over": over, "Result": result}  # fmt: skip
    change, kind = row.change, row.quantity
    told = signed(kind, change.change)
    if change.low is not None and change.high is not None:
        told += say(
            " ({signed} to {signed_2})",
            signed=signed(kind, change.low),
            signed_2=signed(kind, change.high),
        )
    return {
        **head,
        "Before": level(kind, change.before),
        "After": level(kind, change.after),
        "Change (95 %)": told,
        "Over": str(change.count),
        "Result": str(row.effect),
    }


def _training(records: Sequence[TunedRecord]) -> Part:
    title = say("How it was made")
    told = tuple(training_sentence(record) for record in records)
    blocks: tuple[Block, ...] = (
        Prose(told, file=File("tuned", tuned_frame(records))),
        *charted(filter(None, [curve_chart(records)])),
        Tabled(say("Parentage"), parentage_table(records)),
        Tabled(say("Data"), hygiene_table(records), (say(HYGIENE),)),
    )
    return Part(title, blocks, "tuning")


def _sameness(records: Sequence[TunedRecord]) -> Part:
    title = say("Whether the tuned model is the same everywhere")
    frame = sameness_frame(records)
    told = tuple(sentence for record in records for sentence in proof_sentences(record))
    blocks: list[Block] = [Prose((one,)) for one in told]
    if not frame.empty:
        shown = sameness_table(records)
        blocks.append(Tabled(say("Every file"), shown, (say(PROOF),), File("sameness", frame)))
    return Part(title, tuple(blocks), "sameness")
