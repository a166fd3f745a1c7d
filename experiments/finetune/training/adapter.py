"""Writes what a training ended in: PEFT's format for LoRA, whole tensors for `full`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.digest import sha256_of
from core.durable import land_instead, remove_folder, write_file, writing
from experiments.finetune.training.checkpoints import save_tensors
from experiments.finetune.training.modelling import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    FULL_WEIGHTS,
    adapter_config,
)

if TYPE_CHECKING:
    from experiments.finetune.recipe import Recipe
    from experiments.finetune.training.trainer import Training

_KEPT = "The checkpoints are whole."


def write_adapter(
    training: Training, recipe: Recipe, folder: Path, say: Callable[[str], None]
) -> None:
    """Write `folder`, unless it is there byte by byte.

    Args:
        training: at its end.
        recipe: how it was trained.
        folder: appears whole or not at all.
        say: hears when what is there is something else, and is replaced.

    Raises:
        HerdError: the disk is full or refuses.
    """
    with written_whole(folder, say) as temporary:
        if recipe.method == "full":
            save_tensors(training.trained(), temporary / FULL_WEIGHTS)
        else:
            save_tensors(training.trained(), temporary / ADAPTER_WEIGHTS)
            write_file(temporary / ADAPTER_CONFIG, adapter_config(recipe))


@contextmanager
def written_whole(folder: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """Give a temporary folder to fill, which becomes `folder` unless that has the same bytes.

    Args:
        folder: appears whole or not at all.
        say: hears when what is there is something else, and is replaced.

    Raises:
        HerdError: the disk is full or refuses.
    """
    temporary = folder.with_name(f".tmp-{folder.name}")
    with writing("what was trained", folder, kept=_KEPT):
        try:
            remove_folder(temporary)
            temporary.mkdir(parents=True)
            yield temporary
            if folder.is_dir() and hashes_of(folder) == hashes_of(temporary):
                return
            if folder.exists():
                say(f"{folder} is not what the training ended in: it is written again.")
            land_instead(temporary, folder, of_any=True)
        finally:
            remove_folder(temporary)


def hashes_of(folder: Path) -> dict[str, str]:
    """Name to sha256 of each file in a folder."""
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file()}
