"""A run on disk: `results/<run>/run.json`, written once when the run begins.

results/<run>/
    run.json                 the plan: cells, trials in their order, machines, hashes
    attempts/<attempt>/      one folder an attempt (see `collect.attempt`)
    tables/*.parquet         rebuilt from the two above at any time (see `collect.tables`)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from collect.errors import HerdError
from collect.questions import Question

PROTOCOL_VERSION = 1
"""Version of the way a trial is carried out; part of every cell's identity."""

RUN_FILE = "run.json"
ATTEMPTS_FOLDER = "attempts"
TABLES_FOLDER = "tables"

Scalar = bool | int | float | str


class Record(BaseModel):
    """A record in a file of ours: closed, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Benchmark(Record):
    """Fixed token counts: read a prompt, then generate.

    Attributes:
        prompt_tokens: tokens of the prompt, beginning-of-sequence included.
        generate_tokens: tokens generated after it.
    """

    kind: Literal["benchmark"] = "benchmark"
    prompt_tokens: int = Field(default=32, ge=2, le=4096)
    generate_tokens: int = Field(default=64, ge=2, le=4096)


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
    """Chat answers: every question once, one after the other, each a conversation of its own.

    Attributes:
        file: path of a YAML file of questions, relative to the project (`collect.questions`).
        asked: its questions as they were when the run was planned; a user does not write them.
        max_tokens: after that many an answer is cut off.
        temperature: of the sampler; 0 takes the likeliest token.
        seed: of the sampler.
        system: what the model is told before every question; None for nothing.
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
    if len(text) > _LONGEST_LINE or not re.fullmatch(r"[!-~]+( [!-~]+)*", text):
        raise ValueError(
            "it must be ASCII words with single spaces between them, on one line of at most "
            f"{_LONGEST_LINE} characters: engines split other texts each in its own way"
        )
    return text


_LONGEST_LINE = 4000
Line = Annotated[str, AfterValidator(_as_engines_read_it)]
"""One line of printable ASCII with single spaces: every engine reads it as the same tokens."""


class Greedy(Record):
    """What a model says when it always takes the likeliest token, against the plain reference.

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


Workload = Annotated[Benchmark | Perplexity | Questions | Greedy, Field(discriminator="kind")]


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
        price: when the run began; None if nobody said what it costs.
    """

    url: str
    model: str
    price: Price | None = None


class CellRecord(Record):
    """One combination of axis values.

    Attributes:
        cell_id: hash of `params`, `identity` and the workload.
        params: axis name to value.
        identity: what else makes the cell what it is: binary hash, model hash, protocol.
        nodes: the nodes it runs on, root first; none of an API.
        unavailable: why it cannot run here, one sentence; None if it can.
    """

    cell_id: str
    params: dict[str, Scalar]
    identity: dict[str, str]
    nodes: tuple[str, ...]
    unavailable: str | None = None


class TrialRecord(Record):
    """One repeat of a cell.

    Attributes:
        trial_id: `<cell_id>-r<repeat>`.
        repeat: from 1.
        block: from 1; every block holds each cell once, shuffled.
        order: position in the run, from 1.
    """

    trial_id: str
    cell_id: str
    repeat: int
    block: int
    order: int


class RunManifest(Record):
    """All that a run was when it began; resuming compares the world with it.

    Attributes:
        run: name of the run and of its folder.
        plan_id: hash of what the user asked for (matrix with overrides, nodes by name).
        created_at: Unix time in seconds, controller's clock.
        seed: of the order of trials.
        warmup: unmeasured trials of each cell in each session of the runner.
        max_attempts: attempts of a trial before it counts as failed.
        nodes: node name to provenance facts (as the node gave them when the run began).
        engines: engine name to the installation stamp that all nodes share.
        models: artifact file name to sha256.
        command: the command line that made the run, for reproducing it.
        toolkit: version or commit of this toolkit.
        systems: the APIs among its systems, by name.
    """

    schema_version: Literal[1] = 1
    run: str
    title: str
    plan_id: str
    created_at: float
    matrix_file: str
    workload: Workload
    axes: dict[str, tuple[Scalar, ...]]
    repeats: int
    seed: int
    warmup: int
    max_attempts: int
    cells: tuple[CellRecord, ...]
    trials: tuple[TrialRecord, ...]
    nodes: dict[str, dict[str, Scalar | None]]
    engines: dict[str, dict[str, Scalar | None]]
    models: dict[str, str]
    command: tuple[str, ...]
    toolkit: str
    systems: dict[str, SystemRecord] = Field(default_factory=dict)

    def share_machine(self, names: Iterable[str]) -> bool:
        """Whether some of these nodes are virtual ones of one machine: they were booted as one."""
        boots = [told for name in names if (told := self.nodes.get(name, {}).get("boot_id"))]
        return len(set(boots)) < len(boots)

    def cell(self, cell_id: str) -> CellRecord:
        """The cell of that id. Raises KeyError when the run has none."""
        for cell in self.cells:
            if cell.cell_id == cell_id:
                return cell
        raise KeyError(cell_id)


def load_run(folder: Path) -> RunManifest:
    """Read `run.json` of a run's folder.

    Raises:
        HerdError: there is none, or it is torn or of another version.
    """
    path = folder / RUN_FILE
    try:
        return RunManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise HerdError(
            f"Reading the run {folder.name}: {path} does not exist. "
            f"The runs that there are lie in {folder.parent}."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise HerdError(
            f"Reading the run {folder.name}: {path} is damaged or from another version "
            f"({where}: {first['msg']}). Restore it, or move the folder away and run again."
        ) from None
