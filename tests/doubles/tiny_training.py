"""A training of a tiny model, in this process or in one that can be killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from experiments.finetune.data.prepare import Example
from experiments.finetune.recipe import Recipe
from experiments.finetune.training.adapter import hashes_of, write_adapter
from experiments.finetune.training.checkpoints import Checkpoints
from experiments.finetune.training.loop import train_to_end
from experiments.finetune.training.progress import TrainingLines, TrainingProgress
from experiments.finetune.training.pytorch import Computer, repeatable
from experiments.finetune.training.trainer import Training
from models.convert import write_folder
from models.shape import ModelShape
from models.synthetic import synthetic_checkpoint

CPU = Computer("cpu", "", 1)
SHAPE = ModelShape(
    dim=32, hidden_dim=64, layers=2, heads=4, kv_heads=2, head_dim=8, vocab=400, context=64
)
WHOSE = "5" * 64


def recipe_of(method: str = "lora", steps: int = 24) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "model": "base",
            "method": method,
            "data": "x",
            "steps": steps,
            "batch": 3,
            "rank": 4,
            "learning_rate": 0.01,
            "evaluate_every": 5,
            "file": "tiny.yml",
        }
    )


def examples_of(first: int, count: int) -> tuple[Example, ...]:
    """Texts that can be learnt: each counts up from somewhere, of several lengths."""
    texts = [
        [1, *(260 + (start * 7 + k) % 90 for k in range(8 + start % 9))]
        for start in range(first, first + count)
    ]
    return tuple(
        Example(str(ids[1]), "", tuple(ids), (False, *[True] * (len(ids) - 1))) for ids in texts
    )


def write_base(folder: Path) -> Path:
    write_folder(synthetic_checkpoint(SHAPE, 1), folder, "f32")
    return folder


def train(
    base: Path, folder: Path, recipe: Recipe, progress: TrainingProgress | None = None
) -> tuple[dict[str, str], list[str]]:
    """Train from wherever `folder` is to the end: hashes of the adapter, and what was said."""
    said: list[str] = []
    with repeatable(CPU):
        training = Training(recipe, base, examples_of(0, 20), examples_of(40, 4), CPU)
        checkpoints = Checkpoints(folder / "checkpoints", WHOSE, said.append)
        shown = progress or TrainingLines(Console(file=sys.stderr))
        train_to_end(training, checkpoints, recipe, WHOSE, shown)
        write_adapter(training, recipe, folder / "adapter", said.append)
    return hashes_of(folder / "adapter"), said


def train_and_die(base: Path, folder: Path, recipe: Recipe, at: int) -> None:
    """The same, ended by SIGKILL where the disk is touched below `folder` for the `at`-th time."""
    touched = 0

    def hook(event: str, words: tuple[object, ...]) -> None:
        nonlocal touched
        if event in {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"} and str(
            words[0]
        ).startswith(str(folder)):
            touched += 1
            if touched == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    train(base, folder, recipe)


def train_on(base: Path, folder: Path, recipe: Recipe) -> None:
    """The same, for another process; says below `folder` when it has begun."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "begun").touch()
    train(base, folder, recipe)
