"""Whether the nodes of a cell can compute on their GPUs, and which of them do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.engines.base import Cell
from experiments.engines.common import gpu_of, taking_part
from experiments.fleet import commands
from experiments.fleet.cluster import Cluster, Gpu, Node
from models.memory import NodeMemory

if TYPE_CHECKING:
    from experiments.engines.engine import NodeEngine


def gpus_in(cell: Cell, cluster: Cluster) -> dict[str, Gpu]:
    """The GPUs on which a cell computes, by the name of the node."""
    found = ((node.name, gpu_of(cell, node)) for node in taking_part(cell, cluster))
    return {name: gpu for name, gpu in found if gpu is not None}


def gpu_words(cell: Cell, cluster: Cluster) -> list[str]:
    """The nodes that compute on their GPU; one whose GPU is software is called so."""
    return [
        f"{name} (software)" if gpu.is_software else name
        for name, gpu in gpus_in(cell, cluster).items()
    ]


def other_device(cell: Cell, engine: NodeEngine) -> str | None:
    """That an engine does not compute on what the cell asks for, one sentence; None if it does."""
    if cell.device in engine.devices:
        return None
    return f"{engine.name} has no device {cell.device}, only {', '.join(engine.devices)}"


def gpu_missing(
    cell: Cell,
    cluster: Cluster,
    engine: NodeEngine,
    needs: Sequence[NodeMemory],
    less_memory: str,
) -> str | None:
    """What keeps the GPUs of a cell from computing it, one sentence; None if nothing does.

    A node without a GPU computes on its CPU, as long as one of the nodes has a GPU. One that has a
    GPU by the inventory must use it. Nothing is known about nodes that are away.

    Args:
        cell: what is to run.
        cluster: where; its engine is installed there.
        engine: the cell's.
        needs: memory that its processes need on each of its nodes, root first.
        less_memory: how the cell would need less, if it can.
    """
    if cell.device != "gpu":
        return None
    nodes = taking_part(cell, cluster)
    there = [node for node in nodes if node.away is None]
    on_cpu = [node for node in there if node.engines[engine.name].gpu is None]
    broken = [
        f"the GPU of {node.name} cannot be used: {reason}"
        for node in there
        if node not in on_cpu and (reason := _why_broken(node, engine.name))
    ]
    is_without = len(on_cpu) + len(broken) == len(nodes)
    lacking = [node for node in on_cpu if is_without or node.herd_gpu in engine.herd_gpu]
    broken += _not_set_up(lacking, engine)
    return "; ".join(broken) or _too_small(cell, nodes, needs, less_memory)


def _why_broken(node: Node, engine: str) -> str | None:
    backend = node.engines[engine].gpu
    gpu = node.gpus.get(backend) if backend else None
    return gpu.reason if gpu else "the node does not describe it"


def _not_set_up(nodes: Sequence[Node], engine: NodeEngine) -> list[str]:
    """That nodes have no GPU set up, and how to set one up; nodes alike in one clause."""
    told: dict[str, list[str]] = {}
    for node in nodes:
        told.setdefault(_remedy(node, engine), []).append(node.name)
    return [
        f"no GPU is set up for {engine.name} on {', '.join(names)}: {remedy}"
        f"`{commands.provision(engine.slug, limit=names)}`"
        for remedy, names in told.items()
    ]


def _remedy(node: Node, engine: NodeEngine) -> str:
    """What to do before the command that installs, as the beginning of an instruction."""
    if node.herd_gpu in engine.herd_gpu:
        return f"the inventory says `herd_gpu: {node.herd_gpu}`, so run "
    lines = " or ".join(f"`herd_gpu: {backend}`" for backend in engine.herd_gpu)
    return f"if it has one, write {lines} for it in the inventory, then run "


def _too_small(
    cell: Cell, nodes: Sequence[Node], needs: Sequence[NodeMemory], less_memory: str
) -> str | None:
    """Return whose GPU has too little memory, one sentence; None if none is known to."""
    for node, need in zip(nodes, needs, strict=True):
        gpu = gpu_of(cell, node)
        if node.away is None and gpu and gpu.memory_mib and need.gpu_mib > gpu.free_mib:
            return (
                f"{node.name}'s GPU has {gpu.free_mib} MiB free but would need about "
                f"{need.gpu_mib} MiB{less_memory and f': {less_memory}'}"
            )
    return None
