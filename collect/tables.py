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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from collect.account import Account
from collect.columns import (
    ANSWERS,
    ATTEMPTS,
    ATTEMPTS_WITH_ADAPTERS,
    ATTEMPTS_WITH_WEIGHTS,
    FIRST_AXES,
    FURTHER_OF_TRIALS,
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
    column_of,
)
from collect.energy import gpu_energy
from collect.rows import (
    Row,
    answer_rows,
    attempt_row,
    node_rows,
    rows_of_plugs,
    rows_of_power,
    step_rows,
    text_rows,
    trial_row,
)
from collect.run import TABLES_FOLDER, RunManifest
from core.durable import land, writing
from core.record import Scalar, own_folder

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
        for further in FURTHER_OF_TRIALS:
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
        trials=_frame([trial_row(account.manifest, axes, trial) for trial in trials], columns),
        tokens=_frame(step_rows(run, trials, "tokens", TOKENS), TOKENS),
        servers=_frame(step_rows(run, trials, "servers", SERVERS), SERVERS),
        nodes=_frame(node_rows(run, attempts), of_nodes),
        attempts=_frame([attempt_row(run, *pair) for pair in attempts], of_attempts),
        answers=_frame(answer_rows(run, attempts), ANSWERS),
        texts=_frame(text_rows(account.manifest, trials), TEXTS),
        plugs=_frame(rows_of_plugs(run, attempts), PLUGS),
        power=_frame(rows_of_power(run, trials), POWER),
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


def _dtype(values: Sequence[Scalar]) -> str:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "Int64"
    if kinds and kinds <= {int, float}:
        return "Float64"
    return "string"


def _write(frame: pd.DataFrame, path: Path) -> Path:
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.unlink(missing_ok=True)
    with temporary.open("xb") as file:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)
    land(temporary, path)
    return path
