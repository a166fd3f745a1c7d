"""Tables of how tuned models were made, and of the proof that all their forms are the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import pandas as pd

from analysis.cells.tabulate import Table, Text, table
from analysis.text.sentence import Sentence, say
from analysis.text.wording import NOTHING, number, percent, plural
from analysis.tuning.changes import Quantity
from analysis.tuning.sentences import signed
from models.tuned import Change, Sameness, TunedRecord
from models.tuned_prompts import PROMPT_METHODS

SAMENESS = (
    "tuned", "engine", "format", "weights", "sha256", "texts", "same_texts", "base_same_texts",
    "mean_change", "base_mean_change", "differs",
)  # fmt: skip
"""Columns of `sameness.csv`."""

MERGED = (
    "{name}: merging changed no logit by more than {merge} (at most 0.0001 is allowed), and the "
    "merged model differs from the base by up to {base}."
)
FAULTY = "{name}: {fault}"
DIFFERS = "{name}, the file of {engine} with {weights} weights: {what}"
NEVER_MERGED = (
    "{name} was never merged: its client reads the trained part next to the weights of {base}, so "
    "there are no further forms to compare."
)
NOT_PROVED = "{name}: nothing is recorded about whether its forms are the same."
MEMORISED = (
    "Memorisation: {tuned} continues {after} of {lines} from its own training data word for word, "
    "{base} {before} ({interval})."
)
MEMORISED_MORE = "with more copied lines after tuning, interval of the change {low} to {high}"
MEMORISED_LESS = "with fewer copied lines after tuning, interval of the change {low} to {high}"
MEMORISED_SAME = "no difference shown, interval of the change {low} to {high}"
MEMORISED_FEW = "from too few documents for an interval"
TRAINING_SAID = (
    "Training itself found {after} bits per byte on {documents} that it held out, and {before} for "
    "{base}, both in 32 bits{ends}."
)
TRAINING_ENDS = " (95 % interval of the change: {low} to {high})"


def tuned_frame(records: Iterable[TunedRecord]) -> pd.DataFrame:
    """`tuned.csv`: a row a tuned model: what training found of it, and what merging changed."""
    return pd.DataFrame([dict(_of_record(record)) for record in records])


def _of_record(record: TunedRecord) -> Iterator[tuple[str, object]]:
    yield from (("tuned", record.name), ("base", record.parentage.base))
    yield from _change("held_out", record.held_out_bits_per_byte)
    yield from _change("memorised", record.memorised)
    if record.sameness is not None:
        yield "merge_change", record.sameness.merge_change
        yield "base_change", record.sameness.base_change


def _change(name: str, found: Change | None) -> Iterator[tuple[str, object]]:
    if found is not None:
        for part in ("before", "after", "low", "high", "count"):
            yield f"{name}_{part}", getattr(found, part)


def sameness_frame(records: Iterable[TunedRecord]) -> pd.DataFrame:
    """`sameness.csv`: a row a file of an engine."""
    rows = [
        (
            record.name, one.engine, one.format, one.weights, one.sha256, one.texts,
            one.same_texts, one.base_same_texts, one.mean_change, one.base_mean_change,
            " ".join(one.differs) or None,
        )
        for record in records
        if record.sameness is not None
        for one in record.sameness.exports
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(SAMENESS))


def sameness_table(records: Iterable[TunedRecord]) -> Table:
    """The same for readers: what quantising costs, and what merging costs on top of it."""
    rows = [
        [
            record.name,
            one.engine,
            one.weights,
            say("{same_texts} of {texts}", same_texts=one.same_texts, texts=one.texts),
            say(
                "{base_same_texts} of {texts}", base_same_texts=one.base_same_texts, texts=one.texts
            ),
            number(one.mean_change),
            number(one.base_mean_change),
            "yes" if one.differs else "no",
        ]
        for record in records
        if record.sameness is not None
        for one in record.sameness.exports
    ]
    columns = (
        "Model", "Engine", "Weights", "Same texts", "Base's same texts", "Mean |Δ log p|",
        "Base's mean |Δ log p|", "Differs",
    )  # fmt: skip
    return table(columns, rows, columns[3:7])


def proof_sentences(record: TunedRecord) -> tuple[Sentence, ...]:
    """Say what the proof of sameness found, where it found no fault."""
    if record.sameness is None:
        is_apart = record.parentage.method in PROMPT_METHODS
        template = NEVER_MERGED if is_apart else NOT_PROVED
        return (say(template, name=record.name, base=record.parentage.base),)
    found = record.sameness
    merge, base = number(found.merge_change), number(found.base_change)
    return (say(MERGED, name=record.name, merge=merge, base=base),)


def fault_sentences(record: TunedRecord) -> tuple[Sentence, ...]:
    """Name everything that differs though it must not; nothing where all is the same."""
    return tuple(_faults(record, record.sameness)) if record.sameness else ()


def _faults(record: TunedRecord, found: Sameness) -> Iterator[Sentence]:
    for fault in found.faults:
        yield say(FAULTY, name=record.name, fault=fault)
    for one in found.exports:
        for what in one.differs:
            if not any(what in fault for fault in found.faults):
                yield say(
                    DIFFERS, name=record.name, engine=one.engine, weights=one.weights, what=what
                )


def memorised_sentence(record: TunedRecord) -> Sentence | None:
    """Say how much of its training data the model repeats; None where that was not tried."""
    change = record.memorised
    if change is None:
        return None
    return say(
        MEMORISED,
        tuned=record.name,
        base=record.parentage.base,
        before=percent(change.before),
        after=percent(change.after),
        lines=plural(change.count, "line"),
        interval=_memorised(change),
    )


def _memorised(change: Change) -> Sentence:
    if change.low is None or change.high is None:
        return say(MEMORISED_FEW)
    template = MEMORISED_SAME
    if change.low > 0:
        template = MEMORISED_MORE
    elif change.high < 0:
        template = MEMORISED_LESS
    return say(
        template,
        low=signed(Quantity.RIGHT, change.low),
        high=signed(Quantity.RIGHT, change.high),
    )


def training_sentence(record: TunedRecord) -> Sentence:
    """Say what training computed of the documents that it held out."""
    found = record.held_out_bits_per_byte
    has_ends = found.low is not None and found.high is not None
    low, high = (f"{end:+.3f}" if has_ends else "" for end in (found.low, found.high))
    return say(
        TRAINING_SAID,
        ends=say(TRAINING_ENDS, low=low, high=high) if has_ends else "",
        before=f"{found.before:.3f}",
        after=f"{found.after:.3f}",
        documents=plural(found.count, "document"),
        base=record.parentage.base,
    )


def parentage_table(records: Sequence[TunedRecord]) -> Table:
    """How each model was made: a column a model."""
    return _by_model(records, [dict(_made(record)) for record in records])


def hygiene_table(records: Sequence[TunedRecord]) -> Table:
    """What it was trained on and what was taken out: a column a model."""
    return _by_model(records, [dict(_data(record)) for record in records])


def _by_model(records: Sequence[TunedRecord], told: Sequence[dict[str, str]]) -> Table:
    names = [record.name for record in records]
    facts = dict.fromkeys(fact for one in told for fact in one)
    rows: list[list[str | Text]] = [
        [fact, *(one.get(fact, NOTHING) for one in told)] for fact in facts
    ]
    return table(("Fact", *names), rows)


def _made(record: TunedRecord) -> Iterator[tuple[str, str]]:
    made = record.parentage
    yield "Base", made.base
    yield "Weights of the base, SHA-256", made.base_sha256
    yield "Method", made.method
    yield "Steps", str(made.steps)
    yield "Data, SHA-256", made.data_sha256
    yield "Recipe, SHA-256", made.recipe_sha256
    yield "llama-herd", made.toolkit
    yield from made.libraries.items()
    yield "Device", record.device
    yield "Training time", f"{number(record.seconds)} s"
    yield "Finished", datetime.fromtimestamp(record.finished_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield "Licence", record.licence


def _data(record: TunedRecord) -> Iterator[tuple[str, str]]:
    split = record.split
    for name, count in (
        ("Documents trained on", split.train_documents),
        ("Documents held out", split.held_out_documents),
        ("Tokens trained on in one pass", split.train_tokens),
        ("Tokens held out", split.held_out_tokens),
        ("Left out: the same as another", split.exact_duplicates),
        ("Left out: nearly the same as one of the other side", split.near_duplicates),
        ("Left out: contains a question that models are asked", split.question_overlaps),
        ("Longer than an example (texts make several)", split.cut),
    ):
        yield name, in_thousands(count)


def in_thousands(count: int) -> str:
    """A count with its thousands apart."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
