"""A run with several workloads on disk, put together from runs that have one each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from collect.attempt import ATTEMPT_FILE
from collect.cells import CellRecord, TrialRecord
from collect.load import load_run
from collect.run import ATTEMPTS_FOLDER, RUN_FILE, PartRecord, RunManifest


def make_parts_run(results: Path, parts: Mapping[str, Path]) -> Path:
    """Write a run.

    Args:
        results: where runs are stored.
        parts: name of each part to the folder of the run of which it is made. Ids of cells differ.

    Returns:
        Its folder.
    """
    folder = results / "parts-20261129-120000"
    (folder / ATTEMPTS_FOLDER).mkdir(parents=True)
    runs = {name: load_run(path) for name, path in parts.items()}
    first = next(iter(runs.values()))
    run = RunManifest(
        **{
            **dict(first),
            "run": folder.name,
            "title": "Several parts",
            "workload": None,
            "parts": {
                name: PartRecord(title=one.title, workload=one.workload, repeats=one.repeats)
                for name, one in runs.items()
            },
            "repeats": max(one.repeats for one in runs.values()),
            "axes": {},
            "cells": tuple(_cell(cell, name) for name, one in runs.items() for cell in one.cells),
            "trials": _trials(runs.values()),
            "nodes": {node: told for one in runs.values() for node, told in one.nodes.items()},
        }
    )
    (folder / RUN_FILE).write_text(run.model_dump_json())
    for name, path in parts.items():
        for attempt in (path / ATTEMPTS_FOLDER).iterdir():
            copy = shutil.copytree(attempt, folder / ATTEMPTS_FOLDER / attempt.name)
            record = json.loads((copy / ATTEMPT_FILE).read_text())
            record["run"] = folder.name
            record["params"] = {**record["params"], "part": name}
            (copy / ATTEMPT_FILE).write_text(json.dumps(record))
    return folder


def _cell(cell: CellRecord, part: str) -> CellRecord:
    return cell.model_copy(update={"params": {**cell.params, "part": part}})


def _trials(runs: Iterable[RunManifest]) -> tuple[TrialRecord, ...]:
    trials = [trial for run in runs for trial in run.trials]
    trials.sort(key=lambda trial: (trial.block, trial.order))
    return tuple(t.model_copy(update={"order": n}) for n, t in enumerate(trials, 1))
