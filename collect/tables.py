"""The tidy tables of a run, rebuilt from its folder at any time, and written as Parquet.

docs/tables.md says what every column means, `collect.columns` which there are. The axes of the
matrix are columns of `trials`, after `cell_id`. Absent values are missing (`<NA>`), never 0.

trials: a row a planned trial. tokens: a row a line of figures of the attempt that counts.
servers: a row a server's part of such a line, of an engine with a chain of servers.
nodes: a row a process of an attempt. attempts: a row an attempt, regardless of its outcome.
answers: a row an answer of an attempt, regardless of its outcome.
texts: a row a token of a greedy workload, generated or scored, of the attempt that counts.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from collect.account import Account, AttemptState, TrialState
from collect.attempt import LAST_ROLES, AttemptRecord, NodeReading, NodeRecord, ProcessRecord
from collect.columns import (
    ANSWERS,
    ATTEMPTS,
    ATTEMPTS_WITH_ADAPTERS,
    ATTEMPTS_WITH_WEIGHTS,
    FIRST_AXES,
    NODES,
    NODES_OF_GPUS,
    NODES_ON_GPUS,
    PLUGS,
    POWER,
    SERVERS,
    TEXTS,
    TOKENS,
    TRIALS_AFTER_AXES,
    TRIALS_BEFORE_AXES,
    TRIALS_OF_DOCUMENTS,
    TRIALS_OF_GPUS,
    TRIALS_OF_GROUPS,
    TRIALS_OF_PLUGS,
    Columns,
)
from collect.energy import gpu_energy, node_energy, trial_energy
from collect.measurement import AtOnce, Measurement, Phase, SaidToken
from collect.parsers.of_attempt import answers_of
from collect.run import TABLES_FOLDER, CellRecord, Greedy, RunManifest, Scalar
from collect.wall import plug_rows, power_rows
from core.durable import land, writing
from core.errors import HerdError
from core.record import own_folder

Row = dict[str, Any]
OF_PLUGS = ("plugs", "power")
_KEPT = "Nothing is lost: `fab report` makes them again from the attempts."


@dataclass(frozen=True)
class Tables:
    """The tables of a run; `plugs` and `power` are files only in runs with smart plugs."""

    trials: pd.DataFrame
    tokens: pd.DataFrame
    servers: pd.DataFrame
    nodes: pd.DataFrame
    attempts: pd.DataFrame
    answers: pd.DataFrame
    texts: pd.DataFrame
    plugs: pd.DataFrame = field(default_factory=lambda: _frame((), PLUGS))
    power: pd.DataFrame = field(default_factory=lambda: _frame((), POWER))

    def of_part(self, part: RunManifest) -> Tables:
        """The rows of a part, as the tables of a separate run would have them.

        Args:
            part: what `RunManifest.of_part` gives.
        """
        ids = {trial.trial_id for trial in part.trials}
        found = {table.name: getattr(self, table.name) for table in fields(self)}
        rows = {
            name: frame[frame["trial_id"].isin(ids)].reset_index(drop=True)
            for name, frame in found.items()
        }
        trials = rows["trials"]
        columns = {**TRIALS_BEFORE_AXES, **_axis_columns(part), **TRIALS_AFTER_AXES}
        for further in (
            TRIALS_OF_GPUS,
            TRIALS_OF_PLUGS,
            TRIALS_OF_DOCUMENTS,
            TRIALS_OF_GROUPS,
        ):
            if trials[[name for name in further if name in trials]].notna().any(axis=None):
                columns |= further
        return Tables(**{**rows, "trials": trials[[name for name in trials if name in columns]]})

    def write(self, run_folder: Path) -> tuple[Path, ...]:
        """Write `tables/<name>.parquet`, each whole or not at all; the same run, the same bytes.

        Raises:
            HerdError: the disk is full or the folder cannot be written.
        """
        folder = run_folder / TABLES_FOLDER
        with writing(f"the tables of {run_folder.name}", folder, kept=_KEPT):
            if own_folder(run_folder, TABLES_FOLDER) is None:
                folder.mkdir()
            return tuple(
                _write(getattr(self, table.name), folder / f"{table.name}.parquet")
                for table in fields(self)
                if table.name not in OF_PLUGS or len(getattr(self, table.name))
            )


def by_part(run: RunManifest, tables: Tables) -> dict[str, tuple[RunManifest, Tables]]:
    """Each part of a run with its tables, as separate runs; a run without parts as the part ``."""
    if not run.parts:
        return {"": (run, tables)}
    parts = {name: run.of_part(name) for name in run.parts}
    return {name: (part, tables.of_part(part)) for name, part in parts.items()}


def build_tables(run_folder: Path) -> Tables:
    """Make the tables of a run from the files in its folder.

    Raises:
        HerdError: there is no run, or its plan cannot be read.
    """
    return tables_of(Account.read(run_folder))


def tables_of(account: Account) -> Tables:
    """The tables of a run that was read already."""
    run, trials = account.manifest.run, account.trials
    attempts = [(trial, attempt) for trial in trials for attempt in trial.attempts]
    axes = _axis_columns(account.manifest)
    columns = {**TRIALS_BEFORE_AXES, **axes, **TRIALS_AFTER_AXES}
    of_nodes = {**NODES}
    if any(attempt.record and attempt.record.devices for _, attempt in attempts):
        of_nodes |= NODES_ON_GPUS
    if any(attempt.record and gpu_energy(attempt.record) for _, attempt in attempts):
        columns |= TRIALS_OF_GPUS
        of_nodes |= NODES_OF_GPUS
    if any(attempt.record and attempt.record.plugs for _, attempt in attempts):
        columns |= TRIALS_OF_PLUGS
    if any(attempt.record and attempt.record.scored for _, attempt in attempts):
        columns |= TRIALS_OF_DOCUMENTS
    if any("groups" in cell.params for cell in account.manifest.cells):
        columns |= TRIALS_OF_GROUPS
    of_attempts = {**ATTEMPTS}
    if any(attempt.record and attempt.record.weights_sha256 for _, attempt in attempts):
        of_attempts |= ATTEMPTS_WITH_WEIGHTS
    if any(attempt.record and attempt.record.adapter_sha256 for _, attempt in attempts):
        of_attempts |= ATTEMPTS_WITH_ADAPTERS
    return Tables(
        trials=_frame([_trial_row(account.manifest, axes, trial) for trial in trials], columns),
        tokens=_frame(_step_rows(run, trials, "tokens", TOKENS), TOKENS),
        servers=_frame(_step_rows(run, trials, "servers", SERVERS), SERVERS),
        nodes=_frame(_node_rows(run, attempts), of_nodes),
        attempts=_frame([_attempt_row(run, *pair) for pair in attempts], of_attempts),
        answers=_frame(_answer_rows(run, attempts), ANSWERS),
        texts=_frame(_text_rows(account.manifest, trials), TEXTS),
        plugs=_frame(_plug_rows(run, attempts), PLUGS),
        power=_frame(_power_rows(run, trials), POWER),
    )


def _frame(rows: Iterable[Row], columns: Columns) -> pd.DataFrame:
    """A frame with exactly these columns and dtypes, also when there are no rows."""
    # Column by column: of tokens there are millions, and a row takes ten times what its values do.
    values: dict[str, list[Any]] = {name: [] for name in columns}
    for row in rows:
        for name, column in values.items():
            column.append(row.get(name))
    return pd.DataFrame(
        {name: pd.Series(values.pop(name), dtype=dtype) for name, dtype in columns.items()}
    )


def _axis_columns(manifest: RunManifest) -> dict[str, str]:
    """Axes with their dtypes: first those of every cell, then the others by name."""
    values: dict[str, list[Scalar]] = {name: list(axis) for name, axis in manifest.axes.items()}
    for cell in manifest.cells:
        for name, value in cell.params.items():
            values.setdefault(name, []).append(value)
    first = [name for name in FIRST_AXES if name in values]
    ordered = (*first, *sorted(set(values).difference(first)))
    return {column_of(name): _dtype(values[name]) for name in ordered}


def column_of(axis: str) -> str:
    """The column of an axis; it has another name where a measured figure has the axis's own."""
    return f"asked_{axis}" if axis in TRIALS_AFTER_AXES else axis


