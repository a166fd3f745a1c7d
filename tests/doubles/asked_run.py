"""A run of questions on disk whose answers are given, made from an attempt that was recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from collect.attempt import ATTEMPT_FILE, AttemptRecord, load_attempt
from collect.cells import CellRecord, TrialRecord
from collect.questions import Question
from collect.run import ATTEMPTS_FOLDER, RUN_FILE, RunManifest
from collect.workloads import Questions

RECORDED = Path(__file__).resolve().parents[1] / "data" / "questions" / "llama_server_n1"
ENGINE, MODEL = "llama.cpp", "stories15m+kv16"

Answers = Mapping[str, str]
"""Id of a question to the text of the answer."""


def make_asked_run(
    results: Path, questions: Mapping[str, str], given: Mapping[int, Sequence[Answers]]
) -> Path:
    """Write a run.

    Args:
        results: where runs are stored.
        questions: id to text.
        given: number of nodes, which makes the cell, to the answers of each of its repeats.

    Returns:
        Its folder.
    """
    folder = results / "asked-20261124-120000"
    (folder / ATTEMPTS_FOLDER).mkdir(parents=True)
    trials = []
    for nodes, repeats in given.items():
        for repeat, answers in enumerate(repeats, 1):
            cell_id = f"cell{nodes:06d}"
            order = len(trials) + 1
            trials.append(
                TrialRecord(
                    trial_id=f"{cell_id}-r{repeat}",
                    cell_id=cell_id,
                    repeat=repeat,
                    block=repeat,
                    order=order,
                )
            )
            _attempt(folder, trials[-1], nodes, answers)
    run = RunManifest(
        run=folder.name,
        title="Questions to llama.cpp",
        plan_id="p",
        created_at=1_795_400_000.0,
        matrix_file="experiments/matrices/questions.yml",
        workload=Questions(
            file="q.yml",
            asked=tuple(Question(id=name, text=text) for name, text in questions.items()),
        ),
        axes={},
        repeats=max(len(repeats) for repeats in given.values()),
        seed=1,
        warmup=0,
        max_attempts=1,
        cells=tuple(_cell(nodes) for nodes in given),
        trials=tuple(trials),
        nodes={"ask1": {}},
        engines={},
        models={},
        command=("fab", "run-matrix"),
        toolkit="t",
    )
    (folder / RUN_FILE).write_text(run.model_dump_json())
    return folder


def _cell(nodes: int) -> CellRecord:
    params = {"engine": ENGINE, "model": MODEL, "nodes": nodes, "weights": "f32"}
    return CellRecord(cell_id=f"cell{nodes:06d}", params=params, identity={}, nodes=("ask1",))


def _attempt(folder: Path, trial: TrialRecord, nodes: int, answers: Answers) -> None:
    record = load_attempt(RECORDED)
    lines = (RECORDED / "ask1.client.out").read_text().splitlines()
    first = json.loads(lines[0])
    body = json.loads(record.processes[0].argv[-1])["body"]
    told = [json.dumps({**first, "id": name, "text": text}) for name, text in answers.items()]
    asked = [json.dumps({"id": name, "body": body}) for name in answers]
    client, *others = record.processes
    argv = (*client.argv[:3], *asked)
    out = "".join(f"{line}\n" for line in told).encode()
    made = AttemptRecord.model_validate(
        {
            **record.model_dump(),
            "run": folder.name,
            "attempt_id": f"{trial.trial_id}-a1",
            "trial_id": trial.trial_id,
            "cell_id": trial.cell_id,
            "params": _cell(nodes).params,
            "samples": len(answers),
            "expected_samples": len(answers),
            "processes": [client.model_copy(update={"argv": argv}), *others],
            "file_bytes": {"ask1.client.out": len(out)},
        }
    )
    attempt = folder / ATTEMPTS_FOLDER / made.attempt_id
    attempt.mkdir()
    (attempt / "ask1.client.out").write_bytes(out)
    (attempt / ATTEMPT_FILE).write_text(made.model_dump_json())
