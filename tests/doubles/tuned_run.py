"""Runs of a base and of the model tuned from it, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.cells.cells import cell_results
from analysis.cells.family import Family
from analysis.study import Study, study_of
from analysis.tuning.arms import control_pairs
from analysis.tuning.changes import PartFigures
from analysis.tuning.figures import hashes_read
from analysis.tuning.pairs import ScoredText
from collect.questions import AnswerKey, Question
from collect.run import RunManifest
from collect.tables import Tables
from models.shape import ModelShape
from models.tuned import Change, CurvePoint, Export, Parentage, Sameness, Split, TunedRecord
from tests.doubles.asked import Asked, make_asked
from tests.doubles.run_frames import Outcomes, make_frames

BASE, TUNED = "stories15m", "stories15m-tales"
SHAPE = ModelShape(
    dim=288, hidden_dim=768, layers=6, heads=6, kv_heads=6, head_dim=48, vocab=32000, context=256
)
AXES = ("engine", "model", "nodes")
EXPORT = Export(
    engine="llama.cpp", format="gguf", weights="f32", sha256="5a" * 32, base_sha256="ba" * 32,
    same_texts=20, texts=20, mean_change=2e-6, base_same_texts=20, base_mean_change=1.5e-6,
)  # fmt: skip
SAMENESS = Sameness(
    merge_change=3.2e-5,
    base_change=4.1,
    exports=(
        EXPORT,
        EXPORT.model_copy(
            update={"weights": "q4_0", "sha256": "6a" * 32, "base_sha256": None, "same_texts": 11,
                    "base_same_texts": 12, "mean_change": 0.08, "base_mean_change": 0.07}
        ),
    ),
)  # fmt: skip


def make_record(name: str = TUNED, base: str = BASE, **changed: Any) -> TunedRecord:  # noqa: ANN401
    """How a model was tuned; `changed` are values of fields that differ."""
    fields: dict[str, Any] = {
        "name": name,
        "about": "tales for children",
        "licence": "MIT, public domain",
        "parentage": Parentage(
            base=base, base_sha256="b0" * 32, data_sha256="d0" * 32, recipe_sha256="c0" * 32,
            method="lora", steps=200, toolkit="0.1.0",
            libraries={"torch": "2.13.0", "peft": "0.21.2"},
        ),
        "shape": SHAPE,
        "split": Split(
            train_documents=90, held_out_documents=10, train_tokens=41_000, held_out_tokens=4_200,
            exact_duplicates=3, near_duplicates=2, question_overlaps=1, cut=4,
        ),
        "files": {"model.safetensors": "f0" * 32},
        "adapter": {"adapter_model.safetensors": "a0" * 32},
        "curve": tuple(
            CurvePoint(
                step=step, loss=None if step == 0 else 2.6 - step / 250,
                held_out_loss=2.7 - step / 300, tokens_per_s=None if step == 0 else 900.0,
            )
            for step in range(0, 201, 50)
        ),
        "held_out_bits_per_byte": Change(before=1.30, after=1.11, low=-0.22, high=-0.16, count=10),
        "memorised": Change(before=0.0, after=0.02, low=-0.01, high=0.05, count=60),
        "sameness": SAMENESS,
        "seconds": 312.0,
        "device": "Xeon, 2 threads",
        "finished_at": 1_795_400_000.0,
    }  # fmt: skip
    return TunedRecord(**{**fields, **changed})


def make_benchmark(
    speeds: Outcomes,
    records: Sequence[TunedRecord] = (make_record(),),
    read: Mapping[str, str] | None = None,
    axes: Sequence[str] = AXES,
) -> tuple[RunManifest, Tables]:
    """A run that measured speeds.

    Args:
        speeds: values of `axes` to the speeds of a cell's trials.
        records: of its tuned models.
        read: model to the hash of the weights that its cells read; None: attempts do not say.
        axes: what the keys of `speeds` are.
    """
    run, tables = make_frames(speeds, axes=axes)
    run = run.model_copy(update={"tuned": {record.name: record for record in records}})
    if read is not None:
        models = {cell.cell_id: str(cell.params["model"]) for cell in run.cells}
        owner = {trial.trial_id: models[trial.cell_id] for trial in run.trials}
        hashes = [read.get(owner[str(trial)]) for trial in tables.attempts["trial_id"]]
        tables = replace(tables, attempts=tables.attempts.assign(weights_sha256=hashes))
    return run, tables


def figures_of_documents(
    run: RunManifest,
    tables: Tables,
    bits: Mapping[str, Sequence[float]],
    title: str = "held-out tales",
) -> PartFigures:
    """What a part gave that scored documents of 100 bytes.

    Args:
        run: the run.
        tables: of it.
        bits: model to bits per byte of each document.
        title: of the part.
    """
    cells = cell_results(run, tables.trials, tables.attempts)
    return PartFigures(
        title=title,
        cells=cells,
        read=hashes_read(tables, "weights_sha256"),
        adapters=hashes_read(tables, "adapter_sha256"),
        documents={
            cell.record.cell_id: {
                f"document {place}": ScoredText(100 * value, 100)
                for place, value in enumerate(bits[str(cell.record.params["model"])])
            }
            for cell in cells
            if cell.record.params["model"] in bits
        },
        grades={},
        ratings={},
        family=Family(control_pairs(run, cells)),
        is_control=False,
    )


def asked_before_and_after(right: Mapping[str, int], questions: int = 30) -> Study:
    """A run that asked questions with a key.

    Args:
        right: name of a model to how many of them it answers rightly, the first ones.
        questions: how many were asked.
    """
    asked = [
        Question(
            id=f"q{n}", text=f"What is {n} + 0?", topic="sums",
            key=AnswerKey(kind="numeric", value=n),
        )
        for n in range(questions)
    ]  # fmt: skip
    systems = [
        Asked(
            name,
            [[str(n) if n < hits else "-1" for n in range(questions)]],
            {"engine": "llama.cpp", "model": name, "nodes": 1, "weights": "f32"},
        )
        for name, hits in right.items()
    ]
    run, tables = make_asked(asked, systems)
    return study_of(run.model_copy(update={"tuned": {TUNED: make_record()}}), tables)
