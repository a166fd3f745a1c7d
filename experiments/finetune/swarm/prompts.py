"""Prompt tuning through the private swarm of the cluster: methods `petals-ptune` and `-deep-ptune`.

The controller plans the steps and keeps checkpoints; a client on the root node trains a job of
some steps through servers on all nodes (`jobs.py`) and prints the prompts in its log. If a
client, a server, a node or this process is killed, training continues from the newest whole
checkpoint. The bytes may differ then: a swarm does not promise the order of its sums.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.durable import write_file
from experiments.finetune.proof.held_out import change_of, document_scores_of
from experiments.finetune.swarm.jobs import (
    batch_argument,
    fitting,
    read_together,
    require_fitting_batches,
    room_beside,
    state_arguments,
)
from experiments.finetune.swarm.log import JobLog, read_job
from experiments.finetune.swarm.nodes import SwarmNodes, swarm_for
from experiments.finetune.training.batches import Order, total_steps
from experiments.finetune.training.checkpoints import Checkpoints, SavedState, save_tensors
from experiments.finetune.training.pytorch import quiet_torch
from experiments.finetune.training.trainer import EVALUATED, learning_rate
from models.formats.huggingface.vocabulary_reader import read_vocabulary
from models.tuned import Change, CurvePoint
from models.tuned_prompts import PROMPT_METHODS, PROMPTS_FILE

if TYPE_CHECKING:
    from experiments.finetune.data.prepare import Example, Prepared
    from experiments.finetune.recipe import Recipe
    from experiments.finetune.training.progress import TrainingProgress
    from models.catalogue import ModelSpec
    from models.shape import ModelShape

ADAPTER_FILE = "adapter.json"
SEEN_BYTES = 400_000
"""Of the held-out examples that each job reads, so that room is left for its steps."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class SwarmTuning:
    """What a training through a swarm came to.

    Attributes:
        steps: optimiser steps.
        curve: step by step.
        seconds: how long the steps took, without what was lost.
        device: what computed, for people.
        held_out: bits per byte of the held-out documents through the swarm.
        tensors: the prompts by name.
    """

    steps: int
    curve: tuple[CurvePoint, ...]
    seconds: float
    device: str
    held_out: Change
    tensors: dict[str, Any]


def tune_through_swarm(
    recipe: Recipe,
    spec: ModelSpec,
    base: Path,
    base_sha256: str,
    prepared: Prepared,
    checkpoints: Checkpoints,
    training: str,
    project: Path,
    *,
    say: Callable[[str], None],
    progress: TrainingProgress,
    inventory: str | None = None,
) -> SwarmTuning:
    """Train prompts, from the newest whole checkpoint on.

    Args:
        recipe: how; of a method `petals-*`.
        spec: the base.
        base: its Hugging Face directory on this machine.
        base_sha256: of its weights, which the servers must read, too.
        prepared: the data.
        checkpoints: keeps the states.
        training: hash of recipe, data and base.
        project: folder of `fabfile.py`.
        say: hears what is done again, and why.
        progress: hears how it goes.
        inventory: another inventory than that of `ansible.cfg`.

    Raises:
        HerdError: no swarm is available, or a job failed three times.
    """
    require_fitting_batches(prepared.train, recipe.batch)
    longest = max(len(one.ids) for one in (*prepared.train, *prepared.held_out))
    room = longest + recipe.prompts
    with swarm_for(spec, base_sha256, room, project, inventory, say) as nodes:
        tuning = _Tuning(recipe, spec, prepared, nodes, progress)
        tuning.restore(checkpoints)
        progress.begin(tuning.step, tuning.steps)
        try:
            for state in tuning.train(training):
                checkpoints.write(tuning.tensors(), state)
        finally:
            progress.end()
        say("comparing the held-out documents before and after, through the swarm")
        before, after = (
            document_scores_of(prepared.held_out, tuning.nats(state), read_vocabulary(base))
            for state in (None, tuning.state)
        )
    return SwarmTuning(
        steps=tuning.step,
        curve=tuple(tuning.curve),
        seconds=tuning.seconds,
        device=str(nodes),
        held_out=change_of(before, after),
        tensors=tuning.trained(),
    )


def write_prompts(tuning: SwarmTuning, recipe: Recipe, folder: Path) -> None:
    """Write what was trained into a folder: `prompts.safetensors` and `adapter.json`.

    Raises:
        OSError: the disk is full or refuses.
    """
    save_tensors(tuning.tensors, folder / PROMPTS_FILE)
    told = {
        "method": PROMPT_METHODS[recipe.method],
        "base": recipe.model,
        "prompts": recipe.prompts,
        "tensors": {name: list(tensor.shape) for name, tensor in tuning.tensors.items()},
    }
    write_file(folder / ADAPTER_FILE, json.dumps(told, indent=2, sort_keys=True).encode() + b"\n")


