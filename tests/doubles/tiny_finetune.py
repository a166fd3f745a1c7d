"""`fab finetune` as a whole, with a model so small that it ends in seconds."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.finetune.recipe import load_recipe
from experiments.finetune.run import finetune
from experiments.finetune.training.adapter import hashes_of
from experiments.finetune.training.progress import TrainingLines
from experiments.finetune.training.pytorch import quiet_torch
from models.tuned import TunedRecord

MODEL = "synthetic:dim=32,hidden=64,layers=2,heads=2,kv_heads=2,vocab=400,context=64,seed=1"
NAME = "tiny-tales"
DOCUMENTS = 24
_WORDS = (
    "fox",
    "bear",
    "wood",
    "owl",
    "tea",
    "rain",
    "king",
    "ship",
    "gold",
    "snow",
    "bird",
    "moon",
)
_TOUCHED = frozenset({"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"})


def write_recipe(folder: Path, **changes: object) -> Path:
    """Write `tiny.yml` and its data, `tales.txt`, into a folder."""
    values: dict[str, object] = {
        "name": NAME,
        "model": MODEL,
        "data": "tales.txt",
        "held_out": 0.3,
        "steps": 8,
        "batch": 4,
        "sequence": 32,
        "learning_rate": 0.01,
        "evaluate_every": 3,
    }
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{key}: {value}\n" for key, value in (values | changes).items() if value is not None]
    (folder / "tiny.yml").write_text("".join(lines))
    if not (folder / "tales.txt").exists():
        (folder / "tales.txt").write_text("\n\n\n".join(tales()))
    return folder / "tiny.yml"


def tales() -> list[str]:
    """Texts of about 30 characters, no two alike."""
    dice = random.Random(1)  # noqa: S311 - texts, no secret
    return [" ".join(dice.sample(_WORDS, 6)) for _ in range(DOCUMENTS)]


def finetune_tiny(
    folder: Path,
    say: Callable[[str], None] = lambda _line: None,
    *,
    new: bool = False,
    **changes: object,
) -> TunedRecord:
    """Fine-tune by the recipe in a folder, into its `tuned/`; with one thread."""
    quiet_torch().set_num_threads(1)
    shown = TrainingLines(Console(file=sys.stderr))
    recipe = load_recipe(write_recipe(folder, **changes))
    return finetune(recipe, say=say, progress=shown, tuned=folder / "tuned", new=new)


def finetune_elsewhere(folder: Path, cache: Path, at: str = "") -> None:
    """The same in another process, which says below the folder when it has begun.

    Args:
        folder: has or gets the recipe.
        cache: for the files of models.
        at: ended by SIGKILL where a path with this in it is touched first.
    """

    def hook(event: str, words: tuple[object, ...]) -> None:
        if event in _TOUCHED and at in str(words[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    os.environ["LLAMA_HERD_CACHE"] = str(cache)
    (folder / "begun").touch()
    if at:
        sys.addaudithook(hook)
    finetune_tiny(folder)


def bytes_of(folder: Path) -> dict[str, dict[str, str]]:
    """Hashes of what must not depend on kills."""
    own = folder / "tuned" / NAME
    return {part: hashes_of(own / part) for part in ("data", "adapter", "merged")}


def figures_of(record: TunedRecord) -> dict[str, Any]:
    """All of a record but times."""
    told = record.model_dump(exclude={"seconds", "finished_at"})
    for point in told["curve"]:
        del point["tokens_per_s"]
    return told
