"""A run on disk: `results/<run>/run.json`, written once when the run begins.

results/<run>/
    run.json                 the plan: cells, trials in their order, machines, hashes
    later/*.json             what became known of these since (see `collect.later`)
    attempts/<attempt>/      one folder an attempt (see `collect.attempt`)
    tables/*.parquet         rebuilt from the two above at any time (see `collect.tables`)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import date
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from collect.columns import (
    TRIALS_AFTER_AXES,
    TRIALS_BEFORE_AXES,
    TRIALS_OF_DOCUMENTS,
    TRIALS_OF_GPUS,
    TRIALS_OF_GROUPS,
    TRIALS_OF_PLUGS,
)
from collect.documents import LONGEST, SHORTEST, DocumentPart, LeftOut
from collect.plugs import Electricity
from collect.questions import Question
from core.foreign import Count, FileName, RelativePath, visible
from core.record import Moment, Record, Scalar, Whole, Words, all_differ
from models.tuned import TunedRecord

PROTOCOL_VERSION = 1
"""Version of the way a trial is carried out; part of every cell's identity."""

RUN_FILE = "run.json"
ATTEMPTS_FOLDER = "attempts"
TABLES_FOLDER = "tables"

__all__ = ["Record", "Scalar"]

MOST_NODES = 10_000
MOST_CELLS = 100_000
MOST_TRIALS = 500_000
MOST_ATTEMPTS = 1000
"""Of one trial. Far more than anyone measures; a plan beyond these is none of this toolkit's."""

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
Axis = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


FEWEST_TOKENS, MOST_TOKENS = 2, 4096
"""Of a prompt, and of what is generated after it."""
PROMPT_AXES = ("prompt_tokens", "generate_tokens")
"""Axes that are fields of a benchmark: a cell that has them has its own numbers."""


class Benchmark(Record):
    """Fixed token counts: read a prompt, then generate.

    Attributes:
        prompt_tokens: tokens of the prompt, beginning-of-sequence included.
        generate_tokens: tokens generated after it.
    """

    kind: Literal["benchmark"] = "benchmark"
    prompt_tokens: int = Field(default=32, ge=FEWEST_TOKENS, le=MOST_TOKENS)
    generate_tokens: int = Field(default=64, ge=FEWEST_TOKENS, le=MOST_TOKENS)


class Perplexity(Record):
    """How well a model predicts a text.

    Attributes:
        text: path of a UTF-8 text file, relative to the project.
        characters: how much of it, from its beginning.
        context_tokens: length of the windows that llama.cpp cuts it into (it needs two at
            least); distributed-llama reads the text as one.
    """

    kind: Literal["perplexity"] = "perplexity"
    text: str
    characters: int = Field(default=800, ge=16, le=100_000)
    context_tokens: int = Field(default=64, ge=8, le=4096)


