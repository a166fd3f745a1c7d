"""Run a small matrix on the scripted herd: what the crash tests kill.

    python -m tests.doubles.scripted_run FOLDER [KILL_AT_STEP]

Given a step, the process kills itself right before that call of the operating system which
changes something on disk: open for writing, write, fsync, mkdir, rename, unlink, rmdir. It prints
how many such calls it made when it comes to its end.
"""

# ruff: noqa: ANN401 - it passes on what other functions are called with
from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from collect.workloads import Benchmark
from experiments.planning.matrix import Matrix
from experiments.runner import RunResult, run_on
from experiments.sessions.progress import make_progress
from models.build import artifact_file_names
from models.catalogue import load_catalogue
from tests.doubles.scripted import (
    GENERATED_TOKENS,
    MODEL,
    PROMPT_TOKENS,
    ScriptedLauncher,
    World,
    cluster,
)

STEPS = ("open", "write", "pwrite", "fsync", "mkdir", "rename", "unlink", "rmdir", "truncate")


def matrix(**changed: Any) -> Matrix:
    """Two node counts that work, one that distributed-llama cannot do, kept and fresh."""
    values: dict[str, Any] = {
        "title": "Scripted",
        "workload": Benchmark(prompt_tokens=PROMPT_TOKENS, generate_tokens=GENERATED_TOKENS),
        "axes": {
            "engine": ("distributed-llama",),
            "model": (MODEL,),
            "nodes": (1, 2, 3),
            "weights": ("q4_0",),
        },
        "repeats": 2,
        "seed": 7,
        "warmup": 1,
        "max_attempts": 2,
        "file": "scripted.yml",
        **changed,
    }
    return Matrix(**values)


def world(folder: Path, **changed: Any) -> World:
    """A world that has the model."""
    spec = load_catalogue().get(MODEL)
    files = [Path(path).name for path in artifact_file_names(spec, "dllama", "q4_0").values()]
    return World(folder / "world", spec.slug, tuple(files), **changed)


def run(folder: Path, world: World, nodes: int = 3, **options: Any) -> RunResult:
    """Run the matrix of `options`, or that of `matrix()`, in a folder."""
    asked = options.pop("asked", None) or matrix()
    launcher = options.pop("launcher", None) or ScriptedLauncher(world)
    progress = make_progress(Console(file=sys.stderr, quiet=True))
    return run_on(
        asked,
        cluster(nodes),
        launcher,
        folder / "results",
        progress=progress,
        **options,
    )


def die_at(step: int) -> list[int]:
    """Count the calls that change a disk, and die right before one of them."""
    made = [0]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            reading = call is real_open and not (args[1] & (os.O_WRONLY | os.O_RDWR))
            if not reading:
                made[0] += 1
                if made[0] == step:
                    os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return wrapper

    real_open = os.open
    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    return made


def main() -> int:
    """Run to the end or to the step given."""
    folder = Path(sys.argv[1])
    # The third repeat's first attempt of the two-node cell fails, always.
    the_world = world(folder, fails=lambda unit: unit.endswith("-r2-a1-root"))
    made = die_at(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    result = run(folder, the_world)
    print(made[0], result.exit_code)  # noqa: T201 - read by the test
    return 0


if __name__ == "__main__":
    sys.exit(main())
