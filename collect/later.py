"""What became known of a run after it had begun: `results/<run>/later/<number>.json`.

A node may be away when a run begins, or a cell may lack its model then. What such a node says when
it is first seen, and what such a cell is when it can run, is added in a separate file; `run.json`
and what was added before stay as they are. An addition only adds: no fact, no hash and no cell that
was tried ever changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from collect.cells import MOST_CELLS, MOST_NODES, MOST_TRIALS, CellRecord, TrialRecord
from collect.reference import References
from collect.run import RunManifest
from core.errors import HerdError
from core.foreign import FileName, RelativePath, one_line
from core.record import Moment, Record, Scalar, Words, own_folder, read_record, why

LATER_FOLDER = "later"
MOST_LATER = 10_000
_NAME = re.compile(r"[0-9]{4,5}\.json")

Facts = dict[Words, Scalar | None]


class Later(Record):
    """One addition.

    Attributes:
        run: name of the run.
        at: Unix time in seconds, controller's clock.
        nodes: facts to add to each node's.
        engines: engine name to installation stamp, of engines that had none.
        models: path of an artifact to sha256, of those that were not there.
        cells: the id that a cell had so far to what it is now: another id and identity, if nothing
            of it was tried yet, and whether it can run.
        trials: one more block: trials to add to the plan's, of cells whose interval is still wide.
        references: references for texts of models that the run had none for.
    """

    schema_version: Literal[1] = 1
    run: FileName
    at: Moment
    nodes: Annotated[dict[FileName, Facts], Field(max_length=MOST_NODES)] = Field(
        default_factory=dict
    )
    engines: dict[FileName, Facts] = Field(default_factory=dict)
    models: dict[RelativePath, Words] = Field(default_factory=dict)
    cells: Annotated[dict[FileName, CellRecord], Field(max_length=MOST_CELLS)] = Field(
        default_factory=dict
    )
    trials: Annotated[tuple[TrialRecord, ...], Field(max_length=MOST_TRIALS)] = ()
    references: References | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing that was not known."""
        return not (self.nodes or self.engines or self.models or self.cells or self.trials)


def added(manifest: RunManifest, later: Later) -> RunManifest:
    """The run with an addition.

    Raises:
        ValueError: it is of another run, or changes what was known.
    """
    if later.run != manifest.run:
        raise ValueError(f"it is of the run {later.run}")
    known = {cell.cell_id: cell for cell in manifest.cells}
    for cell_id, cell in later.cells.items():
        before = known.get(cell_id)
        if before is None or (cell.params, cell.nodes) != (before.params, before.nodes):
            raise ValueError(f"the cell {cell_id} is none of the run's")
    unknown = later.nodes.keys() - manifest.nodes.keys()
    if unknown:
        raise ValueError(f"the node {min(unknown)} is none of the run's")
    ids = {cell_id: cell.cell_id for cell_id, cell in later.cells.items()}
    return RunManifest.model_validate(
        {
            **dict(manifest),
            "nodes": manifest.nodes
            | {name: _joined(manifest.nodes[name], told) for name, told in later.nodes.items()},
            "engines": _joined(manifest.engines, later.engines),
            "models": _joined(manifest.models, later.models),
            "cells": tuple(later.cells.get(cell.cell_id, cell) for cell in manifest.cells),
            "trials": tuple(
                trial.model_copy(
                    update={
                        "cell_id": ids[trial.cell_id],
                        "trial_id": f"{ids[trial.cell_id]}-r{trial.repeat}",
                    }
                )
                if ids.get(trial.cell_id, trial.cell_id) != trial.cell_id
                else trial
                for trial in manifest.trials
            )
            + later.trials,
        }
    )


def _joined(before: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    """Both together. Raises ValueError where that would change something."""
    for name in before.keys() & more.keys():
        raise ValueError(f"{name} was known before")
    return {**before, **more}


def all_later(folder: Path, doing: str, remedy: str) -> list[Later]:
    """The additions of a run, in their order.

    Args:
        folder: of the run.
        doing: what for, as the beginning of a message.
        remedy: what to do about a damaged file, as a sentence.

    Raises:
        HerdError: one cannot be read, or there is another file among them.
    """
    found = []
    for name in later_names(folder):
        if not _NAME.fullmatch(name) or number_of(name) > MOST_LATER:
            raise HerdError(
                f"{doing}: {folder / LATER_FOLDER / one_line(name, 100)} is not one of its "
                "files. Move it away."
            )
        later = read_record(folder / LATER_FOLDER, name, Later, doing, remedy)
        if later is not None:
            found.append(later)
    return found


def number_of(name: str) -> int:
    """Of an addition, by the name of its file."""
    return int(name.partition(".")[0])


def later_names(folder: Path) -> list[str]:
    """Names of the files of additions, in their order.

    Raises:
        HerdError: there are too many, or their folder is no folder.
    """
    path = own_folder(folder, LATER_FOLDER)
    if path is None:
        return []
    try:
        names = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise HerdError(f"Looking into {path}: {why(error)}.") from None
    if len(names) > MOST_LATER:
        raise HerdError(f"{path} holds more than {MOST_LATER} files, more than any run writes.")
    return sorted(names, key=lambda name: (len(name), name))
