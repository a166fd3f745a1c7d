"""Whether the merged model computes what base + adapter does, and something else than the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import HerdError
from experiments.finetune.modelling import load_model, load_tuned
from experiments.finetune.pytorch import Computer, quiet_torch
from experiments.finetune.scoring import logits_of

if TYPE_CHECKING:
    from experiments.finetune.data import Example
    from models.tokenizer import Tokenizer

LARGEST_ROUNDING = 1e-4
"""Of logits in float32: base + adapter sums in another order than the merged model. Two models that
differ by no more are the same one as far as float32 can say."""
_COMPARED_TOKENS = 2048
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
    """Load all three from the disk, in float32 on the CPU, and let them read held-out examples.

    Args:
        base_folder: Hugging Face directory of the base.
        merged_folder: that of the merged model.
        adapter_folder: what was trained: LoRA's matrices, or the trained tensors of `full`.
        examples: the held-out part; its first 2048 tokens are read.
        tokenizer: names tokens.

    Raises:
        HerdError: logits are not numbers.
    """
    computer = Computer("cpu", "", quiet_torch().get_num_threads())
    base = load_model(base_folder, computer).eval()
    tuned = load_tuned(base_folder, adapter_folder, computer)
    merged = load_model(merged_folder, computer).eval()
    read = _first_tokens(examples)
    merge_change = base_change = adapter_change = 0.0
    first_other: str | None = None
    for example, (of_base, of_tuned, of_merged) in logits_of([base, tuned, merged], read):
        apart = (of_tuned - of_merged).abs().amax(dim=-1)
        if first_other is None and bool((apart > LARGEST_ROUNDING).any()):
            at = int((apart > LARGEST_ROUNDING).nonzero()[0])
            first_other = _named_token(example, at, tokenizer)
        merge_change = max(merge_change, _number(apart.max()))
        base_change = max(base_change, _number((of_merged - of_base).abs().max()))
        adapter_change = max(adapter_change, _number((of_tuned - of_base).abs().max()))
    faults = []
    if first_other is not None:
        tensor = _first_other_tensor(tuned, merged)
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


def _number(value: Any) -> float:  # noqa: ANN401 - of PyTorch
    number = float(value)
    if not number < float("inf"):
        raise HerdError(
            "The tuned model computes logits that are not numbers: training diverged, or a tensor "
            "is damaged. Train again with a lower `learning_rate`."
        )
    return number


def _named_token(example: Example, at: int, tokenizer: Tokenizer) -> str:
    piece = tokenizer.pieces[example.ids[at]]
    return f"after token {at + 1} ({piece!r}) of a text of {example.document}"


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
