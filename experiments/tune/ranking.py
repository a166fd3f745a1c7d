"""Which of several settings is fastest, from trials in blocks that each hold every setting once.

What slows a block down slows all settings in it, so only differences within blocks count. A speed
is taken as a sum of two logarithms, one of the setting and one of the block, fitted by medians: a
trial that another program disturbed moves no median. Settings that are closer to the best one than
their noise allows to say count as being like it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.student import quantile

Floats = npt.NDArray[np.float64]
Block = tuple[int, int]
"""Number of a rung, and of a block in its run."""
Speeds = Mapping[int, Mapping[Block, float]]
"""Setting to block to its speed there, above 0."""
LEVEL = 0.95
OWN_FROM = 4
"""Blocks from which a setting's own noise is known well enough to count."""
SWEEPS = 20
STILL = 1e-9
"""A change of logarithms below which a sweep changes nothing."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Settings by their speed.

    Attributes:
        order: fastest first.
        like_the_best: the first one, and those that the noise cannot distinguish from it.
        score: setting to the logarithm of its speed, next to that of the others.
    """

    order: tuple[int, ...]
    like_the_best: frozenset[int]
    score: Mapping[int, float]


def rank_settings(speeds: Speeds) -> Standing:
    """Put settings in order; ties keep the order of their numbers."""
    names = [name for name, of_blocks in sorted(speeds.items()) if of_blocks]
    if not names:
        return Standing((), frozenset(), {})
    blocks = sorted({block for name in names for block in speeds[name]})
    logs = np.array(
        [[math.log(speeds[n][b]) if b in speeds[n] else math.nan for b in blocks] for n in names]
    )
    scores, rest = _fit(logs)
    order = sorted(range(len(names)), key=lambda place: (-scores[place], place))
    best = order[0]
    alike = [place for place in order if not _apart(scores, rest, best, place)]
    return Standing(
        tuple(names[place] for place in order),
        frozenset(names[place] for place in alike),
        {name: float(score) for name, score in zip(names, scores, strict=True)},
    )


def _fit(logs: Floats) -> tuple[Floats, Floats]:
    """Effects of settings (rows), and what neither they nor blocks (columns) explain."""
    scores = np.zeros(logs.shape[0])
    rest = logs.copy()
    for _ in range(SWEEPS):
        of_blocks = np.nanmedian(rest, axis=0)
        rest = rest - of_blocks
        of_settings = np.nanmedian(rest, axis=1)
        scores += of_settings
        rest = rest - of_settings[:, None]
        if max(np.abs(of_blocks).max(), np.abs(of_settings).max()) < STILL:
            break
    return scores, rest


def _apart(scores: Floats, rest: Floats, best: int, other: int) -> bool:
    """Whether another setting is slower than the best by more than their noise."""
    counts = (~np.isnan(rest)).sum(axis=1)
    degrees = int(counts.sum()) - sum(rest.shape) + 1
    if other == best or degrees < 1:
        return False
    spread = _usual_spread(rest)
    if min(counts[best], counts[other]) >= OWN_FROM:
        own = np.nanvar(rest[[best, other]], axis=1, ddof=1)
        spread = max(spread, math.sqrt(float(own.mean())))
    error = spread * math.sqrt(1 / counts[best] + 1 / counts[other])
    return bool(scores[best] - scores[other] > quantile(LEVEL, degrees) * error)


def _usual_spread(rest: Floats) -> float:
    """Standard deviation of a trial of the usual setting: a few noisy ones do not change it."""
    counts = (~np.isnan(rest)).sum(axis=1)
    known = counts > 1  # a deviation takes two
    if not known.any():
        return 0.0
    middle = float(np.median(np.nanvar(rest[known], axis=1, ddof=1)))
    degrees = float(np.median(counts[known])) - 1
    settings = rest.shape[0]
    # What the median of a sum of squares is of its mean (Wilson and Hilferty), and what the
    # effects of blocks, fitted to the same trials, took from it.
    return math.sqrt(middle / (1 - 2 / (9 * degrees)) ** 3 * settings / max(1, settings - 1))


def gain_over(speeds: Speeds, one: int, other: int) -> float | None:
    """How many times as fast one setting is as another, over the blocks that hold both."""
    ours, theirs = speeds.get(one, {}), speeds.get(other, {})
    logs = [math.log(ours[block] / theirs[block]) for block in ours.keys() & theirs.keys()]
    return math.exp(float(np.median(logs))) if logs else None


def merged(parts: Sequence[Speeds]) -> dict[int, dict[Block, float]]:
    """Put the speeds of several rungs together."""
    found: dict[int, dict[Block, float]] = {}
    for part in parts:
        for name, of_blocks in part.items():
            found.setdefault(name, {}).update(of_blocks)
    return found
