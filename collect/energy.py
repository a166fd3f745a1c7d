"""What attempts used, as columns of the tables: where every node counted, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collect.attempt import AttemptRecord, NodeEnergy
from collect.measurement import Measurement
from collect.run import RunManifest


def node_energy(used: NodeEnergy | None) -> dict[str, Any]:
    """Columns of table `nodes`."""
    if used is None:
        return {}
    return {
        "energy_j": sum(used.joules.values()),
        "energy_window_s": used.window_s,
        "energy_counters": ", ".join(used.joules),
    }


def trial_energy(
    run: RunManifest, nodes: Sequence[str], record: AttemptRecord, measured: Measurement
) -> dict[str, Any]:
    """Columns of table `trials`; none unless all nodes counted, each for itself alone.

    Args:
        run: of the trial.
        nodes: of its cell, root first; none of an API.
        record: of the attempt that counts.
        measured: what it gave.
    """
    if not nodes or not set(nodes) <= record.energy.keys() or run.share_machine(nodes):
        return {}
    used = [record.energy[name] for name in nodes]
    total_j = sum(sum(one.joules.values()) for one in used)
    answers = measured.answers
    tokens = sum(answer.tokens for answer in answers)
    if not answers and measured.decode is not None:
        tokens = measured.decode.tokens
    return {
        "energy_j": total_j,
        "energy_j_per_token": total_j / tokens if tokens else None,
        "energy_j_per_answer": total_j / len(answers) if answers else None,
        "energy_window_s": used[0].window_s,
        "energy_counters": "; ".join(dict.fromkeys(", ".join(one.joules) for one in used)),
    }
