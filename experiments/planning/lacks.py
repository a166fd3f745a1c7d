"""What cells lack and can get: engines and models on nodes, published files on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from collect.workloads import Documents, Greedy
from experiments.engines import ENGINES, ON_NODES
from experiments.engines.base import Cell
from experiments.engines.common import below_models, model_spec, taking_part, unreadable
from experiments.engines.several import deployed_cells, obstacle
from experiments.fleet.cluster import Cluster, Gpu, Installation, Node
from experiments.links import links
from models.build import artifact_file_names
from models.fetch import is_fetched
from models.shape import Weights, stored_as


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """A model with one type of weights, for an engine."""

    engine: str
    model: str
    weights: Weights

    def files(self) -> set[str]:
        """Its files on a node, below the folder of models."""
        names = artifact_file_names(
            model_spec(self.model), ON_NODES[self.engine].format, self.weights
        )
        return set(map(below_models, names.values()))


@dataclass(frozen=True, slots=True)
class Lacks:
    """What is missing, and the names of the nodes that need it, in the cluster's order.

    Attributes:
        engines: engine to all nodes that need it, also those that have it: they need the same.
        models: model to all nodes that need its files.
        originals: models whose published files the reference implementation needs on this machine.
    """

    engines: dict[str, tuple[str, ...]]
    models: dict[Wanted, tuple[str, ...]]
    originals: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.engines or self.models or self.originals)


def lacks_of(cells: Iterable[Cell], cluster: Cluster) -> Lacks:
    """What cells lack that could run if they had it.

    Args:
        cells: of a matrix; those that ask APIs lack nothing.
        cluster: with its nodes' reports; those that are away are passed over.
    """
    engines: dict[str, set[str]] = {}
    models: dict[Wanted, set[str]] = {}
    originals: dict[str, None] = {}
    each = (one for cell in _worth_it(cells, cluster) for one in deployed_cells(cell, cluster))
    for cell in each:
        root, *_ = nodes = taking_part(cell, cluster)
        there = [node for node in nodes if node.away is None]
        all_read = ON_NODES[cell.engine].reads_model_on_every_node
        readers = [node for node in there if all_read or node is root]
        wanted = _wanted(cell)
        if _lack(cell, there):
            engines.setdefault(cell.engine, set()).update(node.name for node in there)
        if not all(wanted.files() <= node.model_sha256.keys() for node in readers):
            models.setdefault(wanted, set()).update(node.name for node in readers)
        if _lacks_original(cell):
            originals[cell.model] = None
    return Lacks(
        {engine: _in_order(names, cluster) for engine, names in engines.items()},
        {wanted: _in_order(names, cluster) for wanted, names in models.items()},
        tuple(originals),
    )


def _wanted(cell: Cell) -> Wanted:
    return Wanted(cell.engine, cell.model, stored_as(cell.weights))


def _worth_it(cells: Iterable[Cell], cluster: Cluster) -> Iterator[Cell]:
    """The cells that could run: nothing is installed or fetched for the others."""
    for cell in cells:
        if cell.endpoint is None and cell.nodes <= len(taking_part(cell, cluster)):
            obstacle = obstacle_beyond(cell, cluster)
            if obstacle is None or (_lacks_original(cell) and obstacle == unreadable(cell)):
                yield cell


def obstacle_beyond(cell: Cell, cluster: Cluster) -> str | None:
    """What keeps a cell from running even where its engine and model are, such as memory."""
    promised = _promised(cell, cluster)
    found = obstacle(ENGINES[cell.engine], cell, promised)
    return found or links.unavailable(cell, promised)


def _promised(cell: Cell, cluster: Cluster) -> Cluster:
    """The cluster as if the cell's engine and model were there."""
    files = dict.fromkeys(_wanted(cell).files(), "")
    nodes = (
        replace(_promised_gpu(node, cell.engine), model_sha256={**node.model_sha256, **files})
        for node in cluster.nodes
    )
    return replace(cluster, nodes=tuple(nodes))


def _promised_gpu(node: Node, engine: str) -> Node:
    """The node as if the engine were there, for its GPU where the inventory says so."""
    backend = node.engines[engine].gpu if engine in node.engines else None
    gpus = dict(node.gpus)
    if backend is None and node.herd_gpu in ON_NODES[engine].herd_gpu:
        backend = node.herd_gpu
        unknown = Gpu(backend, node.gpu_index, "", "other", 0, 0, "")
        gpus.setdefault(backend, unknown)
    installed = Installation(engine, installed=True, gpu=backend)
    return replace(node, engines={**node.engines, engine: installed}, gpus=gpus)


def _lack(cell: Cell, nodes: Sequence[Node]) -> bool:
    """Whether nodes need the engine of a cell: it is missing, outdated, or not the same on all.

    In a cell on GPUs also where the inventory gives the node one that the engine was not built for.
    """
    engine = cell.engine
    if any(_lacks_gpu(cell, node) for node in nodes):
        return True
    there = [node.engines[engine] for node in nodes if engine in node.engines]
    is_whole = len(there) == len(nodes) and all(
        one.installed and not ON_NODES[engine].withheld(one) for one in there
    )
    return not is_whole or len({(one.version, one.protocol) for one in there}) > 1


def _lacks_gpu(cell: Cell, node: Node) -> bool:
    installed = node.engines.get(cell.engine)
    is_asked = cell.device == "gpu" and node.herd_gpu in ON_NODES[cell.engine].herd_gpu
    return is_asked and installed is not None and installed.gpu is None


def _lacks_original(cell: Cell) -> bool:
    """Whether the reference needs files of the model's publisher that are not here."""
    spec = model_spec(cell.model)
    is_compared = isinstance(cell.workload, Greedy | Documents) and spec.format != "dllama"
    return is_compared and not is_fetched(spec)


def _in_order(names: Collection[str], cluster: Cluster) -> tuple[str, ...]:
    return tuple(node.name for node in cluster.nodes if node.name in names)
