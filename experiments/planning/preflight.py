"""What is known before anything runs: sizes of files, numbers of nodes, memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from core.errors import HerdError
from experiments.engines import ON_NODES
from experiments.engines.base import Cell
from experiments.engines.common import model_spec, taking_part
from experiments.engines.gpu_checks import gpus_in
from experiments.engines.openai import is_replayed
from experiments.engines.several import deployed_cells
from experiments.fleet.cluster import CONTROLLER, Cluster, Gpu, Node
from models.build import expected_size_bytes, weights_of
from models.memory import NodeMemory
from models.shape import stored_as

_MIB = 1024 * 1024
_LONGEST_LIST = 3
"""Numbers of nodes without a gap that are listed one by one."""


def describe_models(cells: Iterable[Cell]) -> list[str]:
    """A line for each model and type of weights: its files, and how many nodes can share it."""
    on_nodes = [cell for cell in cells if cell.endpoint is None]
    asked = dict.fromkeys((cell.engine, cell.model, stored_as(cell.weights)) for cell in on_nodes)
    lines = []
    for name, model, weights in asked:
        engine, spec = ON_NODES[name], model_spec(model)
        if weights in weights_of(spec, engine.format):
            size_mib = expected_size_bytes(spec, engine.format, weights) / _MIB
            counts = _counts(engine.node_counts(spec, weights))
            lines.append(f"  {model} {weights}, {name}: file of {size_mib:.0f} MiB, {counts}")
    return lines


def describe_memory(cells: Iterable[Cell], cluster: Cluster) -> list[str]:
    """A line for each cell: what its processes need, and what the fullest node has free.

    In a cell on GPUs, also each GPU and what is free of its memory.
    """
    lines: dict[str, None] = {}
    for cell in (one for whole in cells for one in deployed_cells(whole, cluster)):
        nodes = taking_part(cell, cluster)
        if cell.endpoint is not None or cell.nodes > len(nodes):
            continue
        needs = _needs(cell, nodes)
        root, *others = nodes
        words = [f"root {needs[root.name].ram_mib} / {_free(root)}"]
        if others:
            fullest = min(others, key=lambda node: _spare(node, needs[node.name]))
            words.append(f"worker {needs[fullest.name].ram_mib} / {_free(fullest)}")
        words += [
            f"GPU {needs[name].gpu_mib} / {_described(gpu)} ({name})"
            for name, gpu in gpus_in(cell, cluster).items()
        ]
        context = f" context {cell.params['context']}" if cell.params.get("context") else ""
        what = f"{cell.engine} {cell.model} {cell.weights}{context}"
        plural = "node" if cell.nodes == 1 else "nodes"
        lines[f"  {what} on {cell.nodes} {plural}: {', '.join(words)}"] = None
    return list(lines)


def _needs(cell: Cell, nodes: Sequence[Node]) -> dict[str, NodeMemory]:
    """What a cell needs on each of its nodes, by name."""
    needs = ON_NODES[cell.engine].memory_on(cell, nodes)
    return {node.name: need for node, need in zip(nodes, needs, strict=True)}


def _spare(node: Node, need: NodeMemory) -> int:
    """What is left of a node's memory."""
    return (node.available_mib or node.memory_mib) - need.ram_mib


def _counts(counts: Sequence[int]) -> str:
    if not counts:
        return "on no number of nodes"
    if len(counts) > _LONGEST_LIST and list(counts) == list(range(1, len(counts) + 1)):
        return f"on any number of nodes up to {counts[-1]}"
    *most, last = map(str, counts)
    return f"on {', '.join(most)} or {last} nodes" if most else f"on {last} node alone"


def _described(gpu: Gpu) -> str:
    """What is free of a GPU's memory, and its name; software is called so."""
    free = gpu.free_mib if gpu.memory_mib else "unknown"
    return f"{free} of {gpu.name}{', software' if gpu.is_software else ''}"


def _free(node: Node) -> str:
    free_mib = node.available_mib or node.memory_mib
    return f"{free_mib} ({node.name})" if free_mib else f"unknown ({node.name})"


def check_controller(cells: Iterable[Cell], cluster: Cluster) -> None:
    """See whether this machine can ask the APIs of these cells.

    Raises:
        HerdError: a key is missing, or a node has the name under which this machine is recorded.
    """
    asked = [cell for cell in cells if cell.endpoint is not None]
    if asked and any(node.name == CONTROLLER.name for node in cluster.nodes):
        raise HerdError(
            f"Reading the inventory: a node is called {CONTROLLER.name}, as this machine is in the "
            "record of what it asks APIs. Give the node another name."
        )
    for cell in asked:
        variable = cell.endpoint.key_env if cell.endpoint else None
        if variable and not is_replayed(cell) and not os.environ.get(variable, "").strip():
            raise HerdError(
                f"Asking {cell.params['system']}: its key must be in the environment variable "
                f"{variable}, which is not set. To keep it out of the shell's history: "
                f"read -rs {variable} && export {variable}"
            )
