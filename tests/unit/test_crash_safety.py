"""Kill the runner anywhere: what is left is never wrong, and the next run completes it.

The real runner, ledger, engine and parsers run on a scripted herd (tests/doubles/scripted.py) in
a forked process, which is killed with SIGKILL: once before every single call that changes the
disk, and at random moments. "Measured twice" means: a root process was started for a trial whose
done attempt already lay whole on disk, or a trial has two done attempts.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from collect.account import Account
from collect.attempt import ATTEMPT_FILE, load_attempt
from collect.tables import build_tables
from core.errors import HerdError
from experiments.disk.ledger import runs
from tests.doubles import scripted_run

RANDOM_KILLS = 40
KILLS_PER_RUN = 10
CORES = os.cpu_count() or 1
"""So many runs are killed at a time: each is in a folder of its own."""
TIMES = ("started_at", "trial_wall_s")


def forked(body: Callable[[], object]) -> int:
    """Start a function in a forked process; its process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    """Wait for a forked process: its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def a_run(folder: Path, kill_at: int = 0) -> Callable[[], None]:
    """The scripted run in a folder, as a function for `forked`."""

    def body() -> None:
        world = scripted_run.world(
            folder,
            fails=lambda unit: unit.endswith("-r2-a1-root"),
            on_root=lambda unit: note_repetition(folder, unit),
        )
        made = scripted_run.die_at(kill_at)
        result = scripted_run.run(folder, world)
        assert result.exit_code == 0
        (folder / "steps").write_text(str(made[0]))

    return body


def note_repetition(folder: Path, unit: str) -> None:
    """Leave a mark if a trial is begun whose done attempt is on disk already, named or not."""
    trial = unit.removeprefix("herd-").rpartition("-a")[0]
    for attempt in (folder / "results").glob(f"scripted-*/attempts/*{trial}-a*"):
        with contextlib.suppress(HerdError):
            if trial and load_attempt(attempt).outcome == "done":
                (folder / "repeated").write_text(unit)


def ledger_of(folder: Path) -> dict[str, Any]:
    """All that the one run of a folder holds, without its times and its name."""
    (run,) = runs(folder / "results")
    told: dict[str, Any] = {"counts": Account.read(run).counts()}
    manifest = json.loads((run / "run.json").read_text())
    told["run.json"] = {k: v for k, v in manifest.items() if k not in ("run", "created_at")}
    for path in sorted((run / "attempts").rglob("*")):
        name = str(path.relative_to(run))
        if path.name == ATTEMPT_FILE:
            record = json.loads(path.read_text())
            told[name] = {k: v for k, v in record.items() if k not in (*TIMES, "run")}
        elif path.is_file():
            told[name] = path.read_bytes()
    return told


def tables_of(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables of the one run of a folder, likewise."""
    (run,) = runs(folder / "results")
    tables = build_tables(run)
    frames = {n: getattr(tables, n) for n in ("trials", "tokens", "nodes", "attempts")}
    return {n: f.drop(columns=[*TIMES, "run"], errors="ignore") for n, f in frames.items()}


@dataclass(frozen=True)
class Reference:
    """What a run that nobody killed leaves."""

    steps: int
    ledger: dict[str, Any]
    tables: dict[str, pd.DataFrame]


def assert_undisturbed(folder: Path, reference: Reference) -> None:
    assert ledger_of(folder) == reference.ledger
    assert not (folder / "repeated").exists()
    assert list((folder / "world" / "units").iterdir()) == []
    assert list((folder / "results").rglob(".tmp-*")) == []


def assert_same_tables(folder: Path, reference: Reference) -> None:
    tables = tables_of(folder)
    for name, frame in reference.tables.items():
        pd.testing.assert_frame_equal(tables[name], frame)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("undisturbed")
    scripted_run.matrix()  # the catalogue is read here, not in hundreds of processes
    assert ended(forked(a_run(folder))) == 0
    steps = int((folder / "steps").read_text())
    return Reference(steps, ledger_of(folder), tables_of(folder))


def test_the_undisturbed_run_has_every_kind_of_trial_and_a_failed_attempt(
    undisturbed: Reference,
) -> None:
    assert undisturbed.ledger["counts"] == {
        "planned": 6,
        "done": 4,
        "failed": 0,
        "unavailable": 2,
        "pending": 0,
    }
    assert sorted(undisturbed.tables["trials"]["attempts"]) == [0, 0, 1, 1, 2, 2]
    assert set(undisturbed.tables["attempts"]["outcome"]) == {"done", "failed"}


def test_a_kill_before_any_call_that_changes_the_disk_loses_and_repeats_nothing(
    undisturbed: Reference, tmp_path: Path
) -> None:
    assert undisturbed.steps > 100, "the calls are counted, or this proves nothing"

    for first in range(1, undisturbed.steps + 1, CORES):
        steps = range(first, min(first + CORES, undisturbed.steps + 1))
        folders = {step: tmp_path / str(step) for step in steps}
        killed = [forked(a_run(folder, kill_at=step)) for step, folder in folders.items()]
        assert {ended(pid) for pid in killed} == {-signal.SIGKILL}
        again = [forked(a_run(folder)) for folder in folders.values()]
        assert {ended(pid) for pid in again} == {0}
        for step, folder in folders.items():
            assert_undisturbed(folder, undisturbed)
            if step % 10 == 0:
                assert_same_tables(folder, undisturbed)


def test_kills_at_random_moments_lose_and_repeat_nothing(
    undisturbed: Reference, tmp_path: Path
) -> None:
    chance = random.Random(20)  # noqa: S311 - moments, not secrets
    usual_s = ends_before_a_kill(tmp_path / "timing", kill_s=None)
    assert usual_s is not None
    kills = number = 0

    while kills < RANDOM_KILLS:
        number += 1
        folder = tmp_path / str(number)
        for again in range(KILLS_PER_RUN):
            took_s = ends_before_a_kill(folder, chance.uniform(0.0, usual_s))
            if took_s is not None:
                # The machine may have become faster: later kills come earlier.
                usual_s = usual_s if again else took_s
                break
            kills += 1
        assert ended(forked(a_run(folder))) == 0
        assert_undisturbed(folder, undisturbed)
        assert_same_tables(folder, undisturbed)


def ends_before_a_kill(folder: Path, kill_s: float | None) -> float | None:
    """Run in a folder, and kill it after that time: how long it took, None if it was killed."""
    begun = time.monotonic()
    pid = forked(a_run(folder))
    if kill_s is not None:
        time.sleep(kill_s)
        os.kill(pid, signal.SIGKILL)
    code, took_s = ended(pid), time.monotonic() - begun
    assert code in (0, -signal.SIGKILL)
    return took_s if code == 0 else None
