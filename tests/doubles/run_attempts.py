"""Attempts as the runner leaves them, with logs rebuilt from known figures."""

from __future__ import annotations

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
from collect.run import ATTEMPTS_FOLDER, RunManifest
from collect.workloads import Benchmark, Perplexity
from tests.doubles import engine_logs
from tests.doubles.engine_logs import Step

CREATED_AT = 1_795_400_000.0
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
