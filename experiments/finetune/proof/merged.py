"""Whether the merged model computes what base + adapter does, and something else than the base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import HerdError
from experiments.finetune.training.modelling import load_model, load_tuned
from experiments.finetune.training.pytorch import Computer, quiet_torch
from experiments.finetune.training.scoring import logits_of

if TYPE_CHECKING:
    from experiments.finetune.data.prepare import Example
    from models.tokenizer import Tokenizer

LARGEST_ROUNDING = 1e-4
"""Of logits. Merged tensors are rounded to float32, base + adapter is not; two models that differ
by no more are the same one as far as float32 weights can say. Sums are made in float64: in float32
their rounding alone reached 2e-4 with smollm2-135m, whose logits go up to 44."""
_COMPARED_TOKENS = 1024
_TENSOR_ROUNDING = 1e-5
"""Of a merged tensor, relative to its largest value: about 80 steps of float32."""


@dataclass(frozen=True)
class MergeFigures:
    """How far the models are from each other, in logits.

    Attributes:
        merge_change: largest |difference| between base + adapter and merged.
        base_change: between merged and base.
        tokens: after how many tokens they were compared.
        faults: what is wrong, a sentence each.
    """

    merge_change: float
    base_change: float
    tokens: int
    faults: tuple[str, ...]


def compare_merged(
    base_folder: Path,
    merged_folder: Path,
    adapter_folder: Path,
    examples: Sequence[Example],
    tokenizer: Tokenizer,
) -> MergeFigures:
    """Load all three from the disk, one after the other, and let them read held-out examples.

    Args:
        base_folder: Hugging Face directory of the base.
        merged_folder: that of the merged model.
        adapter_folder: what was trained: LoRA's matrices, or the trained tensors of `full`.
        examples: the held-out part; its first 1024 tokens are read.
        tokenizer: names tokens.

    Raises:
        HerdError: logits are not numbers.
    """
    computer = Computer("cpu", "", quiet_torch().get_num_threads())
    read = _first_tokens(examples)
    of_base = _logits(load_model(base_folder, computer), read)
    of_tuned = _logits(load_tuned(base_folder, adapter_folder, computer), read)
    of_merged = _logits(load_model(merged_folder, computer), read)
    merge_change = _largest_change(of_tuned, of_merged)
    base_change = _largest_change(of_merged, of_base)
    adapter_change = _largest_change(of_tuned, of_base)
    faults = []
    if merge_change > LARGEST_ROUNDING:
        first_other = _first_other_token(read, of_tuned, of_merged, tokenizer)
        tensor = _first_other_tensor(
            load_tuned(base_folder, adapter_folder, computer), load_model(merged_folder, computer)
        )
        where = f" The first tensor that differs is {tensor}." if tensor else ""
        faults.append(
            f"Merged is not base + adapter: logits differ by up to {merge_change:.2g}, and float32 "
            f"allows {LARGEST_ROUNDING:g}; first {first_other}.{where}"
        )
    if adapter_change <= LARGEST_ROUNDING:
        faults.append(
            "The adapter changes nothing: base + adapter computes the logits of the base "
            f"(largest difference {adapter_change:.2g})."
        )
    elif base_change <= LARGEST_ROUNDING:
        faults.append(
            "The merge changed nothing: merged computes the logits of the base (largest difference "
            f"{base_change:.2g}), base + adapter others (by up to {adapter_change:.2g})."
        )
    return MergeFigures(
        merge_change=merge_change,
        base_change=base_change,
        tokens=sum(len(example.ids) for example in read),
        faults=tuple(faults),
    )


def _first_tokens(examples: Sequence[Example]) -> list[Example]:
    """Whole examples from the first on, until there are enough tokens."""
    chosen, count = [], 0
    for example in examples:
        if count >= _COMPARED_TOKENS:
            break
        chosen.append(example)
        count += len(example.ids)
    return chosen


def _logits(model: Any, examples: Sequence[Example]) -> dict[tuple[int, ...], Any]:  # noqa: ANN401
    """Logits after each token of each text, summed in float64 and kept in float32."""
    scored = logits_of([model.eval().double()], examples)
    return {example.ids: logits for example, (logits,) in scored}


def _largest_change(one: dict[tuple[int, ...], Any], other: dict[tuple[int, ...], Any]) -> float:
    changes = [float((one[ids] - other[ids]).abs().max()) for ids in one]
    if not all(math.isfinite(change) for change in changes):
        raise HerdError(
            "The tuned model computes logits that are not numbers: training diverged, or a tensor "
            "is damaged. Train again with a lower `learning_rate`."
        )
    return max(changes, default=0.0)


def _first_other_token(
    examples: Sequence[Example],
    one: dict[tuple[int, ...], Any],
    other: dict[tuple[int, ...], Any],
    tokenizer: Tokenizer,
) -> str:
    """Name where logits differ first by more than rounding."""
    for example in examples:
        apart = (one[example.ids] - other[example.ids]).abs().amax(dim=-1) > LARGEST_ROUNDING
        if bool(apart.any()):
            at = int(apart.nonzero()[0])
            piece = tokenizer.pieces[example.ids[at]]
            return f"after token {at + 1} ({piece!r}) of a text of {example.document}"
    return "nowhere"


def _first_other_tensor(tuned: Any, merged: Any) -> str | None:  # noqa: ANN401 - of PyTorch
    """Name the first tensor of merged that is not what the adapter makes of the base's."""
    torch = quiet_torch()
    with torch.inference_mode():
        for name, found in merged.named_parameters():
            module = tuned.get_submodule(name.rpartition(".")[0])
            wanted = module.weight  # of a matrix with an adapter, the base's
            if hasattr(module, "get_delta_weight"):
                wanted = wanted + module.get_delta_weight("default")
            if float((found - wanted).abs().max()) > _TENSOR_ROUNDING * float(wanted.abs().max()):
                return str(name)
    return None
