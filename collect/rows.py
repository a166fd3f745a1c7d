"""The rows of the tables of a run, from its trials and attempts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from collect.account import AttemptState, TrialState
from collect.attempt import LAST_ROLES, AttemptRecord, NodeReading, NodeRecord, ProcessRecord
from collect.cells import CellRecord
from collect.columns import ANSWERS, NODES, Columns, column_of
from collect.energy import node_energy, trial_energy
from collect.measurement import AtOnce, Measurement, Phase, SaidToken
from collect.parsers.of_attempt import answers_of
from collect.run import RunManifest
from collect.wall import plug_rows, power_rows
from collect.workloads import Greedy
from core.errors import HerdError

Row = dict[str, Any]


def trial_row(run: RunManifest, axes: Columns, state: TrialState) -> Row:
    """Make the row of a trial in the table `trials`."""
    row: Row = {
        "run": run.run,
        "trial_id": state.trial.trial_id,
        "cell_id": state.cell.cell_id,
        **{
            (column := column_of(name)): str(value) if axes[column] == "string" else value
            for name, value in state.cell.params.items()
        },
        "workload": run.workload_of(state.cell).kind,
        "repeat": state.trial.repeat,
        "block": state.trial.block,
        "order": state.trial.order,
        "state": state.state,
        "attempts": len(state.attempts),
        "reason": state.reason,
    }
    chosen = state.chosen
    if chosen is None or chosen.record is None or chosen.measurement is None:
        return row
    return {
        **row,
        "attempt_id": chosen.attempt_id,
        "trial_wall_s": chosen.record.trial_wall_s,
        "root_wall_s": chosen.record.root_wall_s,
        "link_round_trip_ms": chosen.record.link and chosen.record.link.round_trip_ms,
        **_figures(chosen.measurement),
        **trial_energy(run, state.cell.nodes, chosen.record, chosen.measurement),
        **_document(chosen.record, chosen.measurement),
        **_at_once(state.cell, chosen.record, chosen.measurement),
    }


def _at_once(cell: CellRecord, record: AttemptRecord, measurement: Measurement) -> Row:
    """What several deployments made at once; a single one is alone in its window."""
    found, decode = measurement.at_once, measurement.decode
    if "groups" not in cell.params or decode is None:
        return {}
    if found is None:
        speed = decode.tokens_per_s
        found = AtOnce(1, decode.tokens, decode.total_ms / 1000, 1.0, speed, speed)
    return {
        "deployments": found.deployments,
        "all_tokens_per_s": found.tokens_per_s,
        "all_window_s": found.window_s,
        "all_overlap": found.overlap,
        "sum_tokens_per_s": found.sum_tokens_per_s,
        "slowest_tokens_per_s": found.slowest_tokens_per_s,
        "roots_overlap": record.overlap if record.deployments else 1.0,
    }


def _document(record: AttemptRecord, measurement: Measurement) -> Row:
    """What an engine said of a document; its perplexity is over all tokens that it scored."""
    scored, perplexity, read = record.scored, measurement.perplexity, len(measurement.said)
    if scored is None or perplexity is None or not (read and scored.size):
        return {}
    bits = max(0.0, math.log2(perplexity)) * read
    return {
        "document": scored.document,
        "document_part": scored.part,
        "document_bytes": scored.size,
        "document_tokens": scored.tokens,
        "read_tokens": read,
        "document_bits": bits,
        "bits_per_byte": bits / scored.size,
    }


def _figures(measurement: Measurement) -> Row:
    row: Row = {
        "perplexity": measurement.perplexity,
        "required_memory_mib": measurement.required_memory_mib,
        "flags": "; ".join(measurement.flags) or None,
    }
    if measurement.text is not None:
        row["text_sha256"] = hashlib.sha256(measurement.text.encode()).hexdigest()
    if (prompt := measurement.prefill) is not None:
        row |= {
            "prompt_tokens": prompt.tokens,
            "prompt_ms": prompt.total_ms,
            "prompt_ms_per_token": prompt.ms_per_token,
            "prompt_tokens_per_s": prompt.tokens_per_s,
        }
    if (decode := measurement.decode) is not None:
        row |= {
            "generated_tokens": decode.tokens,
            "decode_ms": decode.total_ms,
            "decode_ms_per_token": decode.ms_per_token,
            "decode_tokens_per_s": decode.tokens_per_s,
            **_per_token(decode),
            "sync_share_low": decode.sync_share_low,
            "sync_share_high": decode.sync_share_high,
        }
    return row


def _per_token(phase: Phase) -> Row:
    parts = {
        "compute_ms_per_token": phase.compute_ms,
        "sync_ms_per_token": phase.sync_ms,
        "sent_kib_per_token": phase.sent_kib,
        "received_kib_per_token": phase.received_kib,
    }
    return {name: None if part is None else part / phase.tokens for name, part in parts.items()}


def step_rows(run: str, trials: Iterable[TrialState], kind: str, columns: Columns) -> Iterator[Row]:
    """Yield a row for each record of a kind, of each measurement that counts.

    Args:
        run: name of the run.
        trials: of it, in their order; those without a measurement give no row.
        kind: attribute of a measurement that holds the records, such as `tokens`.
        columns: of the table; those that a record has are taken from it.
    """
    for trial in trials:
        chosen = trial.chosen
        if chosen is None or chosen.measurement is None:
            continue
        for record in getattr(chosen.measurement, kind):
            yield {
                "run": run,
                "trial_id": trial.trial.trial_id,
                "attempt_id": chosen.attempt_id,
                **{name: getattr(record, name) for name in columns if hasattr(record, name)},
            }


def answer_rows(run: str, attempts: Iterable[tuple[TrialState, AttemptState]]) -> Iterator[Row]:
    """Make a row of each answer of each attempt, regardless of its outcome."""
    for trial, attempt in attempts:
        if attempt.record is None:
            continue
        with suppress(HerdError):  # the account has said why its log cannot be read
            for answer in answers_of(attempt.folder, attempt.record):
                yield {
                    "run": run,
                    "trial_id": trial.trial.trial_id,
                    "attempt_id": attempt.attempt_id,
                    **{name: getattr(answer, name) for name in ANSWERS if hasattr(answer, name)},
                }


def text_rows(manifest: RunManifest, trials: Iterable[TrialState]) -> Iterator[Row]:
    """Make a row of each token that a greedy workload generated or scored."""
    for trial in trials:
        chosen = trial.chosen
        is_greedy = isinstance(manifest.workload_of(trial.cell), Greedy)
        if not is_greedy or chosen is None or chosen.measurement is None:
            continue
        for index, token in enumerate(_said(chosen.measurement)):
            yield {
                "run": manifest.run,
                "trial_id": trial.trial.trial_id,
                "attempt_id": chosen.attempt_id,
                "index": index,
                "text": token.text,
                "log_probability": token.log_probability,
            }


def _said(measurement: Measurement) -> Sequence[SaidToken]:
    """Tokens with their probabilities, or else those that the engine printed."""
    return measurement.said or [
        SaidToken(record.text, None)
        for record in measurement.tokens
        if record.phase == "prediction"
    ]


def attempt_row(run: str, trial: TrialState, attempt: AttemptState) -> Row:
    """Make the row of an attempt in the table `attempts`."""
    row: Row = {
        "run": run,
        "trial_id": trial.trial.trial_id,
        "attempt_id": attempt.attempt_id,
        "attempt": attempt.attempt,
        "outcome": "done" if attempt.done else "failed",
        "cause": attempt.reason,
    }
    record = attempt.record
    if record is None:
        return row
    return {
        **row,
        "outcome": "failed" if record.outcome == "done" and not attempt.done else record.outcome,
        "started_at": record.started_at,
        "trial_wall_s": record.trial_wall_s,
        "root_wall_s": record.root_wall_s,
        "samples": attempt.measurement.samples if attempt.measurement else record.samples,
        "expected_samples": record.expected_samples,
        "weights_sha256": "+".join(sorted(set(record.weights_sha256.values()))) or None,
        "adapter_sha256": record.adapter_sha256,
    }


def node_rows(run: str, attempts: Iterable[tuple[TrialState, AttemptState]]) -> Iterator[Row]:
    """Make a row of each process of an attempt, and of each node that had none."""
    for trial, attempt in attempts:
        if attempt.record is None:
            continue
        for process in _processes(attempt.record):
            yield {
                "run": run,
                "trial_id": trial.trial.trial_id,
                "attempt_id": attempt.attempt_id,
                **process,
            }


def _processes(record: AttemptRecord) -> Iterator[Row]:
    """Root first, then by node in the order of the record; nodes without a process last."""
    used = {process.node for process in record.processes}
    for process in sorted(record.processes, key=lambda process: process.role not in LAST_ROLES):
        yield {**_process(process), **_of_node(record, process.node)}
    for node in record.nodes:
        if node not in used:
            yield {"node": node, **_of_node(record, node)}


def rows_of_plugs(run: str, attempts: Iterable[tuple[TrialState, AttemptState]]) -> Iterator[Row]:
    """Make a row of each smart plug of an attempt."""
    for trial, attempt in attempts:
        if attempt.record is not None:
            names = {"trial_id": trial.trial.trial_id, "attempt_id": attempt.attempt_id}
            for row in plug_rows(attempt.record):
                yield {"run": run, **names, **row}


def rows_of_power(run: str, trials: Iterable[TrialState]) -> Iterator[Row]:
    """Readings of the attempts that count."""
    for trial in trials:
        chosen = trial.chosen
        if chosen is not None and chosen.record is not None:
            names = {"trial_id": trial.trial.trial_id, "attempt_id": chosen.attempt_id}
            for row in power_rows(chosen.folder, chosen.record):
                yield {"run": run, **names, **row}


_OF_PROCESS = tuple(name for name in NODES if name in ProcessRecord.model_fields)


def _process(process: ProcessRecord) -> Row:
    return {name: getattr(process, name) for name in _OF_PROCESS}


def _of_node(record: AttemptRecord, node: str) -> Row:
    return {
        **_readings(record.nodes.get(node)),
        **node_energy(record, node),
        **_gpu(record, node),
    }


def _gpu(record: AttemptRecord, node: str) -> Row:
    """The GPU on which a node computed; nothing for one that computed on its CPU."""
    if node not in record.devices:
        return {}
    return {"gpu": record.devices[node], "gpu_is_software": node in record.software_devices}


def _readings(record: NodeRecord | None) -> Row:
    before = (record and record.before) or NodeReading()
    after = (record and record.after) or NodeReading()
    swapped = None
    if before.swap_pages is not None and after.swap_pages is not None:
        swapped = after.swap_pages - before.swap_pages
    return {
        "throttled_before": before.throttled,
        "throttled_after": after.throttled,
        "throttled_meanwhile": after.throttled_meanwhile,
        "temperature_before_c": before.temperature_c,
        "temperature_after_c": after.temperature_c,
        "frequency_after_mhz": after.frequency_mhz,
        "swapped_pages": swapped,
        "link_mbit": after.link_mbit if after.link_mbit is not None else before.link_mbit,
    }
