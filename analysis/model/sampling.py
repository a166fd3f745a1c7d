"""Draws from a posterior by walkers that step along the differences of others.

Differential evolution Markov chains (C. ter Braak, "A Markov Chain Monte Carlo version of the
genetic algorithm Differential Evolution", Stat. Comput. 16, 2006), in two halves that step in turn
so that a half is one array. Several posteriors, such as those of a fit with other cells left out,
are drawn from at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
JUMP_EVERY = 10
"""Every so many steps, walkers jump by whole differences, from one mode to another."""
TINY = 1e-4


def draw(
    density: Callable[[Floats], Floats],
    start: Floats,
    *,
    burn: int,
    keep: int,
    every: int,
    seed: int = 1,
) -> Floats:
    """Draw from several posteriors at once.

    Args:
        density: parameters (posteriors, walkers, dimensions) to logarithms of the density, without
            a constant (posteriors, walkers).
        start: where the walkers begin, an even number of them.
        burn: steps that are thrown away.
        keep: how many steps have their walkers kept.
        every: steps from one that is kept to the next.
        seed: of the steps; the same one gives the same draws.

    Returns:
        Draws, (posteriors, keep x walkers, dimensions).
    """
    generator = np.random.default_rng(seed)
    halves = np.split(start.copy(), 2, axis=1)
    heights = [density(half) for half in halves]
    kept = []
    for step in range(burn + keep * every):
        for this in (0, 1):
            whole = step % JUMP_EVERY == 0
            _step(density, halves, heights, this, generator, whole=whole)
        if step >= burn and (step - burn) % every == 0:
            kept.append(np.concatenate(halves, axis=1))
    return np.concatenate(kept, axis=1)


def _step(
    density: Callable[[Floats], Floats],
    halves: list[Floats],
    heights: list[Floats],
    this: int,
    generator: np.random.Generator,
    *,
    whole: bool,
) -> None:
    """Let one half step along differences of the other."""
    here, others = halves[this], halves[1 - this]
    posteriors, walkers, dimensions = here.shape
    first = generator.integers(walkers, size=walkers)
    second = (first + generator.integers(1, walkers, size=walkers)) % walkers
    scale = 1.0 if whole else 2.38 / math.sqrt(2 * dimensions)
    scales = scale * generator.uniform(0.7, 1.3, size=(1, walkers, 1))
    noise = TINY * generator.standard_normal(here.shape)
    apart = others.take(first, axis=1) - others.take(second, axis=1)
    there = here + scales * apart + noise
    height = density(there)
    chance = np.log(generator.uniform(size=(posteriors, walkers)))
    better = chance < height - heights[this]
    halves[this] = np.where(better[..., None], there, here)
    heights[this] = np.where(better, height, heights[this])
