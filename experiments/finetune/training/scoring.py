"""What a model in PyTorch computes for texts that are known: logits after each token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

from experiments.finetune.training.pytorch import quiet_torch

_TOKENS_AT_ONCE = 2048
"""Logits of so many tokens are in memory together: 400 MB with 49,152 pieces."""


class _Readable(Protocol):
    @property
    def ids(self) -> tuple[int, ...]: ...


_Text = TypeVar("_Text", bound=_Readable)


def logits_of(models: Sequence[Any], texts: Sequence[_Text]) -> Iterator[tuple[_Text, list[Any]]]:
    """Let each model read each text.

    Texts are padded on the right: attention looks back only, so padding changes nothing.

    Args:
        models: on one device, with the same vocabulary.
        texts: a token or more each.

    Yields:
        Each text, and of each model its logits in float32, of shape (tokens, pieces). The shortest
        texts come first.
    """
    torch = quiet_torch()
    for batch in _batches(texts):
        longest = max(len(text.ids) for text in batch)
        padded = [[*text.ids, *[0] * (longest - len(text.ids))] for text in batch]
        read = torch.tensor(padded, device=models[0].device)
        with torch.inference_mode():
            logits = [model(input_ids=read).logits.float() for model in models]
        for row, text in enumerate(batch):
            yield text, [one[row, : len(text.ids)] for one in logits]


def _batches(texts: Sequence[_Text]) -> Iterator[list[_Text]]:
    """Texts of about the same length together."""
    batch: list[_Text] = []
    for text in sorted(texts, key=lambda one: len(one.ids)):
        if batch and (len(batch) + 1) * len(text.ids) > _TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch
