"""What the ledger costs: status, going on with a run, a trial in a long run."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from collect.account import Account, Scrutiny
from collect.load import load_run
from collect.workloads import Benchmark
from tests.benchmarks.bars import PROJECT, Measured, Row, against, run
from tests.benchmarks.starting import fab_in
from tests.doubles.run_folder import make_run
from tests.doubles.scripted import World
from tests.doubles.scripted_run import matrix
from tests.doubles.scripted_run import run as run_scripted
from tests.doubles.scripted_run import world as world_of

PLAIN_STATUS = """
import collections, json, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
plan = json.loads((folder / "run.json").read_bytes())
state = {}
for path in sorted((folder / "attempts").glob("*/attempt.json")):
    record = json.loads(path.read_bytes())
    for name, size in record["file_bytes"].items():
        assert os.stat(path.parent / name).st_size == size
    if state.get(record["trial_id"]) != "done":
        state[record["trial_id"]] = record["outcome"]
counts = collections.Counter(state.values())
print(len(plan["trials"]), dict(counts))
"""
MEASURED_TRIALS = 40


class _EnoughError(KeyboardInterrupt):
    """The runner is stopped as by Ctrl-C."""


def scripted_ledger(folder: Path, trials: int, done: int) -> tuple[World, dict[str, Any]]:
    """A run of so many trials on the scripted herd, of which so many are done.

    A few are really run; their attempts, under other names, are the others'.
    """
    asked = matrix(repeats=trials // 2, axes={**matrix().axes, "nodes": (1, 2)})
    seen = [0]

    def stop(_unit: str) -> None:
        seen[0] += 1
        if seen[0] > 12:  # warm-ups and both cells
            raise _EnoughError

    world = world_of(folder, on_root=stop)
    run_scripted(folder, world, nodes=2, asked=asked)
    run_folder = next(path for path in (folder / "results").iterdir() if path.is_dir())
    _fill(run_folder, done)
    return world, {"nodes": 2, "asked": asked}


def _fill(folder: Path, done: int) -> None:
    records = [
        json.loads(path.read_bytes()) for path in (folder / "attempts").glob("*/attempt.json")
    ]
    by_cell = {one["cell_id"]: one for one in records if one["outcome"] == "done"}
    there = {one["trial_id"] for one in records}
    for trial in load_run(folder).trials[:done]:
        if trial.trial_id in there:
            continue
        model = by_cell[trial.cell_id]
        name = f"{trial.trial_id}-a1"
        target, source = folder / "attempts" / name, folder / "attempts" / model["attempt_id"]
        target.mkdir()
        for file in model["file_bytes"]:
            os.link(source / file, target / file)
        record = {**model, "attempt_id": name, "trial_id": trial.trial_id}
        (target / "attempt.json").write_text(json.dumps(record, indent=1))


def status_of_many(folder: Path) -> Measured:
    """`fab status` of 10,000 attempts."""
    scripted_ledger(folder, 10_000, 10_000)
    fab = fab_in(folder)
    run_folder = next(path for path in (folder / "results").iterdir() if path.is_dir())
    return against(
        lambda: run([*fab, "status"], folder, PYTHONPATH=str(PROJECT)).cpu_s,
        lambda: run([sys.executable, "-c", PLAIN_STATUS, run_folder]).cpu_s,
        "s CPU",
        rounds=2,
        warm_up=False,
    )


def status_of_long_logs(folder: Path) -> Measured:
    """`fab status` of 120 attempts of 2,048 tokens against the same of 16."""
    for name, tokens in (("long", 2048), ("short", 16)):
        workload = Benchmark(prompt_tokens=32, generate_tokens=tokens)
        where = folder / name
        make_run(where / "results", repeats=20, nodes=(1, 2, 4), workload=workload)
    long, short = fab_in(folder / "long"), fab_in(folder / "short")
    return against(
        lambda: run([*long, "status"], folder / "long", PYTHONPATH=str(PROJECT)).cpu_s,
        lambda: run([*short, "status"], folder / "short", PYTHONPATH=str(PROJECT)).cpu_s,
        "s CPU",
        rounds=3,
    )


def resume(folder: Path) -> Measured:
    """Going on with 5,000 attempts: CPU until the first trial is started."""
    world, options = scripted_ledger(folder, 5_010, 5_000)
    run_folder = next(path for path in (folder / "results").iterdir() if path.is_dir())

    def until_first() -> float:
        at: list[float] = []

        def note(_unit: str) -> None:
            at.append(time.process_time())
            raise _EnoughError

        world.on_root = note
        begun = time.process_time()
        run_scripted(folder, world, **options)
        return at[0] - begun

    def one_pass() -> float:
        begun = time.process_time()
        Account.read(run_folder, Scrutiny.HASHES)
        return time.process_time() - begun

    return against(until_first, one_pass, "s CPU", rounds=2, warm_up=False)


def trial_in_long_run(folder: Path) -> Measured:
    """A scripted trial when 5,000 are done, against one when 100 are."""

    def prepared(done: int) -> tuple[Path, World, dict[str, Any]]:
        where = folder / str(done)
        world, options = scripted_ledger(where, 5_500, done)
        return where, world, options

    def trial_ms(where: Path, world: World, options: dict[str, Any]) -> float:
        at: list[float] = []

        def note(_unit: str) -> None:
            at.append(time.process_time())
            if len(at) > MEASURED_TRIALS:
                raise _EnoughError

        world.on_root = note
        run_scripted(where, world, **options)
        gaps = [1000 * (after - before) for before, after in itertools.pairwise(at)]
        return statistics.median(gaps[8:])  # after the warm-ups

    many, few = prepared(5_000), prepared(100)
    return against(lambda: trial_ms(*many), lambda: trial_ms(*few), "ms CPU", rounds=2)


ROWS = (
    Row("status-10000", "`fab status`, 10,000 attempts", "a minimal script", 1.5, status_of_many),
    Row("status-tokens", "`fab status`, 2,048 tokens a log", "16 tokens", 1.1, status_of_long_logs),
    Row("resume", "resume of 5,000 attempts to its first trial", "one pass", 1.3, resume),
    Row("trial-5000", "a scripted trial after 5,000", "after 100", 1.1, trial_in_long_run),
)
