"""Whether the model repeats its training data: lines that it ends word for word.

A line is what training had a loss on, up to a line feed or an end. The model reads what the line
follows from (the beginning of the text, or the question that it answers) and the first half of its
tokens. It has memorised the line if greedy decoding then gives the second half, token by token.
Nothing need be generated for that: each token of the second half must be the likeliest one after
those before it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.bootstrap import paired_shares
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

MOST_LINES = 200
FEWEST_TOKENS = 8
"""Of a line: the second half of a shorter one may be right by chance."""
MOST_TOKENS = 48
"""Of a longer line its beginning is taken: no model repeats half a page without a mistake."""
_MARKS = frozenset({PieceType.CONTROL, PieceType.UNKNOWN, PieceType.UNUSED})


@dataclass(frozen=True, slots=True)
class Line:
    """A line, as the model reads it.

    Attributes:
        document: where it is from.
        ids: what it follows from, its first half, its second half.
        half: position of the second half's first token.
    """

    document: str
    ids: tuple[int, ...]
    half: int


def memorised_change(
    base_folder: Path,
    merged_folder: Path,
    examples: Sequence[Example],
    seed: int,
    computer: Computer,
) -> Change | None:
    """Share of lines that both models have memorised, from 0 to 1.

    Args:
        base_folder: Hugging Face directory of the base, which has not seen the data.
        merged_folder: the same of the tuned model.
        examples: the part that training saw.
        seed: of the choice of at most 200 lines.
        computer: where it is computed, in float32.

    Returns:
        The interval is paired over lines, those of one document drawn together. None where no line
        is long enough.
    """
    lines = chosen_lines(lines_of(examples, read_vocabulary(base_folder)), seed)
    if not lines:
        return None
    before, after = (
        repeated(load_model(folder, computer).eval(), lines)
        for folder in (base_folder, merged_folder)
    )
    owners = [line.document for line in lines]
    low, high = paired_shares(before, after, owners) or (None, None)
    return Change(
        before=sum(before) / len(lines),
        after=sum(after) / len(lines),
        low=low,
        high=high,
        count=len(lines),
    )


def lines_of(examples: Sequence[Example], tokenizer: Tokenizer) -> list[Line]:
    """All lines that are long enough, each once, in the order of the data."""
    found: dict[tuple[int, ...], Line] = {}
    for example in examples:
        for begin, start, end in _spans(example, tokenizer):
            end = min(end, start + MOST_TOKENS)  # noqa: PLW2901 - the rest is left out
            if end - start >= FEWEST_TOKENS:
                ids = example.ids[:begin] + example.ids[start:end]
                half = begin + (end - start + 1) // 2
                found.setdefault(ids, Line(example.document, ids, half))
    return list(found.values())


def chosen_lines(lines: Sequence[Line], seed: int) -> list[Line]:
    """At most 200 of them, always the same ones for a seed."""
    if len(lines) <= MOST_LINES:
        return list(lines)
    return random.Random(seed).sample(lines, MOST_LINES)  # noqa: S311 - a choice, no secret


def repeated(model: Any, lines: Sequence[Line]) -> list[float]:  # noqa: ANN401 - of PyTorch
    """1 for each line whose second half the model says word for word, else 0; in their order."""
    torch = quiet_torch()
    said = {}
    for line, (logits,) in logits_of([model], lines):
        likeliest = logits[line.half - 1 : -1].argmax(dim=-1)
        wanted = torch.tensor(line.ids[line.half :], device=logits.device)
        said[line.ids] = float(torch.equal(likeliest, wanted))
    return [said[line.ids] for line in lines]


def _spans(example: Example, tokenizer: Tokenizer) -> Iterator[tuple[int, int, int]]:
    """Lines of an example: where their turn begins, where they begin, and their end."""
    begin = start = 0
    inside = False
    for position, token in enumerate(example.ids):
        if not _is_said(example, position) or tokenizer.types[token] in _MARKS:
            if inside:
                yield begin, start, position
            inside = False
            continue
        if not inside:
            begin, start, inside = position, position, True
        if b"\n" in tokenizer.piece_bytes(token):
            yield begin, start, position
            start = position + 1
    if inside:
        yield begin, start, len(example.ids)


def _is_said(example: Example, position: int) -> bool:
    """Whether a token is part of what training had a loss on.

    The first one follows from nothing and has none; it belongs to what comes after it.
    """
    return any(example.trained[:2]) if position == 0 else example.trained[position]
