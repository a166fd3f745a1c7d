"""Takes a training to its end, with a checkpoint wherever it may have to go on from."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from core.errors import HerdError
from experiments.finetune.started import again
from experiments.finetune.training.checkpoints import Checkpoints, SavedState
from experiments.finetune.training.stopping import asked_to_stop
from experiments.finetune.training.trainer import Progressed, Since

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.finetune.recipe import Recipe
    from experiments.finetune.training.progress import TrainingProgress
    from experiments.finetune.training.trainer import Training

CHECKPOINT_EVERY_S = 300.0
"""Where evaluations are rare, a kill loses no more than this."""


def train_to_end(
    training: Training,
    checkpoints: Checkpoints,
    recipe: Recipe,
    whose: str,
    progress: TrainingProgress,
) -> None:
    """Go on from the newest checkpoint that holds, to the last step.

    Args:
        training: at its beginning.
        checkpoints: of this training.
        recipe: how it is trained.
        whose: hash of the recipe, the data and the base.
        progress: hears how it goes.

    Raises:
        HerdError: it was stopped, the loss is no number any more, or a checkpoint cannot be
            written.
    """
    if found := checkpoints.newest(training.state()):
        training.restore(found[0], _progressed(found[1]))
    progress.begin(training.so_far.step, training.steps)
    try:
        with asked_to_stop(progress.note) as is_stopping:
            _steps(training, checkpoints, recipe, whose, progress, is_stopping)
    finally:
        progress.end()


def _steps(
    training: Training,
    checkpoints: Checkpoints,
    recipe: Recipe,
    whose: str,
    progress: TrainingProgress,
    is_stopping: Callable[[], bool],
) -> None:
    kept_s = time.monotonic()
    if not training.so_far.curve:
        progress.evaluated(training.evaluate())
    while training.so_far.step < training.steps:
        loss = training.advance()
        step, since = training.so_far.step, training.so_far.since
        _require_number(recipe, step, loss)
        progress.step(step, loss, since.read / since.seconds)
        is_point = step % recipe.evaluate_every == 0 or step == training.steps
        if is_point:
            progress.evaluated(training.evaluate())
        if is_point or is_stopping() or time.monotonic() - kept_s > CHECKPOINT_EVERY_S:
            checkpoints.write(training.state(), _saved(training.so_far, whose))
            kept_s = time.monotonic()
        if is_stopping():
            raise HerdError(
                f"Stopped after step {step} of {training.steps}, which a checkpoint keeps. "
                f"`{again(recipe)}` continues from there."
            )


def _require_number(recipe: Recipe, step: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise HerdError(
            f"The loss of step {step} is {loss}: with a learning_rate of {recipe.learning_rate:g} "
            "the training has left all sense. Write a smaller one and start again with "
            f"`{again(recipe, '--new')}`."
        )


def _saved(so_far: Progressed, whose: str) -> SavedState:
    return SavedState(
        training=whose,
        step=so_far.step,
        seconds=so_far.seconds,
        curve=tuple(so_far.curve),
        loss=so_far.since.loss,
        counted=so_far.since.counted,
        read=so_far.since.read,
        since_s=so_far.since.seconds,
    )


def _progressed(saved: SavedState) -> Progressed:
    return Progressed(
        step=saved.step,
        seconds=saved.seconds,
        curve=list(saved.curve),
        since=Since(saved.loss, saved.counted, saved.read, saved.since_s),
    )
