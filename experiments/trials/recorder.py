"""From what became of a trial to its record: the outcome, and the cause where it is not done."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from collect.attempt import AttemptRecord, Outcome
from collect.cells import TrialRecord
from collect.parsers.of_attempt import failure_of_attempt, parse_attempt
from collect.run import RunManifest
from core.errors import HerdError
from core.foreign import one_line, whole
from experiments.nodes.herd import Herd
from experiments.nodes.launcher import Request
from experiments.nodes.told import first_of, unread
from experiments.trials.adapters import adapter_that_was_read
from experiments.trials.devices import devices_of
from experiments.trials.execution import Execution
from experiments.trials.validity import failure, invalidity, is_told_by_logs

FULL_KIB = 1024
"""A file system with less room than this counts as full."""
LONGEST_CAUSE = 2000
LONGEST_GPU = 200
"""Of a GPU's name."""


class Recorder:
    """Makes the records of a run's attempts.

    There is a record in the end for any log or node, even if reading one raises.

    Args:
        manifest: the run.
        herd: asked for free space where an attempt failed.
    """

    def __init__(self, manifest: RunManifest, herd: Herd) -> None:
        self._manifest = manifest
        self._herd = herd
        self._cells = {cell.cell_id: cell for cell in manifest.cells}
        self._link_mbit = {
            name: _whole(facts.get("link_mbit")) for name, facts in manifest.nodes.items()
        }
        self._page_bytes = {
            name: _whole(facts.get("page_size")) for name, facts in manifest.nodes.items()
        }

    def record_of(
        self, folder: Path, trial: TrialRecord, number: int, execution: Execution, expected: int
    ) -> AttemptRecord:
        """The record of an attempt.

        Args:
            folder: holds its logs.
            trial: what was attempted.
            number: of the attempt, from 1.
            execution: what became of it.
            expected: how many samples the logs should hold.
        """
        try:
            draft = self._draft(trial, number, execution, expected)
        except ValidationError as error:
            execution = Execution(
                started_at=execution.started_at,
                trial_wall_s=execution.trial_wall_s,
                cause=f"what its nodes said cannot be recorded ({first_of(error)})",
                logs=execution.logs,
            )
            draft = self._draft(trial, number, execution, expected)
        cell = self._cells[trial.cell_id]
        devices, elsewhere = devices_of(draft, cell.nodes, execution)
        adapter, other = adapter_that_was_read(draft, cell.identity.get("adapter"), execution)
        outcome, cause, samples = self._verdict(folder, draft, execution, elsewhere or other)
        told = None if cause is None else one_line(cause, LONGEST_CAUSE)
        return draft.model_copy(
            update={
                "outcome": outcome,
                "cause": told,
                "samples": samples,
                "devices": {node: one_line(name, LONGEST_GPU) for node, name in devices.items()},
                "adapter_sha256": adapter,
                "software_devices": tuple(sorted(devices.keys() & execution.software)),
            }
        )

    def _draft(
        self, trial: TrialRecord, number: int, execution: Execution, expected: int
    ) -> AttemptRecord:
        return AttemptRecord(
            run=self._manifest.run,
            attempt_id=f"{trial.trial_id}-a{number}",
            trial_id=trial.trial_id,
            cell_id=trial.cell_id,
            attempt=number,
            params=self._cells[trial.cell_id].params,
            outcome="done",
            samples=0,
            expected_samples=expected,
            started_at=execution.started_at,
            trial_wall_s=execution.trial_wall_s,
            root_wall_s=execution.root_wall_s,
            processes=tuple(execution.processes),
            nodes=execution.readings,
            energy=execution.energy,
            plugs=execution.plugs,
            file_bytes={name: len(content) for name, content in execution.logs.items()},
            file_sha256={
                name: hashlib.sha256(content).hexdigest()
                for name, content in execution.logs.items()
            },
            link=execution.link,
            weights_sha256=execution.weights,
            deployments=tuple(execution.deployments),
        )

    def _verdict(
        self, folder: Path, draft: AttemptRecord, execution: Execution, elsewhere: str | None
    ) -> tuple[Outcome, str | None, int]:
        samples = 0
        cause = failure(execution)
        if cause is not None and is_told_by_logs(execution):
            cause = _cause_in_logs(folder, draft) or cause
        if cause is None:
            try:
                samples = parse_attempt(folder, draft).samples
            except HerdError as error:
                cause = str(error)
            except Exception as error:  # noqa: BLE001 - what others write may raise anything
                cause = unread("its logs", error)
        if cause is None and samples != draft.expected_samples:
            cause = f"its log holds {samples} of {draft.expected_samples} samples"
        cause = cause or elsewhere
        if cause is not None:
            return "failed", self._full_disk(draft) + cause, samples
        reason = invalidity(execution, self._link_mbit, self._page_bytes)
        return ("done", None, samples) if reason is None else ("invalid", reason, samples)

    def _full_disk(self, draft: AttemptRecord) -> str:
        """Which node has no room for logs, as the beginning of a cause; empty if all have."""
        names = set(self._cells[draft.cell_id].nodes) - set(self._herd.lost())
        replies, _ = self._herd.ask_each(
            {name: Request("space") for name in sorted(names)}, "report its free space", 10.0
        )
        for name, reply in replies.items():
            free_kib = whole(reply.text("available_kib"))
            if free_kib is not None and free_kib < FULL_KIB:
                return f"the disk of {name} is full, make room below /var/lib/llama-herd there: "
        return ""


def _cause_in_logs(folder: Path, draft: AttemptRecord) -> str | None:
    """Return why an attempt failed by its logs; None if they do not show it."""
    try:
        return failure_of_attempt(folder, draft.processes, draft.params.get("engine"))
    except Exception as error:  # noqa: BLE001 - what others write may raise anything
        return unread("its logs", error)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