class _Tuning:
    """Prompts between two jobs."""

    def __init__(
        self,
        recipe: Recipe,
        spec: ModelSpec,
        prepared: Prepared,
        nodes: SwarmNodes,
        progress: TrainingProgress,
    ) -> None:
        self._recipe, self._prepared = recipe, prepared
        self._nodes, self._progress = nodes, progress
        self._order = Order([len(one.ids) for one in prepared.train], recipe.batch, recipe.seed)
        self._seen = self._held_out(prepared.held_out[:EVALUATED])
        self._seen = self._seen[: fitting([argument for argument, _ in self._seen], SEEN_BYTES)]
        self.steps = total_steps(recipe, len(prepared.train))
        self._sizes = tensor_sizes(recipe, spec.shape)
        self.step, self.seconds = 0, 0.0
        self.state: bytes | None = None
        self.curve: list[CurvePoint] = []

    def restore(self, checkpoints: Checkpoints) -> None:
        """Continue from the newest whole checkpoint, if there is one."""
        torch = quiet_torch()
        wanted = {name: torch.zeros(size) for name, size in self._sizes.items()}
        for moment in _MOMENTS:
            wanted |= {f"{moment}.{name}": torch.zeros(s) for name, s in self._sizes.items()}
        found = checkpoints.newest({**wanted, "steps": torch.tensor(0)})
        if found is None:
            return
        tensors, saved = found
        self.state = importlib.import_module("safetensors.torch").save(tensors)
        self.step, self.seconds, self.curve = saved.step, saved.seconds, list(saved.curve)

    def tensors(self) -> dict[str, Any]:
        """The newest state: prompts, their moments, steps done."""
        found: dict[str, Any] = importlib.import_module("safetensors.torch").load(self.state)
        return found

    def trained(self) -> dict[str, Any]:
        """The prompts by name."""
        state = self.tensors()
        return {name: state[name] for name in self._sizes}

    def train(self, training: str) -> Iterator[SavedState]:
        """Do the steps that are left; a state to keep after each job.

        Raises:
            HerdError: a job failed each time.
        """
        while self.step < self.steps:
            if not self.curve:
                log = self._run((), self._seen)
                self._evaluated(CurvePoint(step=0, held_out_loss=mean_loss(log)))
            log = self._train_some()
            self._take(log)
            yield SavedState(
                training=training,
                step=self.step,
                seconds=self.seconds,
                curve=tuple(self.curve),
                loss=0.0,
                counted=0,
                read=0,
                since_s=0.0,
            )

    def nats(self, state: bytes | None) -> list[float]:
        """The losses of each held-out example, without prompts or with those of a state."""
        found: list[float] = []
        left = self._held_out(self._prepared.held_out)
        while left:
            count = fitting([argument for argument, _ in left], room_beside(state))
            found += self._run(state_arguments(state), left[:count]).nats
            left = left[count:]
        return found

    def _train_some(self) -> JobLog:
        """Do the steps up to the next evaluation, as many as fit, and the evaluation."""
        every = self._recipe.evaluate_every
        end = min(self.steps, (self.step // every + 1) * every)
        batches = [
            batch_argument(
                [self._prepared.train[at] for at in self._order.batch(step)],
                learning_rate(self._recipe, step, self.steps),
            )
            for step in range(self.step, end)
        ]
        room = room_beside(self.state) - sum(len(argument) for argument, _ in self._seen)
        batches = batches[: fitting(batches, room)]
        words = (word for one in batches for word in ("--batch", one))
        return self._run(
            (*state_arguments(self.state), *words), self._seen, self.step + len(batches)
        )

    def _run(
        self,
        words: Sequence[str],
        held_out: Sequence[tuple[str, int]],
        after: int | None = None,
    ) -> JobLog:
        """Run a job.

        Args:
            words: state and batches; without any the model is read without prompts.
            held_out: batches that are scored, each with the number of its examples.
            after: steps in all when it is done; None for a job without steps.
        """
        told = (
            "--method",
            PROMPT_METHODS[self._recipe.method],
            "--prompts",
            str(self._recipe.prompts if words else 0),
            "--seed",
            str(self._recipe.seed),
        )
        scored = (word for argument, _ in held_out for word in ("--held-out", argument))
        out = self._nodes.run((*told, *words, *scored))
        return read_job(out, after, sum(count for _, count in held_out))

    def _take(self, log: JobLog) -> None:
        """Take a job's steps for done."""
        self.state = log.state
        for step in log.steps:
            self.step += 1
            seconds = step.total_ms / 1000
            self.seconds += seconds
            self._progress.step(
                self.step, step.nats / max(1, step.counted), step.read / max(seconds, 1e-9)
            )
        seconds = sum(step.total_ms for step in log.steps) / 1000
        counted = sum(step.counted for step in log.steps)
        self._evaluated(
            CurvePoint(
                step=self.step,
                loss=sum(step.nats for step in log.steps) / counted if counted else None,
                held_out_loss=mean_loss(log),
                tokens_per_s=sum(step.read for step in log.steps) / max(seconds, 1e-9),
            )
        )

    def _evaluated(self, point: CurvePoint) -> None:
        self.curve.append(point)
        self._progress.evaluated(point)

    def _held_out(self, examples: Sequence[Example]) -> list[tuple[str, int]]:
        """Batches of what is held out, each with the number of its examples."""
        batches = read_together(examples, self._recipe.batch)
        return [(batch_argument(batch), len(batch)) for batch in batches]


def mean_loss(log: JobLog) -> float | None:
    """Mean loss of what is held out, in nats a token; None where nothing counts."""
    counted = sum(log.counted)
    return sum(log.nats) / counted if counted else None


def tensor_sizes(recipe: Recipe, shape: ModelShape) -> dict[str, tuple[int, int]]:
    """The shapes of the prompts by name, as the client has them."""
    sizes = {"prompts": (recipe.prompts, shape.dim)}
    if recipe.method == "petals-deep-ptune":
        sizes["deep"] = (recipe.prompts, shape.dim * shape.layers)
    return sizes
