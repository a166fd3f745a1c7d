"""What the reference says with a file, compared with what it says with the same model in float32.

The reference (`models.reference`) computes in float32 with the values that the file holds, so a
difference comes from the file and from no engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from models.checkpoint import tensor_shapes
from models.reference import Reference

if TYPE_CHECKING:
    from experiments.finetune.data.prepare import Example
    from models.checkpoint import Checkpoint
    from models.shape import ModelShape

PROMPTS = 20
SAID_TOKENS = 24
"""Of each continuation."""
_PROMPT_TOKENS = 16
_LONGEST_PROMPT = 48
_TEXT_TOKENS = 128
"""Of an example that is scored, so that several documents are among the texts."""
_ALL_TEXT_TOKENS = 512
_FEWEST_TEXT_TOKENS = 64
_FULL_SPEED_PARAMETERS = 200_000_000
"""Of a larger model fewer tokens are scored, in proportion, so that the proof ends."""


@dataclass(frozen=True)
class ProofTexts:
    """What every file is asked.

    Attributes:
        prompts: beginnings of held-out examples, up to the answer where there is one.
        texts: held-out text to score.
    """

    prompts: tuple[tuple[int, ...], ...]
    texts: tuple[tuple[int, ...], ...]

    @property
    def scored_tokens(self) -> int:
        """Tokens whose probability is compared: all but the first of each text."""
        return sum(len(text) - 1 for text in self.texts)


@dataclass(frozen=True)
class Said:
    """What a model in float32 says.

    Attributes:
        continuations: of each prompt, greedy.
        scores: log p of each scored token, text by text.
    """

    continuations: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class FileDifference:
    """How a file differs from what its model says in float32.

    Attributes:
        same_texts: continuations that are the same to the last token.
        first_other: number of the first prompt that is continued otherwise, from which token on
            (both from 0), what the file says and what the model in float32 says; None for none.
        mean_change: mean |Δ log p| of the scored tokens, in nats.
    """

    same_texts: int
    first_other: tuple[int, int, int, int] | None
    mean_change: float


def asked_of(held_out: Sequence[Example], shape: ModelShape) -> ProofTexts:
    """Choose what is asked: always the same for the same data.

    Args:
        held_out: examples of the held-out part.
        shape: of the model, whose size decides how much text is scored.
    """
    room = shape.context - SAID_TOKENS
    prompts = dict.fromkeys(_prompt(example, room) for example in _one_each(held_out))
    share = min(1.0, _FULL_SPEED_PARAMETERS / shape.parameters)
    left = max(_FEWEST_TEXT_TOKENS, int(_ALL_TEXT_TOKENS * share))
    texts = []
    for example in _one_each(held_out):
        text = example.ids[: min(_TEXT_TOKENS, shape.context, left + 1)]
        if len(text) > 1 and left > 0:
            texts.append(text)
            left -= len(text) - 1
    return ProofTexts(tuple(islice(prompts, PROMPTS)), tuple(texts))


def say_in_float32(checkpoint: Checkpoint, asked: ProofTexts) -> Said:
    """Let the reference continue and score with a model in float32."""
    reference = Reference(checkpoint)
    positions = max(map(len, asked.prompts), default=1) + SAID_TOKENS - 1
    said = reference.generate(asked.prompts, positions) if asked.prompts else []
    return Said(
        tuple(continuation.ids[:SAID_TOKENS] for continuation in said),
        _scores(reference, asked),
    )


class FileComparison:
    """Compares the files of a model with it in float32.

    Files of different formats that hold the same values say the same, so that is computed once.

    Args:
        asked: the same as in float32.
        said: what the model in float32 said to it.
    """

    def __init__(self, asked: ProofTexts, said: Said) -> None:
        self._asked, self._said = asked, said
        self._known: dict[str, FileDifference] = {}

    def with_file(self, checkpoint: Checkpoint) -> FileDifference:
        """Compare what the reference says with the values of a file.

        Args:
            checkpoint: as it was read back.
        """
        values = _values_sha256(checkpoint)
        if values not in self._known:
            self._known[values] = _compare(checkpoint, self._asked, self._said)
        return self._known[values]


def in_memory(checkpoint: Checkpoint) -> Checkpoint:
    """Read every tensor of a file now, and once: 4 bytes a parameter."""
    tensors = {name: checkpoint.tensor(name) for name in tensor_shapes(checkpoint.shape)}
    return replace(checkpoint, load=tensors.__getitem__)


def _values_sha256(checkpoint: Checkpoint) -> str:
    """Hash of all that the reference computes with."""
    digest = hashlib.sha256(checkpoint.shape.model_dump_json().encode())
    for name in tensor_shapes(checkpoint.shape):
        digest.update(np.ascontiguousarray(checkpoint.tensor(name)).data)
    return digest.hexdigest()


def _compare(checkpoint: Checkpoint, asked: ProofTexts, said: Said) -> FileDifference:
    reference = Reference(checkpoint)
    told = list(zip(asked.prompts, said.continuations, strict=True))
    read = reference.likeliest([(*prompt, *wanted[:-1]) for prompt, wanted in told]) if told else []
    others = []
    for number, ((prompt, wanted), likeliest) in enumerate(zip(told, read, strict=True)):
        found = likeliest[len(prompt) - 1 :]
        at = next((at for at, token in enumerate(wanted) if found[at] != token), None)
        if at is not None:
            others.append((number, at, found[at], wanted[at]))
    changes = np.abs(np.subtract(_scores(reference, asked), said.scores))
    return FileDifference(
        same_texts=len(asked.prompts) - len(others),
        first_other=others[0] if others else None,
        mean_change=float(changes.mean()) if changes.size else 0.0,
    )


def _scores(reference: Reference, asked: ProofTexts) -> tuple[float, ...]:
    return tuple(score for text in asked.texts for score in reference.score(text))


def _prompt(example: Example, room: int) -> tuple[int, ...]:
    """The beginning of an example: what is asked, or its first tokens; half of a short one."""
    answer = next((at for at, counts in enumerate(example.trained) if counts and at > 0), 1)
    usual = min(_PROMPT_TOKENS, (len(example.ids) + 1) // 2)
    end = max(answer, usual)
    return example.ids[max(0, end - min(_LONGEST_PROMPT, room)) : end]


def _one_each(examples: Sequence[Example]) -> Iterator[Example]:
    """The first example of each document, then the others."""
    seen: set[str] = set()
    later = []
    for example in examples:
        if example.document in seen:
            later.append(example)
        else:
            seen.add(example.document)
            yield example
    yield from later
