"""A run on disk: `results/<run>/run.json`, written once when the run begins.

results/<run>/
    run.json                 the plan: cells, trials in their order, machines, hashes
    later/*.json             what became known of these since (see `collect.later`)
    attempts/<attempt>/      one folder an attempt (see `collect.attempt`)
    tables/*.parquet         rebuilt from the two above at any time (see `collect.tables`)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from collect.cells import (
    MOST_ATTEMPTS,
    MOST_CELLS,
    MOST_NODES,
    MOST_TRIALS,
    Axis,
    CellRecord,
    PlaceNumber,
    TrialRecord,
    check_axis,
)
from collect.plugs import Electricity
from collect.questions import Question
from collect.workloads import PROMPT_AXES, Benchmark, Questions, Workload
from core.foreign import Count, FileName, RelativePath, visible
from core.record import Moment, Record, Scalar, Whole, Words, all_differ
from models.tuned import TunedRecord

PROTOCOL_VERSION = 1
"""Version of the way a trial is carried out; part of every cell's identity."""

RUN_FILE = "run.json"
ATTEMPTS_FOLDER = "attempts"
TABLES_FOLDER = "tables"

EQUIVALENCE_MARGIN = 0.03
"""Relative difference below which two speeds count as the same, where a matrix does not say."""


