"""Trains: a step reads a batch, and only tokens that the data marks count.

All that the next step depends on is in `Training.state`, so a training continues from there as if
nothing had happened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.finetune.training.batches import Order, padded_batch, total_steps
from experiments.finetune.training.modelling import load_model, prepare_tensors
from experiments.finetune.training.pytorch import Computer, quiet_torch
from experiments.finetune.training.random_states import (
    random_states,
    restore_random_states,
    seed_all,
)
from models.tuned import CurvePoint

if TYPE_CHECKING:
    from experiments.finetune.data.prepare import Example
    from experiments.finetune.recipe import Recipe

WARM_UP = 0.1
LARGEST_GRADIENT = 1.0
"""Gradients of a larger norm are shortened to it."""
EVALUATED = 128
"""Held-out examples at most that an evaluation reads: the first ones."""
_MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's averages of a tensor's gradient and of its square."""


@dataclass
class Since:
    """What happened since the last point of the curve.

    Attributes:
        loss: sum over the tokens with a loss, in nats.
        counted: these tokens.
        read: all tokens that were read, padding aside.
        seconds: of computing.
    """

    loss: float = 0.0
    counted: int = 0
    read: int = 0
    seconds: float = 0.0


@dataclass
class Progressed:
    """How far a training is.

    Attributes:
        step: optimiser steps done, which is the position in the data as well.
        seconds: of computing so far.
        curve: its points so far.
        since: the last of them.
    """

    step: int = 0
    seconds: float = 0.0
    curve: list[CurvePoint] = field(default_factory=list)
    since: Since = field(default_factory=Since)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of a step (from 0): up over a tenth of the steps, then down by a cosine."""
    warm = max(1, round(steps * WARM_UP))
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    share = (step - warm) / max(1, steps - warm)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


class Training:
    """A model in training, between two steps.

    Args:
        recipe: how.
        base_folder: the base as a Hugging Face directory in float32.
        train: examples that are read.
        held_out: examples that are not.
        computer: where it computes.
        quantised: keep the base's matrices in 4 bits (GPU only).
    """

    def __init__(
        self,
        recipe: Recipe,
        base_folder: Path,
        train: Sequence[Example],
        held_out: Sequence[Example],
        computer: Computer,
        *,
        quantised: bool = False,
    ) -> None:
        self._torch = quiet_torch()
        seed_all(self._torch, recipe.seed)
        self._recipe, self._computer = recipe, computer
        self._train, self._held_out = tuple(train), tuple(held_out)[:EVALUATED]
        self._order = Order([len(example.ids) for example in train], recipe.batch, recipe.seed)
        self._model = load_model(base_folder, computer, quantised=quantised)
        self.tensors = prepare_tensors(self._model, recipe)
        self._optimiser = self._torch.optim.AdamW(
            self.tensors.values(), lr=recipe.learning_rate, weight_decay=0.0
        )
        self.steps = total_steps(recipe, len(train))
        self.so_far = Progressed()

    def advance(self) -> float:
        """Take one step, and return the mean loss of its tokens in nats."""
        began_s = time.perf_counter()
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self._recipe, self.so_far.step, self.steps)
        batch = [self._train[position] for position in self._order.batch(self.so_far.step)]
        loss, counted = self._loss(batch)
        if counted:
            (loss / counted).backward()
            self._torch.nn.utils.clip_grad_norm_(self.tensors.values(), LARGEST_GRADIENT)
            self._optimiser.step()
            self._optimiser.zero_grad(set_to_none=True)
        total = float(loss.detach())
        took_s = time.perf_counter() - began_s
        self.so_far.step += 1
        self.so_far.seconds += took_s
        since = self.so_far.since
        since.loss += total
        since.counted += counted
        since.read += sum(len(example.ids) for example in batch)
        since.seconds += took_s
        return total / max(1, counted)

    def evaluate(self) -> CurvePoint:
        """Compute the held-out loss, and add a point to the curve."""
        began_s = time.perf_counter()
        total, counted = 0.0, 0
        with self._torch.no_grad():
            for start in range(0, len(self._held_out), self._recipe.batch):
                loss, number = self._loss(self._held_out[start : start + self._recipe.batch])
                total, counted = total + float(loss), counted + number
        self.so_far.seconds += time.perf_counter() - began_s
        since = self.so_far.since
        point = CurvePoint(
            step=self.so_far.step,
            loss=since.loss / since.counted if since.counted else None,
            held_out_loss=total / counted if counted else None,
            tokens_per_s=since.read / since.seconds if since.seconds else None,
        )
        self.so_far.curve.append(point)
        self.so_far.since = Since()
        return point

    def state(self) -> dict[str, Any]:
        """Every tensor that the next step depends on: trained, moments, random states."""
        found = {f"trained.{name}": tensor.detach() for name, tensor in self.tensors.items()}
        for name, tensor in self.tensors.items():
            kept = self._optimiser.state.get(tensor, {})
            for moment in _MOMENTS:
                zeros = self._torch.zeros_like(tensor)
                found[f"{moment}.{name}"] = kept.get(moment, zeros).detach()
            found[f"steps.{name}"] = kept.get("step", self._torch.zeros(())).detach()
        return found | random_states(self._torch)

    def restore(self, state: dict[str, Any], so_far: Progressed) -> None:
        """Go on from a state that `state` gave at another time."""
        with self._torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(state[f"trained.{name}"])
                self._optimiser.state[tensor] = {
                    moment: state[f"{moment}.{name}"].to(tensor.device, copy=True)
                    for moment in _MOMENTS
                } | {"step": state[f"steps.{name}"].clone()}
        restore_random_states(self._torch, state)
        self.so_far = so_far

    def trained(self) -> dict[str, Any]:
        """The trained tensors in float32, on the CPU."""
        return {
            name: tensor.detach().to("cpu", self._torch.float32).contiguous()
            for name, tensor in self.tensors.items()
        }

    def _loss(self, examples: Sequence[Example]) -> tuple[Any, int]:
        """Sum of the losses in nats, and over how many tokens.

        Logits are made only where a target counts: for a small model with many pieces they cost
        more than all else.
        """
        torch, where = self._torch, self._computer.kind
        ids, counted = padded_batch(examples)
        tokens = torch.tensor(ids, device=where)
        targets = torch.tensor(counted, device=where)[:, 1:]
        with torch.autocast("cuda", torch.bfloat16) if where == "cuda" else nullcontext():
            # Without a mask of its own the attention looks back only, which right padding needs.
            hidden = self._model.model(input_ids=tokens, use_cache=False).last_hidden_state
            logits = self._model.lm_head(hidden[:, :-1][targets])
            loss = torch.nn.functional.cross_entropy(
                logits.float(), tokens[:, 1:][targets], reduction="sum"
            )
        return loss, int(targets.sum())
