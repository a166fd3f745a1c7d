"""Ask systems in a folder of their own: what the tests of whole comparisons run and kill.

python -m tests.doubles.asking_run FOLDER SYSTEMS_FILE SYSTEM,SYSTEM QUESTION...
"""

# ruff: noqa: ANN401 - it passes on what other functions are called with
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from collect.questions import Question
from collect.workloads import Questions
from experiments.engines.base import Cell
from experiments.fleet.cluster import Cluster
from experiments.nodes.launcher import Conversation, Launcher
from experiments.planning.matrix import Matrix
from experiments.runner import RunResult, run_on
from experiments.sessions.progress import make_progress


class NoNodes:
    """A launcher that must not be asked for any node."""

    def open(self, node: object) -> Conversation:
        """Fails: there is none."""
        raise AssertionError(f"no node was to be reached, and {node} was")

    def drop(self, node: object) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to end."""


def systems_file(folder: Path, url: str, **more: object) -> Path:
    """A file with the system `api` of that address (up to `/v1`)."""
    lines = [f"    {name}: {value}" for name, value in more.items()]
    text = f"systems:\n  api:\n    engine: openai\n    url: {url}\n    model: m\n"
    path = folder / "systems.yml"
    path.write_text(text + "\n".join(lines) + "\n")
    return path


def matrix(systems: Path, *questions: str, **changed: Any) -> Matrix:
    """Every question once to the system `api`. `max_tokens`: of an answer; 16 by default."""
    max_tokens = changed.pop("max_tokens", 16)
    asked = tuple(Question(id=f"q{n}", text=text) for n, text in enumerate(questions, 1))
    values: dict[str, Any] = {
        "title": "Asked",
        "workload": Questions(file="q.yml", asked=asked, silence_s=5.0, max_tokens=max_tokens),
        "axes": {"system": ("api",)},
        "repeats": 1,
        "warmup": 1,
        "max_attempts": 2,
        "systems_file": str(systems),
        "file": "asked.yml",
        **changed,
    }
    return Matrix(**values)


def run(folder: Path, asked: Matrix, **options: Any) -> RunResult:
    """Run a matrix of systems without nodes in a folder."""
    launcher: Launcher = options.pop("launcher", NoNodes())
    console = options.pop("console", Console(file=sys.stderr))
    progress = make_progress(console)
    cluster = options.pop("cluster", Cluster(()))
    return run_on(asked, cluster, launcher, folder / "results", progress=progress, **options)


def cell(asked: Matrix) -> Cell:
    """The only cell of a matrix."""
    (found,) = asked.cells()
    return found


def main() -> int:
    """Run to the end, or to Ctrl-C."""
    folder, systems, names, *questions = sys.argv[1:]
    asked = matrix(Path(systems), *questions, axes={"system": tuple(names.split(","))})
    return run(Path(folder), asked).exit_code


if __name__ == "__main__":
    sys.exit(main())
