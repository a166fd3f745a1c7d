"""Fine-tuned models that a matrix names before they are made."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from core.paths import PROJECT_FOLDER
from experiments.fleet import commands
from models.padding import split_name
from models.tuned import TUNED_FOLDER

RECIPES = PROJECT_FOLDER / "experiments" / "finetunes"
LARGEST = 1 << 16
"""Bytes of a recipe that are looked through for its name."""


def not_made_yet(model: str, recipes: Path = RECIPES, tuned: Path = TUNED_FOLDER) -> str | None:
    """Say how to make a model that a recipe of this project describes.

    Args:
        model: as a matrix names it.
        recipes: folder of recipes.
        tuned: folder of all fine-tuned models.

    Returns:
        None if no recipe has that name, or if training began: then its folder says more.
    """
    name, _ = split_name(model)
    if os.path.lexists(tuned / name):
        return None
    wanted = re.compile(rf"""name:\s*(["']?){re.escape(name)}\1\s*(#.*)?""")
    for path in sorted(recipes.glob("*.yml")):
        if any(wanted.fullmatch(line) for line in _lines(path)):
            make = commands.fab("finetune", commands.below(path))
            return f"{name} is not made yet. First run `{make}`."
    return None


def _lines(path: Path) -> list[str]:
    """The lines of a recipe; none of a file that cannot be read, which `fab finetune` reports."""
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip() for line in file.read(LARGEST).splitlines()]
    return []
