"""A run whose prompts have several lengths."""

from __future__ import annotations

from dataclasses import replace

from collect.columns import TOKENS
from collect.run import RunManifest
from collect.tables import Tables
from tests.doubles.run_frames import frame_of, make_frames


def prompt_lengths(
    engine: str = "distributed-llama", *, ms_per_1000: float = 5.0, trials: int = 6
) -> tuple[RunManifest, Tables]:
    """A run with prompts of three lengths, in which each token takes a little longer.

    Args:
        engine: that reports the time of each token.
        ms_per_1000: by how much a token takes longer 1000 positions later.
        trials: of each cell.
    """
    outcomes = {
        (engine, nodes, prompt, 64): [
            1000 / (100 / nodes + ms_per_1000 * prompt / 1000 + step % 3 / 10)
            for step in range(trials)
        ]
        for nodes in (1, 2)
        for prompt in (16, 256, 1024)
    }
    axes = ("engine", "nodes", "prompt_tokens", "generate_tokens")
    run, tables = make_frames(outcomes, axes=axes)
    tokens = [
        {"trial_id": row.trial_id, "index": i, "phase": "prediction", "tokens": 1,
         "total_ms": row.decode_ms_per_token + ms_per_1000 * i / 1000}
        for row in tables.trials.itertuples()
        for i in range(64)
    ]  # fmt: skip
    return run, replace(tables, tokens=frame_of(tokens, TOKENS))
