"""What `fab plan` says before anything runs: sizes of files, numbers of nodes, memory."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.cluster import Cluster, Node
from experiments.engines import ENGINES
from experiments.engines.base import Cell
from experiments.engines.common import model_spec, taking_part
from models.build import Format, expected_size_bytes, weights_of
from models.limits import MOST_NODES, node_counts
from models.shape import Weights

_MIB = 1024 * 1024
_ENGINE_FORMATS: dict[str, Format] = {"distributed-llama": "dllama", "llama.cpp": "gguf"}


def describe_models(cells: Iterable[Cell]) -> list[str]:
    """A line for each model and type of weights: its files, and how many nodes can share it."""
    on_nodes = [cell for cell in cells if cell.endpoint is None]
    asked = dict.fromkeys((cell.engine, cell.model, cell.weights) for cell in on_nodes)
    lines = []
    for engine, model, weights in asked:
        file_format = _ENGINE_FORMATS.get(engine)
        if file_format and weights in weights_of(model_spec(model), file_format):
            size_mib = expected_size_bytes(model_spec(model), file_format, weights) / _MIB
            counts = _counts(engine, model, weights)
            lines.append(f"  {model} {weights}, {engine}: file of {size_mib:.0f} MiB, {counts}")
    return lines


def describe_memory(cells: Iterable[Cell], cluster: Cluster) -> list[str]:
    """A line for each cell: what its processes need, and what the fullest node has free."""
    lines: dict[str, None] = {}
    for cell in cells:
        if cell.endpoint is not None or cell.nodes > len(cluster.nodes):
            continue
        need = ENGINES[cell.engine].memory(cell)
        root, *others = taking_part(cell, cluster)
        words = [f"root {need.root_mib} of {_free(root)}"]
        if others:
            fullest = min(others, key=lambda node: node.available_mib or node.memory_mib)
            words.append(f"worker {need.worker_mib} of {_free(fullest)}")
        context = f" context {cell.params['context']}" if cell.params.get("context") else ""
        what = f"{cell.engine} {cell.model} {cell.weights}{context}"
        plural = "node" if cell.nodes == 1 else "nodes"
        lines[f"  {what} on {cell.nodes} {plural}: {', '.join(words)}"] = None
    return list(lines)


def _counts(engine: str, model: str, weights: Weights) -> str:
    if engine != "distributed-llama":
        return f"on any number of nodes up to {MOST_NODES}"
    counts = [str(count) for count in node_counts(model_spec(model).shape, weights)]
    if not counts:
        return "on no number of nodes"
    *most, last = counts
    return f"on {', '.join(most)} or {last} nodes" if most else f"on {last} node alone"


def _free(node: Node) -> str:
    free_mib = node.available_mib or node.memory_mib
    return f"{free_mib} ({node.name})" if free_mib else f"unknown ({node.name})"
