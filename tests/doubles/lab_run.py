"""Run a matrix on virtual nodes: what the lab tests kill.

python -m tests.doubles.lab_run INVENTORY RESULTS_FOLDER [AXIS=VALUE,VALUE ...] [repeats=N]
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from collect.workloads import Benchmark
from core.errors import HerdError
from experiments.fleet.inventory import read_cluster
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.planning.matrix import Matrix
from experiments.planning.plan import trim
from experiments.runner import RunResult, run_on
from experiments.sessions.progress import make_progress

PROJECT = Path(__file__).resolve().parents[2]
MODEL = "synthetic:tiny"
CHAT_MODEL = "smollm2-135m+kv4"


def matrix(deadline_s: float = 60.0, repeats: int = 3, **axes: str) -> Matrix:
    """llama.cpp on one node and on two."""
    study = Matrix(
        title="Lab",
        workload=Benchmark(prompt_tokens=4, generate_tokens=4),
        axes={"engine": ("llama.cpp",), "model": (MODEL,), "nodes": (1, 2), "threads": (1,)},
        repeats=repeats,
        max_attempts=2,
        deadline_s=deadline_s,
        file="lab.yml",
    )
    return study.override(axes=axes)


def run(inventory: str, results: Path, asked: Matrix) -> RunResult:
    """Run it on the first nodes of an inventory."""
    launcher = SshLauncher(PROJECT)
    progress = make_progress(Console(stderr=True))
    try:
        cluster = trim(read_cluster(PROJECT, inventory), asked)
        return run_on(asked, cluster, launcher, results, progress=progress)
    finally:
        launcher.close()


def main() -> int:
    """Run what the command line says."""
    axes = dict(word.split("=", 1) for word in sys.argv[3:])
    deadline_s = float(axes.pop("deadline_s", "60"))
    repeats = int(axes.pop("repeats", "3"))
    try:
        result = run(sys.argv[1], Path(sys.argv[2]), matrix(deadline_s, repeats, **axes))
    except HerdError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for note in result.notes:
        sys.stderr.write(f"{note}\n")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
