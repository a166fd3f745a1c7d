"""What a folder of `models/tuned/` was begun with, so that nothing else continues in it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from core.durable import land, replace_file, writing
from core.errors import HerdError
from core.record import Record, Words, read_record
from experiments.finetune.recipe import Recipe
from experiments.fleet import commands
from models.tuned import Sha256

STARTED = "started.json"
ASIDE = ".aside"
"""Folder next to the tuned models, for those that `--new` made room for."""
_MOST_THREADS = 4096
_REMEDY = "Start again with `--new`, which moves what is there aside."


class Started(Record):
    """A training as it was begun.

    Attributes:
        recipe: its values.
        data_sha256: of the split.
        base_sha256: of the base's weights.
        threads: of the CPU; sums differ with their number.
        computer: what computes, for people.
        libraries: name to version of what computes.
    """

    recipe: Recipe
    data_sha256: Sha256
    base_sha256: Sha256
    threads: Annotated[int, Field(strict=True, ge=1, le=_MOST_THREADS)]
    computer: Words
    libraries: Mapping[str, Words]

    @property
    def training(self) -> str:
        """Hash of all that the trained bytes follow from: recipe, data and base."""
        told = f"{recipe_sha256(self.recipe)} {self.data_sha256} {self.base_sha256}"
        return hashlib.sha256(told.encode()).hexdigest()


def recipe_sha256(recipe: Recipe) -> str:
    """Hash of a recipe's values: comments and the order of keys change nothing."""
    return hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()


def read_started(folder: Path) -> Started | None:
    """What a folder was begun with; None if it is new.

    Raises:
        HerdError: the record is damaged.
    """
    return read_record(folder, STARTED, Started, "Going on with a training", _REMEDY)


def write_started(folder: Path, started: Started) -> None:
    """Record it, before the first step."""
    with writing("the record of a training", folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / STARTED, started.model_dump_json(indent=2).encode())


def require_unchanged(recipe: Recipe, started: Started) -> None:
    """Refuse to go on by another recipe.

    Raises:
        HerdError: values differ, with each old and new one.
    """
    old, new = started.recipe.model_dump(mode="json"), recipe.model_dump(mode="json")
    changed = [
        f"`{name}` was {_shown(old.get(name))} and is {_shown(new.get(name))}"
        for name in new
        if old.get(name) != new.get(name)
    ]
    if changed:
        _refuse(recipe, f"The recipe changed since {recipe.name} was begun: {'; '.join(changed)}")


def require_same_origin(recipe: Recipe, started: Started, now: Started) -> None:
    """Refuse to go on with other data or another base.

    Raises:
        HerdError: one differs.
    """
    for what, old, new in (
        ("The data", started.data_sha256, now.data_sha256),
        (f"The base {recipe.model}", started.base_sha256, now.base_sha256),
    ):
        if old != new:
            _refuse(
                recipe,
                f"{what} changed since {recipe.name} was begun: its hash was {old[:16]}… and is "
                f"{new[:16]}…",
            )


def note_other_computer(started: Started, now: Started, say: Callable[[str], None]) -> None:
    """Say where the rest will be computed otherwise than what is there."""
    for name, version in now.libraries.items():
        if started.libraries.get(name) != version:
            _note(say, f"{name} {started.libraries.get(name, 'none')}", f"{name} {version}")
    if started.computer != now.computer:
        _note(say, started.computer, now.computer)


def put_aside(folder: Path, say: Callable[[str], None]) -> None:
    """Keep what is in a folder elsewhere, so that a training can start again; nothing is deleted.

    Raises:
        HerdError: the disk refuses.
    """
    if not folder.exists():
        return
    aside = folder.parent / ASIDE
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    with writing("the earlier training", aside):
        aside.mkdir(exist_ok=True)
        target = next(
            path
            for number in range(1, 1 << 20)
            if not (path := aside / f"{folder.name}-{stamp}-{number}").exists()
        )
        land(folder, target)
    say(f"What was in {folder} is kept in {target}.")


def again(recipe: Recipe, *flags: str) -> str:
    """The command that trains by this recipe."""
    return commands.fab("finetune", commands.from_project(recipe.file), *flags)


def _refuse(recipe: Recipe, changed: str) -> None:
    raise HerdError(
        f"{changed}. A training continues only with what it was begun with: change this back, give "
        f"the recipe another `name`, or start again with `{again(recipe, '--new')}`, which moves "
        "the earlier one aside."
    )


def _note(say: Callable[[str], None], old: str, new: str) -> None:
    say(
        f"This training was begun with {old} and continues with {new}: it may end in other bytes "
        "than one that was not interrupted."
    )


def _shown(value: object) -> str:
    return "not there" if value is None else f"`{value}`"
