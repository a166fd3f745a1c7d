"""Columns of the tables with their pandas dtypes; docs/tables.md says what they mean.

A value that is absent is missing (`<NA>`), never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Columns = Mapping[str, str]
"""Column to pandas dtype."""

TRIALS_BEFORE_AXES: Columns = MappingProxyType(
    {"run": "string", "trial_id": "string", "cell_id": "string"}
)
FIRST_AXES = ("engine", "model", "nodes", "weights", "workers", "threads")
"""Axes that every cell has; they come first, in this order."""
TRIALS_AFTER_AXES: Columns = MappingProxyType(
    {
        "workload": "string",
        "repeat": "Int64",
        "block": "Int64",
        "order": "Int64",
        "state": "string",
        "attempts": "Int64",
        "attempt_id": "string",
        "reason": "string",
        "prompt_tokens": "Int64",
        "prompt_ms": "Float64",
        "prompt_ms_per_token": "Float64",
        "prompt_tokens_per_s": "Float64",
        "generated_tokens": "Int64",
        "decode_ms": "Float64",
        "decode_ms_per_token": "Float64",
        "decode_tokens_per_s": "Float64",
        "compute_ms_per_token": "Float64",
        "sync_ms_per_token": "Float64",
        "sync_share_low": "Float64",
        "sync_share_high": "Float64",
        "sent_kib_per_token": "Float64",
        "received_kib_per_token": "Float64",
        "perplexity": "Float64",
        "text_sha256": "string",
        "required_memory_mib": "Float64",
        "trial_wall_s": "Float64",
        "root_wall_s": "Float64",
        "energy_j": "Float64",
        "energy_j_per_token": "Float64",
        "energy_j_per_answer": "Float64",
        "energy_window_s": "Float64",
        "energy_counters": "string",
        "link_round_trip_ms": "Float64",
        "flags": "string",
    }
)
FIGURES = (
    *(name for name, dtype in TRIALS_AFTER_AXES.items() if dtype == "Float64"),
    "text_sha256",
)
"""Columns of `trials` that say what a trial gave, for comparing it with others of its cell."""
TRIALS_OF_GPUS: Columns = MappingProxyType(
    {
        "gpu_energy_j": "Float64",
        "gpu_energy_j_per_token": "Float64",
        "gpu_energy_j_per_answer": "Float64",
    }
)
"""Further columns of `trials`, only in runs that counted the energy of a GPU that computed."""
TRIALS_OF_PLUGS: Columns = MappingProxyType(
    {
        "wall_energy_j": "Float64",
        "wall_energy_j_per_token": "Float64",
        "wall_energy_j_per_answer": "Float64",
        "wall_error_j": "Float64",
        "wall_above_idle_j": "Float64",
        "wall_above_idle_j_per_token": "Float64",
        "wall_above_idle_j_per_answer": "Float64",
        "wall_tokens_per_wh": "Float64",
        "wall_idle_w": "Float64",
        "wall_window_s": "Float64",
        "wall_scope": "string",
        "wall_by": "string",
    }
)
"""Further columns of `trials`, only in runs whose nodes are behind smart plugs."""
TRIALS_OF_GROUPS: Columns = MappingProxyType(
    {
        "deployments": "Int64",
        "all_tokens_per_s": "Float64",
        "all_window_s": "Float64",
        "all_overlap": "Float64",
        "sum_tokens_per_s": "Float64",
        "slowest_tokens_per_s": "Float64",
        "roots_overlap": "Float64",
    }
)
"""Further columns of `trials`, only in runs with several deployments at once (axis `groups`)."""
TRIALS_OF_DOCUMENTS: Columns = MappingProxyType(
    {
        "document": "string",
        "document_part": "Int64",
        "document_bytes": "Int64",
        "document_tokens": "Int64",
        "read_tokens": "Int64",
        "document_bits": "Float64",
        "bits_per_byte": "Float64",
    }
)
"""Further columns of `trials`, only in runs that score documents."""
FURTHER_OF_TRIALS = (TRIALS_OF_GPUS, TRIALS_OF_PLUGS, TRIALS_OF_DOCUMENTS, TRIALS_OF_GROUPS)
"""All further columns of `trials`; a run has each of these groups or not."""
NODES_OF_GPUS: Columns = MappingProxyType({"gpu_energy_j": "Float64"})
"""The same of `nodes`."""
TOKENS: Columns = MappingProxyType(
    {
        "run": "string",
        "trial_id": "string",
        "attempt_id": "string",
        "index": "Int64",
        "phase": "string",
        "tokens": "Int64",
        "compute_ms": "Float64",
        "sync_ms": "Float64",
        "total_ms": "Float64",
        "sent_kib": "Float64",
        "received_kib": "Float64",
        "text": "string",
    }
)
TEXTS: Columns = MappingProxyType(
    {
        "run": "string",
        "trial_id": "string",
        "attempt_id": "string",
        "index": "Int64",
        "text": "string",
        "log_probability": "Float64",
    }
)
SERVERS: Columns = MappingProxyType(
    {
        "run": "string",
        "trial_id": "string",
        "attempt_id": "string",
        "index": "Int64",
        "phase": "string",
        "position": "Int64",
        "node": "string",
        "layers": "Int64",
        "wait_ms": "Float64",
        "compute_ms": "Float64",
    }
)
NODES: Columns = MappingProxyType(
    {
        "run": "string",
        "trial_id": "string",
        "attempt_id": "string",
        "node": "string",
        "role": "string",
        "unit": "string",
        "exit_code": "Int64",
        "signal": "Int64",
        "result": "string",
        "started_at": "Float64",
        "runtime_s": "Float64",
        "cpu_s": "Float64",
        "memory_peak_mib": "Float64",
        "received_bytes": "Int64",
        "sent_bytes": "Int64",
        "kept": "boolean",
        "throttled_before": "Int64",
        "throttled_after": "Int64",
        "throttled_meanwhile": "Int64",
        "temperature_before_c": "Float64",
        "temperature_after_c": "Float64",
        "frequency_after_mhz": "Float64",
        "swapped_pages": "Int64",
        "link_mbit": "Int64",
        "energy_j": "Float64",
        "energy_window_s": "Float64",
        "energy_counters": "string",
    }
)
NODES_ON_GPUS: Columns = MappingProxyType({"gpu": "string", "gpu_is_software": "boolean"})
"""Further columns of `nodes`, only in runs that computed on GPUs."""
ANSWERS: Columns = MappingProxyType(
    {
        "run": "string",
        "trial_id": "string",
        "attempt_id": "string",
        "question": "string",
        "text": "string",
        "tokens": "Int64",
        "tokens_from": "string",
        "prompt_tokens": "Int64",
        "ttft_ms": "Float64",
        "decode_ms": "Float64",
        "total_ms": "Float64",
        "tokens_per_s": "Float64",
        "finish_reason": "string",
        "truncated": "boolean",
        "temperature": "Float64",
        "temperature_used": "Float64",
        "error": "string",
        "refused": "boolean",
        "tries": "Int64",
        "waited_ms": "Float64",
        "replayed": "boolean",
        "served_model": "string",
        "status": "Int64",
    }
)
PLUGS: Columns = MappingProxyType(
    {
        "run": "string",
        "trial_id": "string",
        "attempt_id": "string",
        "plug": "string",
        "nodes": "string",
        "feeds_switch": "boolean",
        "energy_j": "Float64",
        "error_j": "Float64",
        "by": "string",
        "window_s": "Float64",
        "readings": "Int64",
        "idle_w": "Float64",
        "reason": "string",
    }
)
POWER: Columns = MappingProxyType(
    {
        "run": "string",
        "trial_id": "string",
        "attempt_id": "string",
        "plug": "string",
        "at_s": "Float64",
        "watts": "Float64",
        "counter_j": "Float64",
    }
)
ATTEMPTS: Columns = MappingProxyType(
    {
        "run": "string",
        "trial_id": "string",
        "attempt_id": "string",
        "attempt": "Int64",
        "outcome": "string",
        "cause": "string",
        "started_at": "Float64",
        "trial_wall_s": "Float64",
        "root_wall_s": "Float64",
        "samples": "Int64",
        "expected_samples": "Int64",
    }
)

ATTEMPTS_WITH_WEIGHTS: Columns = MappingProxyType({"weights_sha256": "string"})
"""Only where the weights were hashed that processes read."""
ATTEMPTS_WITH_ADAPTERS: Columns = MappingProxyType({"adapter_sha256": "string"})
"""Only where a client read trained prompts."""


def column_of(axis: str) -> str:
    """The column of an axis; it has another name where a measured figure has the axis's own."""
    return f"asked_{axis}" if axis in TRIALS_AFTER_AXES else axis