class Questions(Record):
    """Chat answers: every question once, one after the other, each in its own conversation.

    Attributes:
        file: path of a YAML file of questions, relative to the project (`collect.questions`).
        asked: its questions as they were when the run was planned; a user does not write them.
        max_tokens: after that many an answer is cut off.
        temperature: of the sampler; 0 takes the likeliest token.
        seed: of the sampler.
        system: the system prompt before every question; None for nothing.
        chat_template: how a conversation is written out: `model` as the model says, or a named
            one for models that do not say.
        silence_s: a server that says nothing for so long will not answer, in seconds.
    """

    kind: Literal["questions"] = "questions"
    file: str
    asked: tuple[Question, ...] = ()
    max_tokens: int = Field(default=128, ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    seed: int = Field(default=1, ge=0, le=2**31 - 1)
    system: str | None = None
    chat_template: Literal["model", "llama2", "llama3"] = "model"
    silence_s: float = Field(default=300.0, ge=1.0, le=86_400.0)


def _as_engines_read_it(text: str) -> str:
    is_plain = text.isascii() and text.isprintable() and all(text.split(" "))
    if len(text) > _LONGEST_LINE or not is_plain:
        raise ValueError(
            "it must be ASCII words with single spaces between them, on one line of at most "
            f"{_LONGEST_LINE} characters: engines split other texts differently"
        )
    return text


_LONGEST_LINE = 4000
Line = Annotated[str, AfterValidator(_as_engines_read_it)]
"""One line of printable ASCII with single spaces: every engine reads it as the same tokens."""


class Greedy(Record):
    """Greedy generation, compared with the reference implementation.

    Repeat k of a cell continues prompt k; the last repeat scores the text, token by token.

    Attributes:
        prompts: beginnings of texts.
        positions: tokens that the model reads, those of the prompt and those it generates
            together; a prompt of n tokens gets positions - n + 1 new ones.
        text: is scored: the probability of each token after those before it.
    """

    kind: Literal["greedy"] = "greedy"
    prompts: tuple[Line, ...] = Field(min_length=1, max_length=999)
    positions: int = Field(default=72, ge=8, le=4096)
    text: Line

    @property
    def repeats(self) -> int:
        """Trials of a cell: one for each prompt, and one for the text."""
        return len(self.prompts) + 1

    def prompt(self, repeat: int) -> str | None:
        """The prompt of a repeat (from 1); None for the repeat that scores the text."""
        return self.prompts[repeat - 1] if repeat <= len(self.prompts) else None


class Documents(Record):
    """How well a model predicts documents: bits per byte of each.

    Repeat k of a cell scores part k, token by token, as `Greedy` scores its text.

    Attributes:
        file: path of a file of documents, relative to the project (`collect.documents`).
        count: how many parts of documents are scored at most, one in each trial of a cell.
        characters: of each part at most; the rest of its text is cut off.
        scored: the parts as they were when the run was planned; a user does not write them.
        left_out: what of the file is not scored; a user does not write it.
    """

    kind: Literal["documents"] = "documents"
    file: str
    count: int = Field(default=40, ge=1, le=999)
    characters: int = Field(default=600, ge=SHORTEST, le=LONGEST)
    scored: tuple[DocumentPart, ...] = ()
    left_out: LeftOut = LeftOut()

    def part(self, repeat: int) -> DocumentPart:
        """The part that a repeat (from 1) scores. Raises IndexError when there is none."""
        return self.scored[repeat - 1]


Workload = Annotated[
    Benchmark | Perplexity | Questions | Greedy | Documents, Field(discriminator="kind")
]


PlaceNumber = Annotated[int, Field(strict=True, ge=1, le=MOST_TRIALS)]
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


GROUPS_FORM = r"[1-9][0-9]{0,3}x[1-9][0-9]{0,3}"
"""A value of the axis `groups`: deployments at once, and the nodes of each."""
_AXES_OF_ALL = ("engine", "model", "nodes", "weights")
_WHOLE_AXES = frozenset({"nodes", "threads", "context", "link_mbit", "link_delay_ms", *PROMPT_AXES})
_TEXT_AXES = frozenset(
    ("engine", "model", "weights", "workers", "system", "device", "group", "on", "groups", "part")
) | {"arm"}
"""What these are is known to more than one engine, and to reports."""


def _check_axis(axis: str, value: Scalar) -> None:
    """See that an axis has values of its kind. Raises ValueError."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if axis in _WHOLE_AXES and not is_count:
        raise ValueError(f"its axis {axis} must be a whole number from 0 on")
    if axis in PROMPT_AXES and not FEWEST_TOKENS <= int(value) <= MOST_TOKENS:
        raise ValueError(f"its axis {axis} must be from {FEWEST_TOKENS} to {MOST_TOKENS}")
    if axis in _TEXT_AXES and not isinstance(value, str):
        raise ValueError(f"its axis {axis} must be a text")
    if axis == "groups" and not re.fullmatch(GROUPS_FORM, str(value)):
        raise ValueError("its axis groups must be deployments and nodes of each, such as 4x1")


class CellRecord(Record):
    """One combination of axis values.

    Attributes:
        cell_id: hash of `params`, `identity` and the workload.
        params: axis name to value.
        identity: what else makes the cell what it is: binary hash, model hash, protocol.
        nodes: the nodes it runs on, root first; none of an API.
        unavailable: why it cannot run here, one sentence; None if it can.
    """

    cell_id: FileName
    params: dict[Axis, Scalar]
    identity: dict[str, Words]
    nodes: Annotated[tuple[FileName, ...], Field(max_length=MOST_NODES)]
    unavailable: Words | None = None

    @property
    def roots(self) -> tuple[str, ...]:
        """The root of each deployment: one, or several at once where the axis `groups` says so."""
        size = str(self.params.get("groups", "")).partition("x")[2]
        return self.nodes[:: int(size)] if size else self.nodes[:1]

    @model_validator(mode="after")
    def _says_what_it_runs(self) -> Self:
        for axis in _AXES_OF_ALL:
            if axis not in self.params:
                raise ValueError(f"its axis {axis} must be there")
        for axis, value in self.params.items():
            _check_axis(axis, value)
        all_differ("the node", self.nodes)
        taken = sorted(_COLUMNS & self.params.keys() - set(PROMPT_AXES))
        if taken:
            raise ValueError(f"{taken[0]} is a column of every run, not an axis")
        return self


_COLUMNS = (
    TRIALS_BEFORE_AXES.keys()
    | TRIALS_AFTER_AXES.keys()
    | TRIALS_OF_GPUS.keys()
    | TRIALS_OF_PLUGS.keys()
    | TRIALS_OF_DOCUMENTS.keys()
    | TRIALS_OF_GROUPS.keys()
)


def _without_part(cell: CellRecord) -> CellRecord:
    params = {axis: value for axis, value in cell.params.items() if axis != "part"}
    return cell.model_copy(update={"params": params})


class TrialRecord(Record):
    """One repeat of a cell.

    Attributes:
        trial_id: `<cell_id>-r<repeat>`.
        repeat: from 1.
        block: from 1; every block holds each cell once, shuffled.
        order: position in the run, from 1.
    """

    trial_id: FileName
    cell_id: FileName
    repeat: PlaceNumber
    block: PlaceNumber
    order: PlaceNumber


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
                _check_axis(axis, value)
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
