"""What attempts used, as columns of the tables: where every node counted, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collect.attempt import AttemptRecord, NodeEnergy
from collect.measurement import Measurement
from collect.run import RunManifest
from collect.wall import J_PER_WH, wall_energy

GPU_COUNTER = "NVML gpu-"
"""Beginning of the names of counters that count a GPU's board."""


def is_whole(used: NodeEnergy) -> bool:
    """Whether the node's processor was counted, not only its GPU."""
    return not all(name.startswith(GPU_COUNTER) for name in used.joules)


def gpu_energy(record: AttemptRecord) -> dict[str, float]:
    """Node name to joules of the GPU that it computed on, where they were counted."""
    found = {}
    for node, used in record.energy.items():
        reading = record.nodes.get(node)
        gpu = reading and reading.after and reading.after.gpu
        name = f"{GPU_COUNTER}{gpu.index}" if gpu else None
        if name in used.joules:
            found[node] = used.joules[name]
    return found


def node_energy(record: AttemptRecord, node: str) -> dict[str, Any]:
    """Columns of table `nodes`."""
    shares, used = gpu_energy(record), record.energy.get(node)
    share = {"gpu_energy_j": shares[node]} if node in shares else {}
    if used is None or not is_whole(used):
        return share
    return {
        **share,
        "energy_j": sum(used.joules.values()),
        "energy_window_s": used.window_s,
        "energy_counters": ", ".join(used.joules),
    }


def trial_energy(
    run: RunManifest, nodes: Sequence[str], record: AttemptRecord, measured: Measurement
) -> dict[str, Any]:
    """Columns of table `trials`; joules of all nodes only if each counted, for itself alone.

    What plugs counted is in separate columns: it is more than what counters in machines count.
    Of several deployments at once, each node counts while its own root runs, and plugs count from
    the start of the first root to the end of the last.

    Args:
        run: of the trial.
        nodes: of its cell, root first; none of an API.
        record: of the attempt that counts.
        measured: what it gave.
    """
    columns = _at_the_wall(nodes, record, measured)
    if not nodes or run.share_machine(nodes):
        return columns
    shares = gpu_energy(record)
    # One GPU without a counter, and the sum of the others would pass for that of all.
    if shares and record.devices.keys() - set(record.software_devices) <= shares.keys():
        columns |= _divided("gpu_energy_j", sum(shares.values()), measured)
    used = [record.energy[name] for name in nodes if name in record.energy]
    if len(used) < len(nodes) or not all(map(is_whole, used)):
        return columns
    total_j = sum(sum(one.joules.values()) for one in used)
    return {
        **columns,
        **_divided("energy_j", total_j, measured),
        "energy_window_s": _window_s(used, record),
        "energy_counters": "; ".join(dict.fromkeys(", ".join(one.joules) for one in used)),
    }


def _window_s(used: Sequence[NodeEnergy], record: AttemptRecord) -> float:
    """The root's window, or the longest of several deployments."""
    return max(one.window_s for one in used) if record.deployments else used[0].window_s


def _at_the_wall(
    nodes: Sequence[str], record: AttemptRecord, measured: Measurement
) -> dict[str, Any]:
    """What plugs counted, where each node is behind one; apart from all other counters."""
    wall = wall_energy(record, nodes)
    if wall is None:
        return {}
    total = _divided("wall_energy_j", wall.joules, measured)
    above_j, each_j = wall.above_idle_j, total["wall_energy_j_per_token"]
    return {
        **total,
        **({} if above_j is None else _divided("wall_above_idle_j", above_j, measured)),
        "wall_error_j": wall.error_j,
        "wall_tokens_per_wh": J_PER_WH / each_j if each_j else None,
        "wall_idle_w": wall.idle_w,
        "wall_window_s": wall.window_s,
        "wall_scope": wall.scope,
        "wall_by": wall.by,
    }


def _divided(column: str, total_j: float, measured: Measurement) -> dict[str, float | None]:
    """Joules of a trial, and of each of its tokens and answers."""
    answers = measured.answers
    tokens = sum(answer.tokens for answer in answers)
    if not answers and measured.decode is not None:
        tokens = (measured.at_once or measured.decode).tokens
    return {
        column: total_j,
        f"{column}_per_token": total_j / tokens if tokens else None,
        f"{column}_per_answer": total_j / len(answers) if answers else None,
    }
