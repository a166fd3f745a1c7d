"""The account of a run on disk: what was planned, what every attempt came to.

Nothing here is ever changed after it has its name. A run's folder appears with its `run.json`
in it or not at all; so does an attempt's folder with its logs and its `attempt.json`. What a
killed runner left under a temporary name is either whole, and then gets its name now, or torn,
and then goes: its trial is measured again. docs/ledger.md describes all of it.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from collect.account import Account, Scrutiny
from collect.attempt import (
    ATTEMPT_FILE,
    LARGEST_LOG_BYTES,
    TEMPORARY_PREFIX,
    AttemptRecord,
    load_attempt,
)
from collect.labels import cell_label
from collect.later import LATER_FOLDER, MOST_LATER, Later, later_names, number_of
from collect.load import load_run
from collect.named import folder_named
from collect.reference import REFERENCE_FILE, References
from collect.run import ATTEMPTS_FOLDER, RUN_FILE, RunManifest
from collect.sharing.marker import is_imported
from core.durable import (
    land,
    remove_folder,
    replace_file,
    sync,
    write_file,
    writing,
)
from core.errors import HerdError
from core.foreign import inside, one_line
from core.record import own_folder, read_file, why
from core.terminal import complain
from experiments.disk.rescue import rescued_attempts

LONGEST_STEM = 100
"""Characters of a run's name before its date, so that names made of it stay names."""

MakeRecord = Callable[[Path], AttemptRecord]
"""Makes the record of an attempt from the folder that holds its logs."""


def create_run(results: Path, manifest: RunManifest, references: References | None = None) -> Path:
    """Make the folder of a run, whole or not at all.

    Args:
        results: folder of all runs.
        manifest: its plan.
        references: what its texts are compared with, if it has any.

    Raises:
        HerdError: it cannot be written.
    """
    final = inside(results, manifest.run)
    temporary = results / f"{TEMPORARY_PREFIX}{manifest.run}"
    with writing(f"the run {manifest.run}", results):
        remove_folder(temporary)
        (temporary / ATTEMPTS_FOLDER).mkdir(parents=True)
        write_file(temporary / RUN_FILE, manifest.model_dump_json(indent=1).encode())
        if references is not None:
            write_file(temporary / REFERENCE_FILE, references.model_dump_json().encode())
        land(temporary, final)
    return final


def new_run_name(results: Path, stem: str) -> str:
    """`<stem>-<YYYYmmdd-HHMMSS>` in local time; a name that no run has yet.

    Of the stem, which is a file's name, stays what can be part of a folder's on any machine.
    """
    stem = re.sub(r"[^\w.-]+", "-", stem).strip(".-")[:LONGEST_STEM] or "run"
    while True:
        name = f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        if not (results / name).exists():
            return name
        time.sleep(0.1)


def runs(results: Path) -> list[Path]:
    """Folders of all runs, oldest first; without those that cannot be read (see `plans`)."""
    return [folder for folder, _ in plans(results)]


def plans(results: Path) -> list[tuple[Path, RunManifest]]:
    """Folder and plan of every run, oldest first.

    A run that cannot be read does not block the others: it is left out, and standard error
    says which and why.

    Raises:
        HerdError: the folder of all runs cannot be read.
    """
    known = []
    for folder in run_folders(results):
        try:
            known.append((folder, _sound(folder)))
        except HerdError as error:
            complain(one_line(f"The run {folder.name} is left out. {error}", 1000))
    return sorted(known, key=lambda run: (run[1].created_at, run[0].name))


