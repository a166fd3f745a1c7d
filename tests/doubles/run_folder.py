"""A whole run on disk as the runner leaves it, with logs rebuilt from known figures.

`make_run(tmp_path)` gives both engines on 1, 2, 4 and 8 nodes, three repeats each, one cell
that cannot run, one trial that failed for good and one that needed a second attempt.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collect.attempt import (
    ATTEMPT_FILE,
    AttemptRecord,
    NodeReading,
    NodeRecord,
    Outcome,
    ProcessRecord,
    Role,
    load_attempt,
)
from collect.cells import CellRecord, TrialRecord
from collect.run import ATTEMPTS_FOLDER, RUN_FILE, RunManifest
from collect.workloads import Benchmark, Perplexity
from core.record import Scalar
from tests.doubles import engine_logs
from tests.doubles.engine_logs import Step

CREATED_AT = 1_795_400_000.0
MODEL = "synthetic-60m"
LAYERS, DIM, VOCABULARY = 8, 1024, 4096

CellKey = tuple[str, int]
"""Engine and number of nodes."""
TrialKey = tuple[str, int, int]
"""Engine, number of nodes and repeat."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a token costs on n nodes, before noise.

    Attributes:
        compute_ms: of one token on one node; the parallel part is divided by the nodes.
        serial_ms: part of it that no node takes over.
        sync_ms: of one token, for each node but the first.
        prompt_speed_up: how much cheaper a token of the prompt is.
        noise: relative standard deviation from trial to trial.
    """

    compute_ms: float = 40.0
    serial_ms: float = 2.0
    sync_ms: float = 1.5
    prompt_speed_up: float = 3.0
    noise: float = 0.02

    def token_us(self, nodes: int) -> tuple[int, int]:
        """Compute and sync of one token on n nodes."""
        compute_ms = self.serial_ms + (self.compute_ms - self.serial_ms) / nodes
        return round(1000 * compute_ms), round(1000 * self.sync_ms * (nodes - 1))


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What `make_run` writes; see its arguments."""

    engines: Sequence[str]
    nodes: Sequence[int]
    repeats: int
    workload: Benchmark | Perplexity
    weights: Sequence[str]
    figures: Mapping[str, Figures]
    unavailable: Mapping[CellKey, str]
    failed: frozenset[TrialKey]
    retried: frozenset[TrialKey]
    pending: frozenset[TrialKey]
    max_attempts: int
    seed: int
    clock: list[float] = field(default_factory=lambda: [CREATED_AT + 5])


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


def write_attempt(
    folder: Path,
    manifest: RunManifest,
    trial: TrialRecord,
    *,
    number: int,
    outcome: Outcome,
    spec: RunSpec,
) -> Path:
    """Write one attempt of a trial into a run's folder and return its own folder."""
    cell = manifest.cell(trial.cell_id)
    attempt_id = f"{trial.trial_id}-a{number}"
    logs, samples, root_wall_s = _logs(cell, attempt_id, outcome, spec)
    target = folder / ATTEMPTS_FOLDER / attempt_id
    target.mkdir()
    for file_name, content in logs.items():
        (target / file_name).write_bytes(content)
    started_at = spec.clock[0]
    spec.clock[0] += root_wall_s + 2
    record = AttemptRecord(
        run=manifest.run,
        attempt_id=attempt_id,
        trial_id=trial.trial_id,
        cell_id=cell.cell_id,
        attempt=number,
        params=cell.params,
        outcome=outcome,
        cause=None if outcome == "done" else f"the root on {cell.nodes[0]} ended with status 1",
        samples=samples,
        expected_samples=_expected(spec),
        started_at=started_at,
        trial_wall_s=round(root_wall_s + 0.35, 6),
        root_wall_s=root_wall_s,
        processes=tuple(
            _process(file_name, logs, attempt_id, _Ending(outcome, started_at, root_wall_s, cell))
            for file_name in sorted(logs)
            if file_name.endswith(".out")
        ),
        nodes={node: _readings(index, started_at) for index, node in enumerate(cell.nodes)},
        file_bytes={file_name: len(content) for file_name, content in logs.items()},
    )
    (target / ATTEMPT_FILE).write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return target


def _expected(spec: RunSpec) -> int:
    return spec.workload.generate_tokens if isinstance(spec.workload, Benchmark) else 1


def _logs(
    cell: CellRecord, attempt_id: str, outcome: Outcome, spec: RunSpec
) -> tuple[dict[str, bytes], int, float]:
    """Logs of an attempt by file name, the samples in them, and the root's lifetime in s."""
    engine, count = str(cell.params["engine"]), int(cell.params["nodes"])
    figures = spec.figures.get(engine, Figures())
    noise = random.Random(f"{spec.seed} {attempt_id}")  # noqa: S311 - noise of a test's figures
    speed = max(0.5, noise.gauss(1.0, figures.noise))
    root = f"{cell.nodes[0]}.root"
    if engine == "distributed-llama":
        out, err, wall_ms = _dllama_root(spec.workload, figures, count, speed, outcome)
        workers = {
            f"{node}.worker.out": engine_logs.dllama_worker(index, count)
            for index, node in enumerate(cell.nodes[1:])
        }
    else:
        out, err, wall_ms = _llama_root(spec.workload, figures, count, speed, outcome)
        workers = {
            f"{node}.worker.out": b"Starting RPC server v8.0.0\n"
            for node in (cell.nodes if count > 1 else ())
        }
    logs = {f"{root}.out": out} | ({f"{root}.err": err} if err else {}) | workers
    return logs, _expected(spec) if outcome == "done" else 0, round(wall_ms / 1000 + 0.5, 6)