def _as_share(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("write a share between 0 and 0.5: 0.03 is 3 %")  # noqa: TRY004 - pydantic's
    return value


Margin = Annotated[float, BeforeValidator(_as_share), Field(gt=0.0, le=0.5, allow_inf_nan=False)]
"""Of `no difference`: 0.03 is 3 %."""


def _as_path(text: str) -> str:
    if not PurePath(text).name or visible(text) != text:
        raise ValueError("it must be the path of a file")
    return text


FilePath = Annotated[Words, AfterValidator(_as_path)]
"""Where a file was on the machine that made the run: shown, and never opened."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


PartName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class PartRecord(Record):
    """A part of a run that measures several workloads.

    Attributes:
        title: what a report calls it.
        repeats: trials of each of its cells.
    """

    title: Words
    workload: Workload
    repeats: PlaceNumber


class Price(Record):
    """What an API costs.

    Attributes:
        input: of a million tokens read.
        output: of a million tokens generated.
        currency: ISO 4217.
        date: day on which that was so.
    """

    input: float = Field(ge=0.0)
    output: float = Field(ge=0.0)
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    date: date

    def of(self, read_tokens: float, generated_tokens: float) -> float:
        """The cost of so many tokens, in `currency`."""
        return (self.input * read_tokens + self.output * generated_tokens) / 1e6


class SystemRecord(Record):
    """An API that a run asks (`experiments/systems.yml`).

    Attributes:
        url: up to `/v1`.
        model: as it is called there.
        price: when the run began; None if no price is given.
    """

    url: Words
    model: Words
    price: Price | None = None


def _without_part(cell: CellRecord) -> CellRecord:
    params = {axis: value for axis, value in cell.params.items() if axis != "part"}
    return cell.model_copy(update={"params": params})


class RunManifest(Record):
    """All that a run was when it began; resuming compares the world with it.

    Attributes:
        run: name of the run and of its folder.
        plan_id: hash of what the user asked for (matrix with overrides, nodes by name).
        created_at: Unix time in seconds, controller's clock.
        workload: of every cell; None where each part has its own.
        repeats: trials of a cell; of the part that has the most.
        parts: name to part, of a run with several workloads; empty for others. The axis `part`
            of a cell says which is its own.
        seed: of the order of trials.
        warmup: unmeasured trials of each cell in each session of the runner.
        max_attempts: attempts of a trial before it counts as failed.
        nodes: node name to provenance facts, as the node gave them when it was first seen; empty
            until then.
        engines: engine name to the installation stamp that all nodes share.
        models: path of an artifact below the folder of models to sha256.
        command: the command line that made the run, for reproducing it.
        toolkit: version or commit of this toolkit.
        systems: the APIs among its systems, by name.
        tuned: of each fine-tuned model of its cells, how it was made.
        equivalence_margin: relative difference below which two speeds count as the same.
        electricity: what it costs; None where the inventory does not say.
    """

    schema_version: Literal[1] = 1
    run: FileName
    title: Words
    plan_id: Words
    created_at: Moment
    matrix_file: FilePath
    workload: Workload | None = None
    axes: dict[Axis, tuple[Scalar, ...]]
    repeats: PlaceNumber
    seed: Whole
    warmup: Count
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=MOST_ATTEMPTS)]
    cells: Annotated[tuple[CellRecord, ...], Field(max_length=MOST_CELLS)]
    trials: Annotated[tuple[TrialRecord, ...], Field(max_length=MOST_TRIALS)]
    nodes: Annotated[dict[FileName, dict[Words, Scalar | None]], Field(max_length=MOST_NODES)]
    engines: dict[FileName, dict[Words, Scalar | None]]
    models: dict[RelativePath, Words]
    command: tuple[str, ...]
    toolkit: Words
    systems: dict[FileName, SystemRecord] = Field(default_factory=dict)
    tuned: dict[FileName, TunedRecord] = Field(default_factory=dict)
    parts: dict[PartName, PartRecord] = Field(default_factory=dict)
    equivalence_margin: Margin = EQUIVALENCE_MARGIN
    electricity: Electricity | None = None

    @model_validator(mode="after")
    def _is_one_plan(self) -> Self:
        """What it names is there, once."""
        for axis, values in self.axes.items():
            for value in values:
                check_axis(axis, value)
        all_differ("the cell", (cell.cell_id for cell in self.cells))
        all_differ("the trial", (trial.trial_id for trial in self.trials))
        cells = {cell.cell_id for cell in self.cells}
        for trial in self.trials:
            if trial.cell_id not in cells:
                raise ValueError(
                    f"the trial {trial.trial_id} is of the cell {trial.cell_id}, which does not "
                    "exist"
                )
        for cell in self.cells:
            for node in cell.nodes:
                if node not in self.nodes:
                    raise ValueError(
                        f"the cell {cell.cell_id} is of the node {node}, which does not exist"
                    )
        for name, places in (
            ("order", ((trial.order,) for trial in self.trials)),
            ("repeat", ((trial.cell_id, trial.repeat) for trial in self.trials)),
        ):
            twice = [place for place, times in Counter(places).items() if times > 1]
            if twice:
                raise ValueError(f"two trials have the same {name}: {twice[0][-1]}")
        return self

    @model_validator(mode="after")
    def _has_one_task_a_cell(self) -> Self:
        if (self.workload is None) != bool(self.parts):
            raise ValueError("it must have either a workload or parts")
        for cell in self.cells:
            if cell.params.get("part") not in (self.parts or (None,)):
                raise ValueError(f"the cell {cell.cell_id} is of a part that does not exist")
        return self

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """Every workload, of a run with parts in their order."""
        if self.workload is not None:
            return (self.workload,)
        return tuple(part.workload for part in self.parts.values())

    @property
    def asked(self) -> tuple[Question, ...]:
        """Every question that the run asks; the ids differ."""
        return tuple(
            question
            for workload in self.workloads
            if isinstance(workload, Questions)
            for question in workload.asked
        )

    def workload_of(self, cell: CellRecord) -> Workload:
        """What a cell is asked to do; a benchmark with the cell's own numbers of tokens."""
        workload = self.workload or self.parts[str(cell.params["part"])].workload
        if not isinstance(workload, Benchmark):
            return workload
        own = {axis: cell.params[axis] for axis in PROMPT_AXES if axis in cell.params}
        return workload.model_copy(update=own) if own else workload

    def of_part(self, name: str) -> RunManifest:
        """A part as a separate run, which has one workload and no axis `part`.

        Ids, orders and machines are the same as in the whole run. Raises KeyError when the run
        has no such part.
        """
        part = self.parts[name]
        cells = tuple(_without_part(c) for c in self.cells if c.params["part"] == name)
        ids = {cell.cell_id for cell in cells}
        names = dict.fromkeys(axis for cell in cells for axis in cell.params)
        return self.model_copy(
            update={
                "title": part.title,
                "workload": part.workload,
                "repeats": part.repeats,
                "parts": {},
                "axes": {
                    axis: tuple(dict.fromkeys(c.params[axis] for c in cells if axis in c.params))
                    for axis in names
                },
                "cells": cells,
                "trials": tuple(trial for trial in self.trials if trial.cell_id in ids),
            }
        )

    def share_machine(self, names: Iterable[str]) -> bool:
        """Whether some of these nodes are virtual ones of one machine: they were booted as one."""
        boots = [told for name in names if (told := self.nodes.get(name, {}).get("boot_id"))]
        return len(set(boots)) < len(boots)

    def unseen(self, names: Iterable[str]) -> tuple[str, ...]:
        """Which of these nodes the run has not seen so far."""
        return tuple(name for name in names if not self.nodes[name])

    def cell(self, cell_id: str) -> CellRecord:
        """The cell of that id. Raises KeyError when the run has none."""
        for cell in self.cells:
            if cell.cell_id == cell_id:
                return cell
        raise KeyError(cell_id)
