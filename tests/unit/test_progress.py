"""What a run shows: all that the user wants to know, on a terminal and in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from core.progress import spoken_time
from experiments.engines import ENGINES
from experiments.runner import run_on
from experiments.sessions.progress import LineProgress, RunningTrial, make_progress
from experiments.sessions.session import Session
from experiments.trials.trial import TrialRunner
from tests.doubles.scripted import ScriptedLauncher, cluster
from tests.doubles.scripted_run import matrix, world

COUNTS = {"planned": 8, "done": 3, "failed": 1, "unavailable": 2, "pending": 2}


def shown(*, terminal: bool) -> str:
    output = StringIO()
    progress = make_progress(Console(file=output, force_terminal=terminal, width=160))
    progress.begin("study-1", COUNTS, 75.0)
    progress.step(RunningTrial("llama.cpp 4 nodes", trial=7, trials=8, attempt=2))
    progress.live(12.345)
    progress.note("pi3 does not answer")
    progress.settled({**COUNTS, "done": 4, "pending": 1}, 30.0)
    progress.end()
    return output.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_cell_trials_rate_counts_and_time_left_are_shown(terminal: bool) -> None:  # noqa: FBT001
    text = shown(terminal=terminal)

    for part in (
        "study-1",
        "llama.cpp 4 nodes",
        "7/8",
        "12.3 tokens/s",
        "4 done, 1 failed, 2 unavailable",
        "time left: 30 s",
        "pi3 does not answer",
    ):
        assert part in text, part


def test_a_log_has_plain_lines() -> None:
    assert "\x1b" not in shown(terminal=False)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, "unknown"), (0.4, "0 s"), (75.0, "1 min 15 s"), (3720.0, "1 h 02 min")],
)
def test_times_are_spoken(seconds: float | None, told: str) -> None:
    assert spoken_time(seconds) == told


def test_the_live_rate_is_that_of_the_last_lines_of_the_log() -> None:
    tail = "ut off\n🔶 Pred   10 ms Sync   15 ms | Sent 1 kB\n🔶 Pred   15 ms Sync   10 ms | Se"

    assert ENGINES["distributed-llama"].live_rate(tail) == pytest.approx(40.0)
    assert ENGINES["distributed-llama"].live_rate("💿 Loading weights...") is None
    assert ENGINES["llama.cpp"].live_rate(tail) is None


def test_a_rate_of_an_emulated_processor_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = TrialRunner.execute

    def watched(runner: TrialRunner, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        runner._live("🔶 Pred   10 ms Sync   15 ms | Sent 1 kB\n")
        return execute(runner, *args, **kwargs)

    monkeypatch.setattr(TrialRunner, "execute", watched)
    output = StringIO()
    run_on(
        matrix(repeats=1),
        cluster(3),
        ScriptedLauncher(world(tmp_path, emulated=lambda node: node == "pi2")),
        tmp_path / "results",
        progress=LineProgress(Console(file=output, width=200)),
    )

    done = [line for line in output.getvalue().splitlines() if line.startswith("[")]
    rates = {"1 node" in line: "40.0 tokens/s" in line for line in done}
    assert rates == {True: True, False: False}, done


def test_a_run_says_first_which_cells_cannot_run_and_why(tmp_path: Path) -> None:
    output = StringIO()
    run_on(
        matrix(repeats=1),
        cluster(3),
        ScriptedLauncher(world(tmp_path)),
        tmp_path / "results",
        progress=LineProgress(Console(file=output, width=200)),
    )

    title, cell, begun = output.getvalue().splitlines()[:3]
    assert title == "Cells that cannot run:"
    assert "3 nodes" in cell
    assert "KV heads" in cell
    assert begun.startswith("run ")


def test_the_time_left_counts_what_lies_between_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that start for every trial may take longer than what is measured."""
    warm_up = Session._warm_up

    def slow(session: Session, *args: Any) -> None:  # noqa: ANN401
        time.sleep(0.1)
        warm_up(session, *args)

    class Heard(LineProgress):
        def settled(self, counts: Mapping[str, int], left_s: float | None) -> None:
            left.append((counts["pending"], left_s))

    left: list[tuple[int, float | None]] = []
    monkeypatch.setattr(Session, "_warm_up", slow)
    run_on(
        matrix(repeats=3),
        cluster(3),
        ScriptedLauncher(world(tmp_path)),
        tmp_path / "results",
        progress=Heard(Console(file=StringIO())),
    )

    assert len(left) > 3
    assert all(left_s is not None and left_s >= 0.1 * pending for pending, left_s in left), left