def _dtype(values: Sequence[Scalar]) -> str:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "Int64"
    if kinds and kinds <= {int, float}:
        return "Float64"
    return "string"


def _trial_row(run: RunManifest, axes: Columns, state: TrialState) -> Row:
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
        **_at_once(state.cell, chosen.measurement),
    }


def _at_once(cell: CellRecord, measurement: Measurement) -> Row:
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


def _step_rows(
    run: str, trials: Iterable[TrialState], kind: str, columns: Columns
) -> Iterator[Row]:
    """A row a record of a kind of each measurement that counts."""
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


def _answer_rows(run: str, attempts: Iterable[tuple[TrialState, AttemptState]]) -> Iterator[Row]:
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


def _text_rows(manifest: RunManifest, trials: Iterable[TrialState]) -> Iterator[Row]:
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


def _attempt_row(run: str, trial: TrialState, attempt: AttemptState) -> Row:
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


def _node_rows(run: str, attempts: Iterable[tuple[TrialState, AttemptState]]) -> Iterator[Row]:
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


def _plug_rows(run: str, attempts: Iterable[tuple[TrialState, AttemptState]]) -> Iterator[Row]:
    for trial, attempt in attempts:
        if attempt.record is not None:
            names = {"trial_id": trial.trial.trial_id, "attempt_id": attempt.attempt_id}
            for row in plug_rows(attempt.record):
                yield {"run": run, **names, **row}


def _power_rows(run: str, trials: Iterable[TrialState]) -> Iterator[Row]:
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


def _write(frame: pd.DataFrame, path: Path) -> Path:
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.unlink(missing_ok=True)
    with temporary.open("xb") as file:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)
    land(temporary, path)
    return path
