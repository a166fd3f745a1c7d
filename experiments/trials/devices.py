"""On what the processes of an attempt computed, as their engine's own logs say."""

from __future__ import annotations

from collections.abc import Sequence

from collect.attempt import AttemptRecord, ProcessRecord
from collect.parsers.parser import parser_of
from experiments.nodes.told import unread
from experiments.trials.execution import Execution


def devices_of(
    draft: AttemptRecord, nodes: Sequence[str], execution: Execution
) -> tuple[dict[str, str], str | None]:
    """Find on which GPU each node computed, and which process computed elsewhere than asked.

    Args:
        draft: the attempt.
        nodes: those of its trial, in the order in which programs are given them.
        execution: with its logs.

    Returns:
        Node to GPU, for nodes that computed on one; and what went wrong, one sentence, or None.
    """
    parser = parser_of(draft.params.get("engine"))
    if parser is None:
        return {}, None
    devices: dict[str, str] = {}
    wrong = None
    idle: frozenset[int] = frozenset()
    for process in draft.processes:
        if process.role == "client":
            continue
        try:
            logs = _logs(process, execution)
            named = parser.computed_on(process.role, *logs)
            if process.role != "worker":
                idle |= parser.idle_workers(process.role, *logs)
        except Exception as error:  # noqa: BLE001 - what others write may raise anything
            return devices, unread(f"the log of the {process.role} on {process.node}", error)
        if process.gpu and named:
            devices[process.node] = named
        wrong = wrong or _elsewhere(process, named)
    workers = {process.node for process in draft.processes if process.role == "worker"}
    in_order = [node for node in nodes if node in workers]
    for node in (node for number, node in enumerate(in_order) if number in idle):
        devices.pop(node, None)
        wrong = wrong or (
            f"{node} got no layers to compute, so it took no part: give it some with the axis "
            "shares"
        )
    if draft.params.get("device") == "gpu" and not any(p.gpu for p in draft.processes):
        wrong = wrong or "none of its processes was started for a GPU"
    return devices, wrong


def _logs(process: ProcessRecord, execution: Execution) -> tuple[bytes, bytes]:
    """What a process wrote, from its beginning."""
    out, err = execution.beginnings.get(f"{process.node}.{process.role}", (b"", b""))
    if process.out_file:
        out += execution.logs[process.out_file]
    if process.err_file:
        err += execution.logs[process.err_file]
    return out, err


def _elsewhere(process: ProcessRecord, named: str | None) -> str | None:
    node, role = process.node, process.role
    if process.gpu and not named:
        return f"{node} was asked to compute on its GPU, but the log of its {role} names none"
    if named and not process.gpu:
        return (
            f"{node} was asked to compute on its CPU, but the log of its {role} names the GPU "
            f"{named}"
        )
    return None
