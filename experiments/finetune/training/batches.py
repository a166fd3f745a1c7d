"""Which examples a step reads: an order that follows from the seed alone."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.finetune.data.prepare import Example
    from experiments.finetune.recipe import Recipe

SORTED_TOGETHER = 8
"""Batches whose examples are sorted by length among each other, so that few are padded."""


def total_steps(recipe: Recipe, examples: int) -> int:
    """Optimiser steps of a recipe on so many examples."""
    if recipe.steps is not None:
        return recipe.steps
    return max(1, math.ceil((recipe.epochs or 1.0) * steps_per_pass(recipe, examples)))


def steps_per_pass(recipe: Recipe, examples: int) -> int:
    """Steps of one pass over the data; the last batch of a pass may be smaller."""
    return math.ceil(examples / recipe.batch)


class Order:
    """Batches in the order of training.

    Each pass is shuffled again. Within `SORTED_TOGETHER` batches examples are sorted by length and
    cut into batches, whose order is shuffled again. Any step can be asked for, so the position in
    the data is the number of steps done.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self._lengths = tuple(lengths)
        self._batch = batch
        self._seed = seed
        self._pass = lru_cache(maxsize=1)(self._shuffled)

    def batch(self, step: int) -> tuple[int, ...]:
        """Positions of the examples that a step reads.

        Args:
            step: from 0.
        """
        each = math.ceil(len(self._lengths) / self._batch)
        return self._pass(step // each)[step % each]

    def _shuffled(self, number: int) -> list[tuple[int, ...]]:
        drawn = random.Random(f"{self._seed} {number}")  # noqa: S311 - an order, no secret
        left = list(range(len(self._lengths)))
        drawn.shuffle(left)
        together = self._batch * SORTED_TOGETHER
        batches: list[tuple[int, ...]] = []
        for start in range(0, len(left), together):
            near = sorted(left[start : start + together], key=self._lengths.__getitem__)
            batches += [
                tuple(near[at : at + self._batch]) for at in range(0, len(near), self._batch)
            ]
        drawn.shuffle(batches)
        return batches


def padded_batch(examples: Sequence[Example]) -> tuple[list[list[int]], list[list[bool]]]:
    """Tokens and which of them the loss counts as targets, both padded on the right.

    Attention looks back only, so what follows an example's end does not change it. The
    first token of an example follows from nothing and is no target.
    """
    longest = max(len(example.ids) for example in examples)
    ids = [[*example.ids, *[0] * (longest - len(example.ids))] for example in examples]
    counted = [
        [False, *example.trained[1:], *[False] * (longest - len(example.ids))]
        for example in examples
    ]
    return ids, counted