def _steps(
    workload: Benchmark, figures: Figures, nodes: int, speed: float
) -> tuple[list[Step], list[Step]]:
    compute_us, sync_us = figures.token_us(nodes)
    batch = workload.prompt_tokens - 1
    sent = (nodes - 1) * (4 * DIM + 2 * LAYERS * DIM // 32 * 34)
    received = (nodes - 1) * (2 * LAYERS * DIM // 32 * 34 + 4 * VOCABULARY // nodes)
    one_us = round(batch * compute_us * speed / figures.prompt_speed_up)
    all_sync_us = round(batch * sync_us * speed / figures.prompt_speed_up)
    prefill = [Step(one_us, all_sync_us, batch * sent, batch * received, batch)]
    decode = [
        Step(
            round(compute_us * speed),
            round(sync_us * speed),
            sent,
            received,
            text=f" tok{index:05d}".encode(),
        )
        for index in range(workload.generate_tokens)
    ]
    return prefill, decode


def _dllama_root(
    workload: Benchmark | Perplexity, figures: Figures, nodes: int, speed: float, outcome: Outcome
) -> tuple[bytes, bytes, float]:
    if outcome == "failed":
        start = engine_logs.dllama_start(nodes, 82)
        return start + "🚨 Execution error: Connection reset by peer\n".encode(), b"", 500.0
    if isinstance(workload, Perplexity):
        return engine_logs.dllama_perplexity(21.5 * (1 + nodes / 1000), 64, nodes=nodes), b"", 900.0
    prefill, decode = _steps(workload, figures, nodes, speed)
    out = engine_logs.dllama_root(prefill, decode, nodes=nodes)
    total_us = sum(step.compute_us + step.sync_us for step in (*prefill, *decode))
    return out, b"", total_us / 1000


def _llama_root(
    workload: Benchmark | Perplexity, figures: Figures, nodes: int, speed: float, outcome: Outcome
) -> tuple[bytes, bytes, float]:
    if outcome == "failed":
        crash = b"./src/ggml-rpc/ggml-rpc.cpp:682: Remote RPC server crashed or returned malformed"
        return b"", crash + b" response\n", 500.0
    if isinstance(workload, Perplexity):
        return engine_logs.llama_perplexity(21.4), b"", 900.0
    token_us = sum(figures.token_us(nodes)) * speed
    prompt_ns = round(1000 * token_us * workload.prompt_tokens / figures.prompt_speed_up)
    generate_ns = round(1000 * token_us * workload.generate_tokens)
    out = engine_logs.llama_bench(
        workload.prompt_tokens, prompt_ns, workload.generate_tokens, generate_ns
    )
    return out, b"", (prompt_ns + generate_ns) / 1e6


@dataclass(frozen=True, slots=True)
class _Ending:
    """How an attempt went."""

    outcome: Outcome
    started_at: float
    root_wall_s: float
    cell: CellRecord


def _process(
    file_name: str, logs: Mapping[str, bytes], attempt_id: str, ending: _Ending
) -> ProcessRecord:
    node, role_name, _ = file_name.split(".")
    role: Role = "root" if role_name == "root" else "worker"
    ended_badly = role == "root" and ending.outcome == "failed"
    err_file = f"{node}.{role}.err"
    runtime_s = ending.root_wall_s + (0.0 if role == "root" else 0.2)
    return ProcessRecord(
        node=node,
        role=role,
        unit=f"herd-{attempt_id}-{role}",
        argv=_argv(str(ending.cell.params["engine"]), role, logs[file_name]),
        exit_code=int(ended_badly),
        result="exit-code" if ended_badly else "success",
        started_at=ending.started_at,
        runtime_s=runtime_s,
        cpu_s=round(runtime_s * 0.9, 6),
        memory_peak_mib=82.0 if role == "root" else 33.0,
        received_bytes=1_000_000,
        sent_bytes=900_000,
        out_file=file_name,
        err_file=err_file if err_file in logs else None,
    )


def _argv(engine: str, role: Role, out: bytes) -> tuple[str, ...]:
    programs = f"/opt/llama-herd/engines/{engine}/bin"
    if engine == "distributed-llama":
        mode = "perplexity" if b"Evaluating" in out else "inference"
        return ("/usr/bin/stdbuf", "-oL", f"{programs}/dllama", mode if role == "root" else role)
    if role == "worker":
        return (f"{programs}/ggml-rpc-server", "--port", "50052")
    return (f"{programs}/{'llama-perplexity' if b'PPL' in out else 'llama-bench'}",)


def _readings(index: int, started_at: float) -> NodeRecord:
    def reading(at: float, warmer_c: float) -> NodeReading:
        return NodeReading(
            clock_s=at,
            uptime_s=at - CREATED_AT + 1000 + index,
            throttled=0,
            temperature_c=48.0 + index + warmer_c,
            frequency_mhz=2400.0,
            swap_pages=0,
            link_mbit=1000,
        )

    return NodeRecord(before=reading(started_at, 0.0), after=reading(started_at + 3, 2.5))


def replace_log(attempt: Path, file_name: str, content: bytes, *, samples: int) -> None:
    """Give a written attempt another log, with a record that vouches for it."""
    record = load_attempt(attempt)
    (attempt / file_name).write_bytes(content)
    changed = record.model_copy(
        update={
            "file_bytes": {**record.file_bytes, file_name: len(content)},
            "samples": samples,
            "expected_samples": samples,
        }
    )
    (attempt / ATTEMPT_FILE).write_text(changed.model_dump_json(indent=1), encoding="utf-8")
