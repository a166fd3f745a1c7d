"""Runs on the scripted herd of which some nodes are away."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from collect.account import Account
from collect.attempt import AttemptRecord, load_attempt
from experiments.disk.ledger import runs
from experiments.planning.matrix import Matrix
from experiments.planning.plan import leave_out
from experiments.runner import RunResult, run_on
from experiments.sessions.progress import LineProgress
from tests.doubles.scripted import ScriptedLauncher, World, cluster
from tests.doubles.scripted_run import matrix

AXES = {**matrix().axes, "nodes": (1, 2, 4)}
"""All of them can run: cells of one, two and four nodes."""


def study(**changed: Any) -> Matrix:  # noqa: ANN401 - what a matrix may hold
    return matrix(**{"axes": AXES, **changed})


def measure(
    folder: Path,
    the_world: World,
    asked: Matrix | None = None,
    *,
    without: tuple[str, ...] = (),
    nodes: int = 4,
    **options: Any,  # noqa: ANN401 - those of `run_on`
) -> tuple[RunResult, str]:
    """Run, and what was said."""
    said = StringIO()
    result = run_on(
        asked or study(),
        leave_out(cluster(nodes), without),
        options.pop("launcher", None) or ScriptedLauncher(the_world),
        folder / "results",
        progress=LineProgress(Console(file=said, width=300)),
        **options,
    )
    return result, said.getvalue()


def done(folder: Path) -> dict[int, int]:
    """Number of nodes to attempts that are done, in the latest run."""
    found: dict[int, int] = {}
    for one in attempts(folder):
        if one.outcome == "done":
            count = int(one.params["nodes"])
            found[count] = found.get(count, 0) + 1
    return found


def attempts(folder: Path) -> list[AttemptRecord]:
    latest = runs(folder / "results")[-1]
    return [load_attempt(path) for path in sorted((latest / "attempts").iterdir())]


def counted(result: RunResult) -> tuple[int, ...]:
    """done, failed, unavailable, pending; they sum up to what was planned, on disk, too."""
    counts = Account.read(result.folder).counts()
    assert counts == result.counts
    states = tuple(counts[name] for name in ("done", "failed", "unavailable", "pending"))
    assert sum(states) == counts["planned"]
    return states
