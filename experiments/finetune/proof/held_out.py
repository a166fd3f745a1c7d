"""How many bits a byte of the held-out documents takes, before training and after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.bootstrap import paired_change
from core.errors import HerdError
from experiments.finetune.training.modelling import load_model
from experiments.finetune.training.pytorch import quiet_torch
from experiments.finetune.training.scoring import logits_of
from models.formats.huggingface.vocabulary_reader import read_vocabulary
from models.tokenizer import PieceType
from models.tuned import Change

if TYPE_CHECKING:
    from experiments.finetune.data.prepare import Example
    from experiments.finetune.training.pytorch import Computer
    from models.tokenizer import Tokenizer

_NO_TEXT = frozenset({PieceType.CONTROL, PieceType.UNKNOWN, PieceType.UNUSED})


@dataclass(frozen=True, slots=True)
class DocumentScore:
    """What a model thinks of a document.

    Attributes:
        bits: minus the base-2 logarithm of the probability of its counted tokens.
        bytes: of text that these tokens make. Marks of turns and ends make none.
    """

    bits: float
    bytes: int

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte."""
        return self.bits / self.bytes


def held_out_change(
    base_folder: Path, merged_folder: Path, examples: Sequence[Example], computer: Computer
) -> Change:
    """Compare both models on the held-out documents, in bits per byte over all their bytes.

    Each example is read by itself, as in training: a window of a document does not see the window
    before it. Only tokens count on which training has a loss.

    Args:
        base_folder: Hugging Face directory of the base.
        merged_folder: the same of the tuned model.
        examples: the held-out part.
        computer: where it is computed, in float32.

    Raises:
        HerdError: no example has text that counts.
    """
    tokenizer = read_vocabulary(base_folder)
    before, after = (
        document_scores(load_model(folder, computer).eval(), tokenizer, examples)
        for folder in (base_folder, merged_folder)
    )
    return change_of(before, after)


def document_scores(
    model: Any,  # noqa: ANN401 - PyTorch's types are not read here
    tokenizer: Tokenizer,
    examples: Sequence[Example],
) -> dict[str, DocumentScore]:
    """Score the counted tokens of each document, all its windows together.

    Args:
        model: in PyTorch, float32.
        tokenizer: its vocabulary.
        examples: of any documents, in any order.

    Returns:
        By document; one whose counted tokens make no text is left out.
    """
    torch = quiet_torch()
    read: list[Example] = []
    sums: list[float] = []
    counting = [example for example in examples if any(example.trained[1:])]
    for example, (logits,) in logits_of([model], counting):
        targets = torch.tensor(example.ids[1:], device=logits.device)
        nats = torch.nn.functional.cross_entropy(logits[:-1], targets, reduction="none").double()
        counted = torch.tensor(example.trained[1:], device=logits.device)
        read.append(example)
        sums.append(float(nats[counted].sum()))
    return document_scores_of(read, sums, tokenizer)


def document_scores_of(
    examples: Sequence[Example], nats: Sequence[float], tokenizer: Tokenizer
) -> dict[str, DocumentScore]:
    """Put the losses of examples together, by document.

    Args:
        examples: of any documents, in any order.
        nats: of each example, the sum over its counted tokens.
        tokenizer: its vocabulary.

    Returns:
        By document; one whose counted tokens make no text is left out.
    """
    bits: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for example, loss in zip(examples, nats, strict=True):
        named = example.document
        bits[named] = bits.get(named, 0.0) + loss / math.log(2)
        sizes[named] = sizes.get(named, 0) + _text_bytes(example, tokenizer)
    return {name: DocumentScore(bits[name], size) for name, size in sorted(sizes.items()) if size}


def change_of(before: dict[str, DocumentScore], after: dict[str, DocumentScore]) -> Change:
    """Bits per byte of all documents before and after, the interval paired over documents.

    Raises:
        HerdError: there is no document.
    """
    if not before:
        raise HerdError(
            "The held-out documents have no text that counts, so nothing can be compared. Give "
            "more data, or hold out more of it (`held_out`)."
        )
    sizes = [score.bytes for score in before.values()]
    found = paired_change(
        [score.bits_per_byte for score in before.values()],
        [after[name].bits_per_byte for name in before],
        sizes,
    )
    return Change(
        before=sum(score.bits for score in before.values()) / sum(sizes),
        after=sum(after[name].bits for name in before) / sum(sizes),
        low=found.low if found else None,
        high=found.high if found else None,
        count=len(before),
    )


def _text_bytes(example: Example, tokenizer: Tokenizer) -> int:
    return sum(
        len(tokenizer.piece_bytes(token))
        for token, counts in zip(example.ids[1:], example.trained[1:], strict=True)
        if counts and tokenizer.types[token] not in _NO_TEXT
    )
