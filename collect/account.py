"""The account of a run: planned = done + failed + unavailable + pending, always.

Nothing is kept between two readings: the state of a trial follows from the run's folder. How
much of it is looked at, `Scrutiny` says.
"""

from __future__ import annotations

import enum
import gc
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from collect.attempt import TEMPORARY_PREFIX, AttemptRecord, check_logs, load_attempt
from collect.cells import CellRecord, TrialRecord
from collect.load import load_run
from collect.run import ATTEMPTS_FOLDER, RunManifest
from core.errors import HerdError
from core.foreign import one_line
from core.record import own_folder, why

if TYPE_CHECKING:
    from collect.measurement import Measurement

State = Literal["done", "failed", "unavailable", "pending"]
STATES: tuple[State, ...] = ("done", "failed", "unavailable", "pending")

_ATTEMPT_NAME = re.compile(r"\A(.{1,255})-a(\d{1,6})\Z")


class Scrutiny(enum.IntEnum):
    """How closely an attempt is looked at; each look does what those before it do."""

    RECORDS = 0
    """Its record is read, and its logs have the sizes that the record states."""
    HASHES = 1
    """Its logs have the hashes that its record states."""
    LOGS = 2
    """Its logs are parsed, and hold what its record says."""


def count_states(states: Sequence[State]) -> dict[str, int]:
    """`planned`, `done`, `failed`, `unavailable`, `pending`; the first is the others' sum."""
    return {"planned": len(states), **{state: states.count(state) for state in STATES}}


@dataclass(frozen=True, slots=True)
class AttemptState:
    """An attempt in the run's folder.

    Attributes:
        attempt_id: name of its folder.
        attempt: from 1.
        folder: where its logs are.
        record: None if it cannot be read.
        measurement: what its logs say; None unless it counts as done and its logs were parsed.
        reason: why it does not count as done, one sentence; None if it does.
    """

    attempt_id: str
    attempt: int
    folder: Path
    record: AttemptRecord | None
    measurement: Measurement | None
    reason: str | None

    @property
    def done(self) -> bool:
        """Whether it holds a whole measurement, as far as was looked."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class TrialState:
    """A trial and what became of it.

    Attributes:
        trial: its place in the plan.
        cell: what it runs.
        state: done, failed (no attempt left), unavailable (cannot run here) or pending. What was
            measured stays so, also when the cell cannot run any more.
        attempts: by number.
        used: how many of them count against `max_attempts`.
        chosen: the attempt that counts, the first that is done; None if none is.
        reason: why it is not done, one sentence; None if it is, or nothing is known against it.
    """

    trial: TrialRecord
    cell: CellRecord
    state: State
    attempts: tuple[AttemptState, ...]
    used: int
    chosen: AttemptState | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """The current state of a run.

    Attributes:
        folder: the run's folder.
        manifest: its plan.
        trials: every trial planned, in the order of the plan.
        warnings: what is odd about the folder, a sentence each.
    """

    folder: Path
    manifest: RunManifest
    trials: tuple[TrialState, ...]
    warnings: tuple[str, ...]

    @staticmethod
    def read(run_folder: Path, look: Scrutiny = Scrutiny.LOGS) -> Account:
        """Read a run from its folder; changes nothing there.

        Args:
            run_folder: `results/<run>`.
            look: how closely its attempts are looked at.

        Raises:
            HerdError: there is no run, or its plan cannot be read.
        """
        return Account.of(run_folder, load_run(run_folder), look)

    @staticmethod
    def of(
        run_folder: Path, manifest: RunManifest, look: Scrutiny, before: Account | None = None
    ) -> Account:
        """Read the attempts of a run whose plan is known.

        Args:
            run_folder: `results/<run>`.
            manifest: its plan.
            look: how closely its attempts are looked at.
            before: as it was read before, as closely: only attempts that are new are read then.

        Raises:
            HerdError: the folder cannot be read.
        """
        warnings: list[str] = []
        with _no_collecting():
            known = _read_before(before)
            attempts = _attempts(run_folder, manifest, look, warnings, known)
        cells = {cell.cell_id: cell for cell in manifest.cells}
        trials = tuple(
            _trial_state(
                trial, cells[trial.cell_id], attempts.get(trial.trial_id, []), manifest, warnings
            )
            for trial in sorted(manifest.trials, key=lambda trial: trial.order)
        )
        return Account(run_folder, manifest, trials, tuple(warnings))

    def known_as(self, manifest: RunManifest) -> Account:
        """The same attempts, now that more is known of the run."""
        cells = {cell.cell_id: cell for cell in manifest.cells}
        trials = sorted(manifest.trials, key=lambda trial: trial.order)
        states = tuple(
            _trial_state(trial, cells[trial.cell_id], list(before.attempts), manifest, [])
            for trial, before in zip(trials, self.trials, strict=True)
        )
        return Account(self.folder, manifest, states, self.warnings)

    def counts(self) -> dict[str, int]:
        """`planned`, `done`, `failed`, `unavailable`, `pending`; the first is the others' sum."""
        return count_states([trial.state for trial in self.trials])

    def trial(self, trial_id: str) -> TrialState:
        """The trial of that id. Raises KeyError when the plan has none."""
        for state in self.trials:
            if state.trial.trial_id == trial_id:
                return state
        raise KeyError(trial_id)


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Keep the garbage collector from looking, again and again, through records that stay.

    They hold no cycles; of ten thousand attempts it took a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_before(account: Account | None) -> dict[str, AttemptState]:
    """Attempts that could be read, by name: a record never changes after it has its name."""
    trials = account.trials if account else ()
    return {one.attempt_id: one for trial in trials for one in trial.attempts if one.record}


def _attempts(
    run_folder: Path,
    manifest: RunManifest,
    look: Scrutiny,
    warnings: list[str],
    known: Mapping[str, AttemptState],
) -> dict[str, list[AttemptState]]:
    """Attempts of the trials of a run, by trial."""
    planned = {trial.trial_id: trial for trial in manifest.trials}
    found: dict[str, list[AttemptState]] = {}
    for path in _folders(run_folder, warnings):
        name = _ATTEMPT_NAME.match(path.name)
        trial = planned.get(name[1]) if name else None
        if name is None or trial is None:
            left_out = f"{one_line(path.name)} is not an attempt of a trial of this run"
            warnings.append(f"{left_out} and is left out.")
            continue
        state = known.get(path.name)
        if state is None:
            state = _attempt_state(path, int(name[2]), manifest.run, trial, look)
        found.setdefault(trial.trial_id, []).append(state)
    for attempts in found.values():
        attempts.sort(key=lambda attempt: attempt.attempt)
    return found


def _folders(run_folder: Path, warnings: list[str]) -> Iterator[Path]:
    """Folders of attempts by name; no link is followed."""
    folder = own_folder(run_folder, ATTEMPTS_FOLDER)
    if folder is None:
        return
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise HerdError(f"Reading the run {run_folder.name}: {folder}: {why(error)}.") from None
    for entry in found:
        if entry.is_symlink():
            warnings.append(f"{one_line(entry.name)} is a link and is left out.")
        elif entry.is_dir() and not entry.name.startswith(TEMPORARY_PREFIX):
            yield folder / entry.name


def _attempt_state(
    folder: Path, number: int, run: str, trial: TrialRecord, look: Scrutiny
) -> AttemptState:
    record, measurement, reason = None, None, None
    try:
        record = load_attempt(folder, closely=look > Scrutiny.RECORDS)
        reason = _refusal(folder, record, run, trial) or _missing_samples(record.samples, record)
        if reason is None and look >= Scrutiny.HASHES:
            check_logs(folder, record)
        if reason is None and look >= Scrutiny.LOGS:
            from collect.parsers.of_attempt import parse_attempt

            measurement = parse_attempt(folder, record)
            reason = _missing_samples(measurement.samples, record)
    except HerdError as error:
        # Reports print it: files are named from the run on, which is the same on every machine.
        reason = str(error).replace(f"{folder.parents[2]}{os.sep}", "")
    return AttemptState(
        attempt_id=folder.name,
        attempt=number,
        folder=folder,
        record=record,
        measurement=measurement if reason is None else None,
        reason=reason,
    )


def _refusal(folder: Path, record: AttemptRecord, run: str, trial: TrialRecord) -> str | None:
    if record.attempt_id != folder.name:
        return f"The folder {folder.name} holds the attempt {record.attempt_id}."
    if (record.run, record.trial_id, record.cell_id) != (run, trial.trial_id, trial.cell_id):
        return (
            f"The folder {folder.name} holds an attempt of {record.trial_id} in the run "
            f"{record.run}."
        )
    if record.outcome != "done":
        return record.cause or f"The attempt is recorded as {record.outcome}, without a cause."
    return None


def _missing_samples(samples: int, record: AttemptRecord) -> str | None:
    if samples == record.expected_samples:
        return None
    return f"The logs hold {samples} measured values and {record.expected_samples} were asked for."


def _trial_state(
    trial: TrialRecord,
    cell: CellRecord,
    attempts: list[AttemptState],
    manifest: RunManifest,
    warnings: list[str],
) -> TrialState:
    done = [attempt for attempt in attempts if attempt.done]
    if len(done) > 1:
        others = ", ".join(attempt.attempt_id for attempt in done[1:])
        warnings.append(
            f"The trial {trial.trial_id} was measured more than once: "
            f"{done[0].attempt_id} counts, {others} does not."
        )
    chosen = done[0] if done else None
    used = sum(attempt.record is None or not attempt.record.in_vain for attempt in attempts)
    if any(attempt.record is not None and attempt.record.is_final for attempt in attempts):
        used = max(used, manifest.max_attempts)
    state = _state(cell, chosen, used, manifest.max_attempts)
    reason = None if chosen else _reason(cell, state, attempts, manifest)
    return TrialState(trial, cell, state, tuple(attempts), used, chosen, reason)


def _reason(
    cell: CellRecord, state: State, attempts: list[AttemptState], manifest: RunManifest
) -> str | None:
    """Return why a trial is not done, as far as its run shows."""
    if state == "unavailable":
        return cell.unavailable
    if attempts:
        return attempts[-1].reason
    unseen = manifest.unseen(cell.nodes)
    if not unseen:
        return None
    have = "has" if len(unseen) == 1 else "have"
    return f"it waits for {', '.join(unseen)}, which {have} not been there since the run began"


def _state(
    cell: CellRecord, chosen: AttemptState | None, attempts: int, max_attempts: int
) -> State:
    if chosen is not None:
        return "done"
    if attempts >= max_attempts:
        return "failed"
    return "pending" if cell.unavailable is None else "unavailable"
