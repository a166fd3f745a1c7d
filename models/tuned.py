"""Fine-tuned models: what is recorded of each, next to its weights.

models/tuned/<name>/
    recipe.yml              the recipe as the user wrote it
    data/                   train.jsonl, held_out.jsonl, split.json (`experiments.finetune`)
    checkpoints/            while it is trained, and afterwards to go on from
    adapter/                what was trained, in PEFT's format; Petals' prompts for petals-*
    merged/                 a Hugging Face directory in float32; absent for petals-*
    tuned.json              `TunedRecord`, written last: from then on the catalogue has the model
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from core.foreign import Count, FileName
from core.paths import PROJECT_FOLDER
from core.record import Moment, Number, Positive, Record, Words
from models.shape import ModelShape

TUNED_FOLDER = PROJECT_FOLDER / "models" / "tuned"
TUNED_FILE = "tuned.json"
MERGED_FOLDER = "merged"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Method = Literal["lora", "full", "petals-ptune", "petals-deep-ptune"]


class Parentage(Record):
    """What a tuned model follows from.

    Attributes:
        base: the model it was made of, as the catalogue calls it.
        base_sha256: of the base's weights as training read them (its float32 safetensors).
        data_sha256: of the split: every example of both parts, in order.
        recipe_sha256: of the recipe's values.
        method: how it was trained.
        steps: optimiser steps.
        toolkit: version of llama-herd.
        libraries: name to version of what computed: torch, transformers, peft.
    """

    base: Words
    base_sha256: Sha256
    data_sha256: Sha256
    recipe_sha256: Sha256
    method: Method
    steps: Count
    toolkit: Words
    libraries: Mapping[str, Words] = {}


class Split(Record):
    """The data, and what was taken out of it.

    Attributes:
        train_documents: documents (or prompts) that training saw.
        held_out_documents: those it did not see.
        train_tokens: tokens with a loss in one pass over them.
        held_out_tokens: the same of the held-out part.
        exact_duplicates: documents left out because another is the same.
        near_duplicates: documents left out because one on the other side is nearly the same.
        question_overlaps: documents left out because a question of `experiments/questions/` is in
            them.
        cut: examples longer than the recipe's `sequence`.
    """

    train_documents: Count
    held_out_documents: Count
    train_tokens: Count
    held_out_tokens: Count
    exact_duplicates: Count = 0
    near_duplicates: Count = 0
    question_overlaps: Count = 0
    cut: Count = 0


class CurvePoint(Record):
    """Where training was after a step.

    Attributes:
        step: optimiser steps done.
        loss: mean over the tokens since the point before, in nats a token; None before the first.
        held_out_loss: of the held-out part, in nats a token; None where it was not evaluated.
        tokens_per_s: tokens read a second since the point before; None before the first.
    """

    step: Count
    loss: Number | None = None
    held_out_loss: Number | None = None
    tokens_per_s: Positive | None = None


class Export(Record):
    """One file of an engine, compared with the merged model in float32.

    Attributes:
        engine: whose file.
        format: `gguf`, `dllama` or `huggingface`.
        weights: type of its weights.
        sha256: of the model file of the tuned model.
        base_sha256: of the base's file in the same form; None where it was not recorded.
        same_texts: of `texts` greedy continuations, how many are the same token by token.
        texts: how many prompts were continued.
        mean_change: mean |Δ log p| over the held-out text, in nats, against the merged model.
        base_same_texts: the same count for the base's file against the base in float32.
        base_mean_change: the same mean for the base.
        first_other: where a continuation differs first, and by which token; empty for nowhere.
        differs: what differs though it must not (chat template, BOS, EOS, a token), a sentence
            each, with the first differing token.
    """

    engine: Words
    format: Words
    weights: Words
    sha256: Sha256
    same_texts: Count
    texts: Count
    mean_change: Positive
    base_same_texts: Count
    base_mean_change: Positive
    base_sha256: Sha256 | None = None
    first_other: Words = ""
    differs: tuple[Words, ...] = ()


class Sameness(Record):
    """Whether the tuned model is the same in every form.

    Attributes:
        merge_change: largest |difference| of logits between base + adapter and merged.
        base_change: largest |difference| of logits between merged and base.
        exports: a file each.
        faults: what is wrong, a sentence each; empty where all holds.
    """

    merge_change: Positive
    base_change: Positive
    exports: tuple[Export, ...] = ()
    faults: tuple[Words, ...] = ()


class Change(Record):
    """A figure before and after.

    Attributes:
        before: of the base.
        after: of the tuned model.
        low: lower end of the 95 % interval of after - before, paired over documents.
        high: its upper end.
        count: documents (or lines) it is over.
    """

    before: Number
    after: Number
    low: Number | None = None
    high: Number | None = None
    count: Count


class TunedRecord(Record):
    """A fine-tuned model.

    Attributes:
        name: as written in a matrix.
        about: one line for `fab models`.
        licence: of base and data.
        parentage: what it follows from.
        shape: the base's.
        split: the data.
        files: name to sha256 of each file in `merged/`; empty for petals-*.
        adapter: name to sha256 of each file in `adapter/`.
        curve: training step by step.
        held_out_bits_per_byte: of the held-out documents, as training computes.
        memorised: share of held-in lines that greedy decoding reproduces word for word.
        sameness: of its forms; None for petals-*.
        prompts: trained positions before a text, for petals-*; 0 for all others.
        seconds: how long training took, without what was lost to kills.
        device: what computed, for people: a CPU's or GPU's name, and the number of threads.
        finished_at: when.
    """

    name: FileName
    about: Words
    licence: Words
    parentage: Parentage
    shape: ModelShape
    split: Split
    files: Mapping[FileName, Sha256]
    adapter: Mapping[FileName, Sha256]
    curve: Annotated[tuple[CurvePoint, ...], Field(max_length=100_000)]
    held_out_bits_per_byte: Change
    memorised: Change | None = None
    sameness: Sameness | None = None
    prompts: Count = 0
    seconds: Positive
    device: Words
    finished_at: Moment
