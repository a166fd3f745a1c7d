"""Runs whose cells were measured as two identical arms, with a truth that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from collect.run import RunManifest
from collect.tables import Tables
from tests.doubles.run_frames import make_frames

DLLAMA = "distributed-llama"
AXES = ("engine", "nodes", "arm")


def noisy_frames(
    speeds: Mapping[int, float],
    *,
    noise: float = 0.03,
    repeats: int = 6,
    second: float = 1.0,
    seed: int = 1,
    **options: Any,  # noqa: ANN401 - handed on to make_frames
) -> tuple[RunManifest, Tables]:
    """A run of one engine with two arms of each cell.

    Args:
        speeds: number of nodes to tokens/s.
        noise: standard deviation of a trial, as a share.
        repeats: trials of each arm.
        second: how many times as fast the second arm is; 1 is an honest cluster.
        seed: of the noise.
        options: of `make_frames`.
    """
    rng = np.random.default_rng(seed)
    outcomes = {
        (DLLAMA, nodes, arm): list(
            speed * (second if arm == "b" else 1.0) * np.exp(noise * rng.normal(size=repeats))
        )
        for nodes, speed in speeds.items()
        for arm in ("a", "b")
    }
    return make_frames(outcomes, axes=AXES, **options)
