"""Trains prompts through a private swarm, some steps at a time: a JSON object a line.

    petals-tune COMMON --method ptune --prompts 8 --seed 1 [--state BASE64]…
                [--batch JSON]… [--held-out JSON]…

COMMON: as of `petals-client`. A batch is a step: {"rate": 0.01, "examples": [[ids, "0111…"], …]},
where a 1 marks a token that the loss counts as a target. What is held out is {"examples": […]} and
is read with the prompts as they are after the last step, or with none for `--prompts 0`. Records:

    swarm       servers: [[name, first block, block after the last], …]
    step        nats: sum of the losses, counted: tokens with a loss, read: all tokens, total_ms
    state       tensors: prompts with their moments, base64 of safetensors; steps in all
    held_out    nats, counted: of each example, in order

Only the prompts are trained, and only this program has them: servers are those of any run. At an
error: a line on standard error.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from herd_petals.client import tell
from herd_petals.ending import end, end_by_sigint, fail
from herd_petals.prompts import METHODS, PROMPTS, Prompts, PromptsError, joined, loaded, packed
from herd_petals.swarm import Swarm, SwarmError, add_arguments

LARGEST_GRADIENT = 1.0
"""Gradients of a larger norm are shortened to it."""
STEPS = "steps"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's averages of a gradient and of its square."""


def main() -> None:
    """Train, and read what is held out."""
    given = _arguments()
    end_by_sigint()
    try:
        blank = Prompts(given.method, given.prompts, {}) if given.prompts else None
        swarm = Swarm(given.model, given.swarm, given.first, given.threads, blank)
        batches = [json.loads(one) for one in given.batch]
        held_out = [json.loads(one) for one in given.held_out]
        tell("swarm", servers=swarm.await_whole())
        if given.prompts:
            tuner = Tuner(swarm, given.seed)
            state = loaded(joined(given.state)) if given.state else None
            tuner.begin(state, [*batches, *held_out])
            for batch in batches:
                tuner.step(batch["examples"], batch["rate"])
            if batches:
                tell("state", steps=tuner.steps, tensors=packed(tuner.state()))
        for batch in held_out:
            nats, counted = losses(swarm, batch["examples"])
            totals = nats.double().sum(1).tolist()
            tell("held_out", nats=totals, counted=counted.sum(1).tolist())
    except (SwarmError, PromptsError) as error:
        fail(error)
    end(0)


class Tuner:
    """Prompts while they are trained.

    Args:
        swarm: reads the model with prompts.
        seed: of their first values.

    Attributes:
        steps: done so far.
    """

    def __init__(self, swarm: Swarm, seed: int) -> None:
        import torch  # noqa: PLC0415 - only after the number of threads is set

        self._torch = torch
        self._swarm = swarm
        self._seed = seed
        self._trained = swarm.prompts()
        self._optimiser = torch.optim.AdamW(self._trained.values(), weight_decay=0.0)
        self.steps = 0

    def begin(self, state: dict[str, Any] | None, batches: Sequence[dict[str, Any]]) -> None:
        """Take up a state; without one begin with embeddings of tokens of the first example.

        What is added before layers begins at zero, so that it changes nothing at first.

        Raises:
            PromptsError: the state is of another model or method.
        """
        if state is None:
            ids = batches[0]["examples"][0][0]
            chance = self._torch.Generator().manual_seed(self._seed)
            drawn = self._torch.randint(len(ids), (len(self._trained[PROMPTS]),), generator=chance)
            self._swarm.put_prompts(self._swarm.embedded([ids[at] for at in drawn.tolist()]))
            return
        names = {f"{moment}.{name}" for moment in MOMENTS for name in self._trained}
        if state.keys() != {*names, *self._trained, STEPS}:
            raise PromptsError("the state is of another method")
        self._swarm.put_prompts({name: state[name] for name in self._trained})
        self.steps = int(state[STEPS])
        for name, tensor in self._trained.items():
            moments = {moment: state[f"{moment}.{name}"].clone() for moment in MOMENTS}
            at = self._torch.tensor(float(self.steps))
            self._optimiser.state[tensor] = {"step": at, **moments}

    def step(self, examples: Sequence[Any], rate: float) -> None:
        """Train on a batch.

        Raises:
            SwarmError: a server did not answer.
        """
        begun = time.perf_counter()
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        with self._torch.enable_grad():
            nats, counted = losses(self._swarm, examples)
            total, targets = nats.sum(), int(counted.sum())
            self._optimiser.zero_grad()
            self._swarm.learn(total / max(1, targets))
        self._torch.nn.utils.clip_grad_norm_(self._trained.values(), LARGEST_GRADIENT)
        self._optimiser.step()
        self.steps += 1
        total_ms = (time.perf_counter() - begun) * 1000
        read = sum(len(ids) for ids, _ in examples)
        tell("step", nats=float(total), counted=targets, read=read, total_ms=total_ms)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        told = {name: tensor.detach().clone() for name, tensor in self._trained.items()}
        for name, tensor in self._trained.items():
            moments = self._optimiser.state[tensor]
            told |= {f"{moment}.{name}": moments[moment].clone() for moment in MOMENTS}
        return {**told, STEPS: self._torch.tensor(self.steps)}


def losses(swarm: Swarm, examples: Sequence[Any]) -> tuple[Any, Any]:
    """Nats of each target, (examples, tokens - 1), 0 where none counts; and which count.

    Examples are padded on the right: attention looks back only, so that changes nothing.

    Raises:
        SwarmError: a server did not answer.
    """
    import torch  # noqa: PLC0415 - only after the number of threads is set

    longest = max(len(ids) for ids, _ in examples)
    ids = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids, _ in examples])
    marks = [[*map(int, marks), *[0] * (longest - len(marks))] for _, marks in examples]
    counted = torch.tensor(marks)[:, 1:]
    logits = swarm.read(ids)[:, :-1]
    nats = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    return nats.view(counted.shape) * counted, counted


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--method", choices=tuple(METHODS.values()), required=True)
    parser.add_argument("--prompts", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", action="append", default=[])
    parser.add_argument("--batch", action="append", default=[])
    parser.add_argument("--held-out", action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    main()
