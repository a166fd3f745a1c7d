"""A whole run on disk as the runner leaves it, with logs rebuilt from known figures.

`make_run(tmp_path)` gives both engines on 1, 2, 4 and 8 nodes, three repeats each, one cell
that cannot run, one trial that failed for good and one that needed a second attempt.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from collect.attempt import Outcome
from collect.cells import CellRecord, TrialRecord
from collect.run import ATTEMPTS_FOLDER, RUN_FILE, RunManifest
from collect.workloads import Benchmark, Perplexity
from core.record import Scalar
from tests.doubles.run_attempts import (
    CREATED_AT,
    CellKey,
    Figures,
    RunSpec,
    TrialKey,
    write_attempt,
)

MODEL = "synthetic-60m"


def make_run(
    parent: Path,
    *,
    name: str = "20261123-scaling",
    engines: Sequence[str] = ("distributed-llama", "llama.cpp"),
    nodes: Sequence[int] = (1, 2, 4, 8),
    repeats: int = 3,
    workload: Benchmark | Perplexity | None = None,
    weights: Sequence[str] = ("q4_0",),
    figures: Mapping[str, Figures] | None = None,
    unavailable: Mapping[CellKey, str] | None = None,
    failed: Sequence[TrialKey] | None = None,
    retried: Sequence[TrialKey] | None = None,
    pending: Sequence[TrialKey] = (),
    max_attempts: int = 2,
    seed: int = 1,
) -> Path:
    """Write a run below `parent` and return its folder.

    Args:
        parent: where the run's folder is made (as `results/`).
        name: name of the run.
        engines: values of the axis.
        nodes: values of the axis.
        repeats: trials of a cell.
        workload: 32 prompt tokens and 16 generated ones by default.
        weights: values of the axis.
        figures: engine to what a token costs there.
        unavailable: cells that cannot run, and why. Default: distributed-llama on the largest
            number of nodes, if there are more than one.
        failed: trials of which every attempt failed. Default: one.
        retried: trials of which the first attempt failed and the second did not. Default: one.
        pending: trials that were not reached.
        max_attempts: attempts of a trial.
        seed: of order and noise.
    """
    first, most = engines[0], max(nodes)
    spec = RunSpec(
        engines=engines,
        nodes=nodes,
        repeats=repeats,
        workload=workload or Benchmark(prompt_tokens=32, generate_tokens=16),
        weights=weights,
        figures=figures or {"llama.cpp": Figures(compute_ms=30.0, sync_ms=3.0)},
        unavailable=(
            {
                (
                    "distributed-llama",
                    most,
                ): f"pi{most} has 64 MiB of memory and would need about 82 MiB"
            }
            if unavailable is None and len(nodes) > 1
            else unavailable or {}
        ),
        failed=frozenset(
            [(first, sorted(nodes)[len(nodes) // 2], 1)] if failed is None else failed
        ),
        retried=frozenset([(first, min(nodes), repeats)] if retried is None else retried),
        pending=frozenset(pending),
        max_attempts=max_attempts,
        seed=seed,
    )
    manifest = _manifest(name, spec)
    folder = parent / name
    (folder / ATTEMPTS_FOLDER).mkdir(parents=True)
    (folder / RUN_FILE).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    for trial in manifest.trials:
        _write_trial(folder, manifest, trial, spec)
    return folder


def _manifest(name: str, spec: RunSpec) -> RunManifest:
    cells = tuple(
        _cell(engine, weight, count, spec)
        for engine in spec.engines
        for weight in spec.weights
        for count in spec.nodes
    )
    shuffler = random.Random(spec.seed)  # noqa: S311 - order of a test's trials
    trials: list[TrialRecord] = []
    for block in range(1, spec.repeats + 1):
        shuffled = list(cells)
        shuffler.shuffle(shuffled)
        for cell in shuffled:
            trials.append(
                TrialRecord(
                    trial_id=f"{cell.cell_id}-r{block}",
                    cell_id=cell.cell_id,
                    repeat=block,
                    block=block,
                    order=len(trials) + 1,
                )
            )
    return RunManifest(
        run=name,
        title="Scaling over nodes",
        plan_id="0123456789ab",
        created_at=CREATED_AT,
        matrix_file="experiments/matrices/scaling.yml",
        workload=spec.workload,
        axes={
            "engine": tuple(spec.engines),
            "model": (MODEL,),
            "nodes": tuple(spec.nodes),
            "weights": tuple(spec.weights),
            "workers": ("fresh",),
            "threads": (0,),
            "net_turbo": (False,),
            "split_mode": ("layer",),
        },
        repeats=spec.repeats,
        seed=spec.seed,
        warmup=1,
        max_attempts=spec.max_attempts,
        cells=cells,
        trials=tuple(trials),
        nodes={node: _facts(index) for index, node in enumerate(_node_names(max(spec.nodes)))},
        engines={
            engine: {
                "version": "8d624a7" if engine == "distributed-llama" else "0.7.0",
                "protocol": None if engine == "distributed-llama" else "8.0.0",
                "method": "source" if engine == "distributed-llama" else "debian",
                "compiler": "gcc 12.2.0",
                "flags": "-O3 -march=native",
            }
            for engine in spec.engines
        },
        models={f"{MODEL}-q4_0.gguf": "1f" * 32, f"{MODEL}-q4_0.m": "2e" * 32},
        command=("fab", "run-matrix", "--nodes", ",".join(map(str, spec.nodes))),
        toolkit="0.1.0",
    )


def _cell(engine: str, weight: str, count: int, spec: RunSpec) -> CellRecord:
    params: dict[str, Scalar] = {
        "engine": engine,
        "model": MODEL,
        "nodes": count,
        "weights": weight,
        "workers": "fresh",
        "threads": 0,
    }
    params |= {"net_turbo": False} if engine == "distributed-llama" else {"split_mode": "layer"}
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
    return CellRecord(
        cell_id=digest[:12],
        params=params,
        identity={"programs": "aa" * 32, "model": "bb" * 32},
        nodes=_node_names(count),
        unavailable=spec.unavailable.get((engine, count)),
    )


def _node_names(count: int) -> tuple[str, ...]:
    return tuple(f"pi{index}" for index in range(1, count + 1))


def _facts(index: int) -> dict[str, Scalar | None]:
    return {
        "machine_id": hashlib.sha256(str(index).encode()).hexdigest()[:32],
        "boot_id": hashlib.sha256(f"boot{index}".encode()).hexdigest()[:32],
        "cpu_model": "Cortex-A76",
        "cores": 4,
        "memory_mib": 8192,
        "os": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "6.6.51+rpt-rpi-2712",
        "architecture": "aarch64",
        "link_mbit": 1000,
    }


def _write_trial(folder: Path, manifest: RunManifest, trial: TrialRecord, spec: RunSpec) -> None:
    cell = manifest.cell(trial.cell_id)
    count = int(cell.params["nodes"])
    key = (str(cell.params["engine"]), count, trial.repeat)
    if cell.unavailable or key in spec.pending:
        return
    outcomes: list[Outcome] = ["done"]
    if key in spec.failed:
        outcomes = ["failed"] * spec.max_attempts
    elif key in spec.retried:
        outcomes = ["failed", "done"]
    for number, outcome in enumerate(outcomes, start=1):
        write_attempt(folder, manifest, trial, number=number, outcome=outcome, spec=spec)
