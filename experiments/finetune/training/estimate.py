"""Estimates what a training takes: memory, disk, and time from three steps."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import HerdError
from core.progress import spoken_time
from experiments.finetune.training.batches import steps_per_pass, total_steps
from experiments.finetune.training.checkpoints import KEPT
from experiments.finetune.training.pytorch import Computer, choose_computer, quiet_torch, repeatable
from experiments.finetune.training.trainer import Training
from models.checkpoint import CLASSIFIER, EMBEDDING, layer_tensor, tensor_shapes
from models.shape import packed_bytes

if TYPE_CHECKING:
    from experiments.finetune.data.prepare import Example
    from experiments.finetune.recipe import Recipe
    from models.shape import ModelShape

_FLOAT = 4
_OF_A_TRAINED = 16
"""Bytes of a trained value: itself, its gradient, two moments of AdamW."""
_LIBRARIES_BYTES = 450 << 20
"""PyTorch, transformers and PEFT before they compute."""
_LOGITS_COPIES = 3
"""The logits, their logarithms of probability, and the gradient."""
_MEASURED_STEPS = 3
_MIB = 1 << 20
_MEMINFO = Path("/proc/meminfo")
_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_GROUP_USED = Path("/sys/fs/cgroup/memory.current")


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that a training takes at its peak, by what takes them.

    Attributes:
        weights: the base.
        trained: trained values, gradients and moments; of `full`, without the values themselves.
        activations: what a step keeps of the forward pass for the backward pass.
        logits: over all pieces, at targets of a batch.
        libraries: PyTorch and what belongs to it.
    """

    weights: int
    trained: int
    activations: int
    logits: int
    libraries: int = _LIBRARIES_BYTES

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.trained + self.activations + self.logits + self.libraries

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "what is trained with gradients and moments": self.trained,
            "activations": self.activations,
            "logits": self.logits,
            "libraries": self.libraries,
        }
        told = ", ".join(f"{name} {size / _MIB:.0f}" for name, size in parts.items())
        return f"{self.total / _MIB:.0f} MiB ({told})"


def memory_need(
    recipe: Recipe, shape: ModelShape, train: Sequence[Example], *, quantised: bool = False
) -> TrainingMemory:
    """Estimate the memory of a training.

    Args:
        recipe: how it is trained.
        shape: of the base.
        train: what it reads; the longest examples make the largest batch.
        quantised: the base's matrices are in 4 bits.
    """
    trained = trained_values(recipe, shape)
    values = trained * (_OF_A_TRAINED - (_FLOAT if recipe.method == "full" else 0))
    longest = sorted((len(example.ids) for example in train), reverse=True)
    tokens = recipe.batch * (longest[0] if longest else recipe.sequence)
    targets = sum(sorted((sum(e.trained) for e in train), reverse=True)[: recipe.batch])
    # What autograd keeps of a block for a token, in values: inputs and outputs of its matrices,
    # what the norms, the rotation and SiLU multiply.
    kept = 8 * shape.dim + 5 * shape.q_dim + 5 * shape.kv_dim + 5 * shape.hidden_dim
    matrices = shape.layers * shape.layer_matrix_values
    weights = packed_bytes(matrices, "nf4" if quantised else "f32")
    return TrainingMemory(
        weights=weights + (shape.parameters - matrices) * _FLOAT,
        trained=values,
        activations=shape.layers * tokens * kept * _FLOAT,
        logits=targets * shape.vocab * _FLOAT * _LOGITS_COPIES,
    )


def trained_values(recipe: Recipe, shape: ModelShape) -> int:
    """How many values a method trains."""
    shapes = tensor_shapes(shape)
    if recipe.method == "full":
        kept = (EMBEDDING, CLASSIFIER)
        return sum(math.prod(size) for name, size in shapes.items() if name not in kept)
    sides = (sum(shapes[layer_tensor(0, name)]) for name in set(recipe.targets))
    return shape.layers * recipe.rank * sum(sides)


def disk_need(recipe: Recipe, shape: ModelShape) -> int:
    """Bytes on the disk: the checkpoints (one more while it is written), adapter and merged."""
    trained = trained_values(recipe, shape) * _FLOAT
    return (KEPT + 1) * 3 * trained + trained + shape.parameters * _FLOAT


def available_memory(computer: Computer) -> int:
    """Bytes that are free where the training computes."""
    if computer.kind == "cuda":
        free, _total = quiet_torch().cuda.mem_get_info()
        return int(free)
    return min(_of_machine(), _of_group())


def require_room(need: TrainingMemory, computer: Computer, recipe: Recipe) -> None:
    """Refuse a training that does not fit into memory.

    Raises:
        HerdError: it does not, with what to change.
    """
    there = available_memory(computer)
    if need.total <= there:
        return
    by_data = need.activations + need.logits
    fits = there - (need.total - by_data)
    remedy = "Choose a smaller model"
    if recipe.method == "full":
        remedy = "Write `method: lora`, which trains fewer values, or choose a smaller model"
    if fits > by_data // recipe.batch:
        remedy = (
            f"Write a smaller `batch` (at most {max(1, recipe.batch * fits // by_data)} of now "
            f"{recipe.batch}) or a smaller `sequence` (now {recipe.sequence})"
        )
    raise HerdError(
        f"Training {recipe.name} takes about {need}, but {there / _MIB:.0f} MiB are free on "
        f"{computer.name}. {remedy}, then repeat the command."
    )


def require_disk(recipe: Recipe, shape: ModelShape, folder: Path) -> None:
    """Refuse a training whose results do not fit on the disk.

    Args:
        recipe: how it is trained.
        shape: of the base.
        folder: exists, on that disk.

    Raises:
        HerdError: they do not fit.
    """
    need, there = disk_need(recipe, shape), shutil.disk_usage(folder).free
    if need > there:
        raise HerdError(
            f"Training {recipe.name} writes about {need / _MIB:.0f} MiB into {folder}, but "
            f"{there / _MIB:.0f} MiB are free there. Free some space and repeat the command."
        )


def time_need(
    recipe: Recipe, base_folder: Path, train: Sequence[Example], held_out: Sequence[Example]
) -> float:
    """Seconds that a training will take, from three steps; nothing of them is kept."""
    computer = choose_computer()
    with repeatable(computer):
        training = Training(recipe, base_folder, train, held_out, computer)
        training.advance()  # the first one makes room in memory
        began_s = time.perf_counter()
        for _ in range(_MEASURED_STEPS):
            training.advance()
        each_s = (time.perf_counter() - began_s) / _MEASURED_STEPS
        began_s = time.perf_counter()
        training.evaluate()
        evaluation_s = time.perf_counter() - began_s
    evaluations = 2 + training.steps // recipe.evaluate_every
    return training.steps * each_s + evaluations * evaluation_s


def told(
    recipe: Recipe, need: TrainingMemory, train: Sequence[Example], seconds: float
) -> Sequence[str]:
    """What a training takes, in sentences."""
    steps, examples = total_steps(recipe, len(train)), len(train)
    passes = steps / steps_per_pass(recipe, examples)
    takes = (
        f"Time: about {spoken_time(seconds)} for {steps} steps of {recipe.batch} examples, "
        f"{passes:.1f} passes over the data, reckoned from {_MEASURED_STEPS} steps."
    )
    return f"Memory: {need}.", takes


def _of_machine() -> int:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))


def _of_group() -> int:
    """What the control group (a container) has left; as good as endless without a limit."""
    try:
        return int(_GROUP_LIMIT.read_text()) - int(_GROUP_USED.read_text())
    except (OSError, ValueError):
        return 1 << 62
