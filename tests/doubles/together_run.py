"""Runs of machines together and apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from analysis.study import Study, study_of
from tests.doubles.gpu_run import around
from tests.doubles.placed_run import FLEET, placed_frames

LLAMA = "llama.cpp"


def together_runs(at_once: float | None = None) -> Study:
    """A PC and two Pis, each alone and all together; with a rate also all alone at once."""
    outcomes: dict[tuple[Any, ...], Any] = {
        (LLAMA, name, "", nodes): around(speed)
        for name, speed, nodes in (
            ("desk", 20.0, 1), ("pi1", 5.0, 1), ("pi2", 4.0, 1), ("desk+pi1+pi2", 12.0, 3),
        )
    }  # fmt: skip
    if at_once is not None:
        outcomes[LLAMA, "desk+pi1+pi2", "3x1", 3] = around(at_once / 3)
    axes = ("engine", "on", "groups", "nodes")
    run, tables = placed_frames(outcomes, axes=axes, fleet=FLEET)
    cells = tuple(
        cell.model_copy(update={"params": {k: v for k, v in cell.params.items() if v != ""}})
        for cell in run.cells
    )
    prefill = 32_000 / tables.trials["prompt_tokens_per_s"]
    speeds = tables.trials["decode_tokens_per_s"].where(tables.trials["groups"] == "3x1")
    columns = {"prompt_ms": prefill, "sum_tokens_per_s": 3 * speeds,
               "all_overlap": speeds.where(speeds.isna(), 0.75)}  # fmt: skip
    told = replace(tables, trials=tables.trials.assign(**columns))
    return study_of(run.model_copy(update={"cells": cells}), told)


def combined() -> Study:
    """Named machines, prompts of two lengths, two arms of each cell, and three users at once."""
    speeds = (
        ("desk", 20.0, 1, ""), ("pi1", 5.0, 1, ""), ("pi2", 4.9, 1, ""),
        ("desk+pi1+pi2", 12.0, 3, ""), ("pi1+desk+pi2", 11.0, 3, ""),
        ("desk+pi1+pi2", 7.0, 3, "3x1"),
    )  # fmt: skip
    noise = np.random.default_rng(3)
    outcomes: dict[tuple[Any, ...], Any] = {
        (LLAMA, on, nodes, groups, prompt, 64, arm): list(
            rate * (1 - prompt / 2560) * np.exp(0.02 * noise.normal(size=6))
        )
        for prompt in (16, 256)
        for on, rate, nodes, groups in speeds
        for arm in ("a", "b")
    }
    axes = ("engine", "on", "nodes", "groups", "prompt_tokens", "generate_tokens", "arm")
    run, tables = placed_frames(outcomes, axes=axes)
    trials = tables.trials
    one = trials["decode_tokens_per_s"].where(trials["groups"] == "3x1")
    columns = {
        "prompt_ms": 32_000 / trials["prompt_tokens_per_s"], "sum_tokens_per_s": 3 * one,
        "all_tokens_per_s": 2.5 * one, "slowest_tokens_per_s": 0.5 * one,
        "all_overlap": one.where(one.isna(), 0.75),
    }  # fmt: skip
    return study_of(run, replace(tables, trials=trials.assign(**columns)))
