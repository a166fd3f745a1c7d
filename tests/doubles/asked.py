"""A run that asked questions, in memory: what each system answered is given, nothing is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from collect.cells import CellRecord, TrialRecord
from collect.columns import (
    ANSWERS,
    ATTEMPTS,
    NODES,
    SERVERS,
    TEXTS,
    TOKENS,
    TRIALS_AFTER_AXES,
    TRIALS_BEFORE_AXES,
    Columns,
)
from collect.questions import Question
from collect.run import RunManifest, SystemRecord
from collect.tables import Tables
from collect.workloads import Questions
from core.record import Scalar

AXES: Columns = {
    "system": "string",
    "engine": "string",
    "model": "string",
    "nodes": "Int64",
    "weights": "string",
}
WHOLE: Mapping[str, Any] = {
    "tokens": 20,
    "tokens_from": "usage",
    "prompt_tokens": 9,
    "ttft_ms": 200.0,
    "decode_ms": 1900.0,
    "total_ms": 2100.0,
    "tokens_per_s": 10.0,
    "finish_reason": "stop",
    "truncated": False,
    "refused": False,
    "tries": 1,
    "waited_ms": 0.0,
    "replayed": False,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A system of the run.

    Attributes:
        answers: for each trial its answers, in the order of the questions: a text, or columns of
            the answers table that differ from `WHOLE`.
    """

    name: str
    answers: Sequence[Sequence[str | Mapping[str, Any]]]
    params: Mapping[str, Scalar] = field(
        default_factory=lambda: {"engine": "llama.cpp", "model": "m", "nodes": 1, "weights": "q4_0"}
    )


API: Mapping[str, Scalar] = {"engine": "openai", "model": "gpt", "nodes": 0, "weights": "none"}


def make_asked(
    questions: Sequence[Question],
    systems: Sequence[Asked],
    apis: Mapping[str, SystemRecord] | None = None,
) -> tuple[RunManifest, Tables]:
    """The run and its tables; every trial is done."""
    repeats = max(len(system.answers) for system in systems)
    cells = tuple(
        CellRecord(
            cell_id=f"cell{index}",
            params={"system": system.name, **system.params},
            identity={},
            nodes=(),
        )
        for index, system in enumerate(systems)
    )
    trials = tuple(
        TrialRecord(
            trial_id=f"{cell.cell_id}-r{repeat}",
            cell_id=cell.cell_id,
            repeat=repeat,
            block=repeat,
            order=order,
        )
        for order, (cell, repeat) in enumerate(
            ((cell, repeat) for repeat in range(1, repeats + 1) for cell in cells), start=1
        )
    )
    run = RunManifest(
        run="compared",
        title="Compared",
        plan_id="p",
        created_at=1.0,
        matrix_file="experiments/matrices/questions.yml",
        workload=Questions(file="experiments/questions/six.yml", asked=tuple(questions)),
        axes={"system": tuple(system.name for system in systems)},
        repeats=repeats,
        seed=1,
        warmup=0,
        max_attempts=1,
        cells=cells,
        trials=trials,
        nodes={},
        engines={},
        models={},
        command=("fab", "compare"),
        systems=dict(apis or {}),
        toolkit="t",
    )
    return run, Tables(
        trials=_frame(
            [_trial(trial, run) for trial in trials],
            {**TRIALS_BEFORE_AXES, **AXES, **TRIALS_AFTER_AXES},
        ),
        tokens=_frame([], TOKENS),
        servers=_frame([], SERVERS),
        nodes=_frame([], NODES),
        texts=_frame([], TEXTS),
        attempts=_frame([_attempt(trial) for trial in trials], ATTEMPTS),
        answers=_frame(
            [
                _answer(trial, question, answer)
                for trial in trials
                for question, answer in zip(
                    questions,
                    systems[int(trial.cell_id[4:])].answers[trial.repeat - 1],
                    strict=True,
                )
            ],
            ANSWERS,
        ),
    )


def _trial(trial: TrialRecord, run: RunManifest) -> dict[str, Any]:
    return {
        **trial.model_dump(),
        **run.cell(trial.cell_id).params,
        "run": run.run,
        "workload": "questions",
        "state": "done",
        "attempts": 1,
        "attempt_id": f"{trial.trial_id}-a1",
        "decode_tokens_per_s": 10.0,
        "decode_ms_per_token": 100.0,
    }


def _attempt(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial_id": trial.trial_id,
        "attempt_id": f"{trial.trial_id}-a1",
        "attempt": 1,
        "outcome": "done",
    }


def _answer(
    trial: TrialRecord, question: Question, answer: str | Mapping[str, Any]
) -> dict[str, Any]:
    told = {"text": answer} if isinstance(answer, str) else answer
    ids = {"trial_id": trial.trial_id, "attempt_id": f"{trial.trial_id}-a1"}
    return {"run": "compared", **ids, "question": question.id, **WHOLE, **told}


def _frame(rows: Sequence[Mapping[str, Any]], columns: Columns) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: pd.Series([row.get(name) for row in rows], dtype=dtype)
            for name, dtype in columns.items()
        }
    )