def run_folders(results: Path) -> list[Path]:
    """Return the folders that hold any `run.json`, by name.

    Raises:
        HerdError: the folder of all runs cannot be read.
    """
    try:
        folders = sorted(results.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HerdError(f"Looking for runs in {results}: {why(error)}.") from None
    return [
        folder
        for folder in folders
        if not folder.name.startswith(TEMPORARY_PREFIX) and os.path.lexists(folder / RUN_FILE)
    ]


def _sound(folder: Path) -> RunManifest:
    """The plan of a run whose attempts can be looked at. Raises HerdError for another."""
    manifest = load_run(folder)
    own_folder(folder, ATTEMPTS_FOLDER)
    return manifest


def find_run(results: Path, run: str | None = None) -> Path:
    """The folder of the run of that name, or of the latest.

    Args:
        results: where runs are stored.
        run: a run's name, or its folder's path.

    Raises:
        HerdError: there is none, or the one of that name cannot be read.
    """
    if run is not None:
        folder = folder_named(results, run)
        _sound(folder)
        return folder
    found = runs(results)
    if not found:
        none = "none can be read" if run_folders(results) else "there are none yet"
        raise HerdError(f"Looking for runs in {results}: {none}. `fab run-matrix` creates one.")
    return found[-1]


def find_planned(results: Path, plan_id: str) -> Path | None:
    """The latest run of a plan that was measured here; None when it was never begun."""
    same = [
        folder
        for folder, manifest in plans(results)
        if manifest.plan_id == plan_id and not is_imported(folder)
    ]
    return same[-1] if same else None


def run_status(folder: Path) -> dict[str, str | int]:
    """`run`, `planned`, `done`, `failed`, `unavailable`, `pending` of a run.

    By the records of its attempts and the sizes of their logs, which are not read for this.
    """
    return status_of(Account.read(folder, Scrutiny.RECORDS))


def status_of(account: Account) -> dict[str, str | int]:
    """The same of a run that was read."""
    return {"run": account.folder.name, **account.counts()}


def reasons_of(account: Account) -> list[str]:
    """Return why trials of a run are not done: a line a cell, state and reason."""
    told = Counter(
        (trial.cell.cell_id, trial.state, trial.reason)
        for trial in account.trials
        if trial.reason is not None
    )
    params = {cell.cell_id: cell.params for cell in account.manifest.cells}
    return [
        f"  {times} {state}: {cell_label(params[cell_id])}: {reason}"
        for (cell_id, state, reason), times in told.items()
    ]


def write_attempt(
    folder: Path, logs: Mapping[str, bytes], make_record: MakeRecord
) -> AttemptRecord:
    """Make a folder that is an attempt, durably: its logs, and then its record.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir()
    for name, content in logs.items():
        write_file(inside(folder, name), content)
    record = make_record(folder)
    # Last, and only when the logs are durable: it vouches for them.
    sync(folder)
    write_file(folder / ATTEMPT_FILE, record.model_dump_json(indent=1).encode())
    return record


class Ledger:
    """The attempts of one run; only the owner of the results folder may hold one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.attempts = folder / ATTEMPTS_FOLDER
        own_folder(folder, ATTEMPTS_FOLDER)

    def recover(self) -> None:
        """Settle what a killed runner left: whole attempts get their name, torn ones go."""
        with writing("what an interrupted run left", self.attempts):
            for leftover in sorted(self.attempts.glob(f"{TEMPORARY_PREFIX}*")):
                try:
                    record = load_attempt(leftover)
                except HerdError:
                    record = None
                name = leftover.name.removeprefix(TEMPORARY_PREFIX)
                if record is None or record.attempt_id != name or leftover.is_symlink():
                    remove_folder(leftover)
                else:
                    land(leftover, inside(self.attempts, name))
            for leftover in (self.folder / LATER_FOLDER).glob(f"{TEMPORARY_PREFIX}*"):
                leftover.unlink()
            for attempt in rescued_attempts(self.folder.name):
                self._take_in(attempt)
            # A kill between rename and fsync left a name that is not durable yet.
            sync(self.attempts)

    def _take_in(self, rescued: Path) -> None:
        """Record an attempt that was put elsewhere, and remove it there."""
        try:
            record = load_attempt(rescued)
            logs = {name: read_file(rescued, name, LARGEST_LOG_BYTES) for name in record.file_bytes}
        except (HerdError, OSError):
            return  # it is of no use, and whose it is may look at it
        if (record.run, record.attempt_id) != (self.folder.name, rescued.name):
            return
        if not (self.attempts / record.attempt_id).exists():
            self.record(record.attempt_id, logs, lambda _: record)
        remove_folder(rescued.parent)

    def add(self, later: Later) -> None:
        """Add what became known of the run, whole or not at all.

        Raises:
            HerdError: it cannot be written.
        """
        folder = self.folder / LATER_FOLDER
        names = later_names(self.folder)
        number = number_of(names[-1]) + 1 if names else 1
        if number > MOST_LATER:
            raise HerdError(
                f"Adding to the run {self.folder.name}: it has reached the maximum number of "
                "additions. Start another run with --new."
            )
        with writing(f"what became known of the run {self.folder.name}", folder):
            if not folder.exists():
                folder.mkdir()
                sync(self.folder)
            replace_file(folder / f"{number:04}.json", later.model_dump_json(indent=1).encode())

    def account(self) -> Account:
        """The state of every trial, read from disk; a log that was changed since is found."""
        return Account.read(self.folder, Scrutiny.HASHES)

    def record(
        self,
        attempt_id: str,
        logs: Mapping[str, bytes],
        make_record: MakeRecord,
    ) -> AttemptRecord:
        """Put an attempt on disk, whole or not at all.

        Args:
            attempt_id: its name.
            logs: file name to content.
            make_record: makes the record from the folder that holds the logs.

        Raises:
            HerdError: it cannot be written; nothing of it remains then.
        """
        final = inside(self.attempts, attempt_id)
        temporary = self.attempts / f"{TEMPORARY_PREFIX}{attempt_id}"
        try:
            with writing(f"the attempt {attempt_id}", self.attempts):
                remove_folder(temporary)
                record = write_attempt(temporary, logs, make_record)
                land(temporary, final)
        except HerdError:
            remove_folder(temporary)
            raise
        return record
