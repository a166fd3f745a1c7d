"""What all engines check before they say that a cell can run, and the paths they share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice

from collect.attempt import ScoredRecord
from collect.workloads import Benchmark, Documents, Greedy, Perplexity, Questions
from core.errors import HerdError
from core.paths import MODELS_FOLDER, PROJECT_FOLDER
from experiments.engines.base import EACH, EACH_ROOT, Cell
from experiments.fleet.cluster import CLUSTER, Backend, Cluster, Gpu, Node
from experiments.fleet.commands import python_module
from models.catalogue import ModelSpec, load_catalogue
from models.encoder import Encoder
from models.fetch import is_fetched, read_fetched
from models.memory import MemoryNeed, NodeMemory
from models.splitter import Splitter


@cache
def model_spec(name: str) -> ModelSpec:
    """A model of the catalogue, which is read once: deploying happens in every trial.

    Raises:
        HerdError: no such model.
    """
    return load_catalogue().get(name)


def taking_part(cell: Cell, cluster: Cluster) -> tuple[Node, ...]:
    """The nodes of a cell, root first: those that it names, else the first ones of its group.

    Fewer than it asks for where the group has fewer; none of an API.
    """
    nodes = (n for n in cluster.nodes if cell.group == CLUSTER or cell.group in n.groups)
    if not cell.on:
        return tuple(islice(nodes, cell.nodes))
    by_name = {node.name: node for node in nodes}
    return tuple(by_name[name] for name in cell.on if name in by_name)


def gpu_of(cell: Cell, node: Node) -> Gpu | None:
    """The GPU on which a node computes in a cell; None where its CPU does."""
    if cell.device == "cpu" or cell.engine not in node.engines:
        return None
    backend = node.engines[cell.engine].gpu
    gpu = node.gpus.get(backend) if backend else None
    return gpu if gpu and gpu.reason is None else None


def backend_of(cell: Cell, node: Node) -> Backend | None:
    """The interface by which a node computes on its GPU in a cell; None where its CPU does."""
    gpu = gpu_of(cell, node)
    return gpu.backend if gpu else None


def memory_mib(cell: Cell, node: Node) -> int:
    """Memory of what computes on a node, free or not: its GPU's, or its RAM; 0 if unknown."""
    gpu = gpu_of(cell, node)
    return gpu.memory_mib if gpu else node.memory_mib


def memory_by_device(
    cell: Cell, nodes: Sequence[Node], on_cpu: MemoryNeed, aside: MemoryNeed, on_gpu: MemoryNeed
) -> tuple[NodeMemory, ...]:
    """What processes need on each node, by what computes there.

    Args:
        cell: what is to run.
        nodes: of the cell, root first.
        on_cpu: RAM where the CPU computes.
        aside: RAM where the GPU computes.
        on_gpu: memory of such a GPU; where it has none, it is RAM, too.
    """
    needs = []
    for index, node in enumerate(nodes):
        gpu = gpu_of(cell, node)
        if gpu is None:
            needs.append(NodeMemory(on_cpu.of(index)))
        else:
            taken = on_gpu.of(index) if gpu.has_no_memory else 0
            needs.append(NodeMemory(aside.of(index) + taken, on_gpu.of(index)))
    return tuple(needs)


def program_for(path: str, backend: Backend | None) -> str:
    """The path of a program as it is built for that interface; that of the CPU's for None."""
    return f"{path}-{backend}" if backend else path


def threads(cell: Cell, node: Node) -> int:
    """Threads of a process on a node: the axis; the node's cores at 0, or without such an axis."""
    return int(cell.params.get("threads", 0)) or max(1, node.cores)


def thread_counts(cell: Cell, nodes: Sequence[Node]) -> tuple[int, ...]:
    """Numbers of threads that may be faster than all cores (0) on these nodes: fewer.

    One core less leaves one to the network; half of them may be all that are real, or that the
    memory can feed; where nodes differ, as many as the smallest has.
    """
    cores = [node.cores for node in nodes if node.cores and gpu_of(cell, node) is None]
    if not cores:
        return ()
    fewest, most = min(cores), max(cores)
    counts = {fewest - 1, fewest // 2, 1, *([fewest] if fewest < most else [])}
    return tuple(sorted((count for count in counts if 0 < count < most), reverse=True))


def differ_in_memory(cell: Cell, nodes: Sequence[Node]) -> bool:
    """Whether what computes on one of these nodes has a tenth more memory than on another."""
    sizes = [memory_mib(cell, node) for node in nodes]
    return bool(sizes) and max(sizes) * 10 > min(sizes) * 11


def beyond_context(cell: Cell, tokens: int, context: int) -> str | None:
    """That so many tokens are more than the context holds, one sentence; None if they fit."""
    if tokens <= context:
        return None
    if isinstance(cell.workload, Documents):
        return (
            f"{cell.model} has a context of {context} tokens here, but a document has {tokens}: "
            "request fewer `characters` of each in the matrix"
        )
    return f"{cell.model} has a context of {context} tokens here, but {tokens} are requested"


@cache
def encoder(model: str) -> Encoder:
    """What splits texts into a model's tokens.

    Raises:
        HerdError: the model was not fetched, or its vocabulary is of a kind that is not read.
    """
    return Encoder(read_fetched(model_spec(model)).tokenizer)


@cache
def splitter(model: str) -> Splitter:
    """What splits documents into a model's tokens, of either kind of vocabulary.

    Raises:
        HerdError: the model was not fetched.
    """
    return Splitter(read_fetched(model_spec(model)).tokenizer)


def scored_text(cell: Cell) -> str | None:
    """The text that a trial scores token by token; None if it does something else."""
    workload = cell.workload
    if isinstance(workload, Documents):
        return workload.part(cell.repeat).text
    if isinstance(workload, Greedy) and workload.prompt(cell.repeat) is None:
        return workload.text
    return None


def scored_ids(cell: Cell, text: str) -> tuple[int, ...]:
    """The tokens of a text that a cell scores."""
    if isinstance(cell.workload, Documents):
        return splitter(cell.model).encode(text)
    return encoder(cell.model).encode(text)


def scored_record(cell: Cell) -> ScoredRecord | None:
    """What of a document gets a probability; None if the trial scores none."""
    workload = cell.workload
    if not isinstance(workload, Documents):
        return None
    part, found = workload.part(cell.repeat), splitter(cell.model)
    return ScoredRecord(
        document=part.document,
        part=part.part,
        tokens=len(found.encode(part.text)) - 1,
        size=len(part.text.encode()) - found.unscored_bytes(part.text),
    )


def space_before(cell: Cell) -> str:
    """A space where the model's vocabulary wants one before a text, and the engine puts none."""
    if isinstance(cell.workload, Documents):
        return " " if splitter(cell.model).adds_space else ""
    return " " if encoder(cell.model).adds_space else ""


def expected_samples(cell: Cell) -> int:
    """Measured values in a whole log: generated tokens, one perplexity, or answers."""
    workload = cell.workload
    if isinstance(workload, Questions):
        return len(workload.asked)
    if isinstance(workload, Benchmark):
        return workload.generate_tokens
    if isinstance(workload, Greedy) and (prompt := workload.prompt(cell.repeat)) is not None:
        return workload.positions - len(encoder(cell.model).encode(prompt)) + 1
    return 1


def positions(workload: Greedy, model: str) -> int:
    """Places in the context that a greedy workload needs.

    While its text cannot be split here, these are as many as it states; `unreadable` says why.
    """
    if _unsplittable(model):
        return workload.positions
    return max(workload.positions, len(encoder(model).encode(workload.text)))


def tokens(cell: Cell) -> int:
    """Tokens of the longest sequence of a cell; 0 where only the engine's tokeniser knows."""
    workload = cell.workload
    if isinstance(workload, Greedy):
        return positions(workload, cell.model)
    if isinstance(workload, Documents):
        return _longest_document(workload, cell.model)
    if isinstance(workload, Benchmark):
        return workload.prompt_tokens + workload.generate_tokens
    return workload.max_tokens if isinstance(workload, Questions) else 0


def _longest_document(workload: Documents, model: str) -> int:
    """Tokens of the longest part; 0 while texts cannot be split here (`unreadable` says why)."""
    if _unsplittable(model, of_documents=True):
        return 0
    return max(len(splitter(model).encode(part.text)) for part in workload.scored)


def unreadable(cell: Cell) -> str | None:
    """Why the model's vocabulary cannot be read here; None if it can, or need not."""
    if isinstance(cell.workload, Documents):
        return _unsplittable(cell.model, of_documents=True)
    return _unsplittable(cell.model) if isinstance(cell.workload, Greedy) else None


def _unsplittable(model: str, *, of_documents: bool = False) -> str | None:
    """Why texts cannot be split for a model; nothing is fetched for the answer."""
    spec = model_spec(model)
    if spec.format == "dllama":
        reader = "this machine" if of_documents else "the reference"
        return f"{reader} cannot read {spec.name}, which is published in distributed-llama's format"
    if not is_fetched(spec):
        return (
            f"the published files of {spec.name}, whose vocabulary splits the text, are not on "
            f"this machine: run `{python_module('models', 'fetch', spec.name)}`"
        )
    try:
        (splitter if of_documents else encoder)(model)
    except HerdError as error:
        return str(error).rstrip(".")
    return None


def too_few_nodes(cell: Cell, cluster: Cluster) -> str | None:
    """That a cell's group lacks nodes, one sentence; None if it has what the cell takes."""
    there = [node.name for node in taking_part(cell, cluster)]
    if cell.nodes <= len(there):
        return None
    group = "the cluster" if cell.group == CLUSTER else f"the group {cell.group}"
    if cell.on and not set(cell.on) <= {EACH, EACH_ROOT}:
        lacking = ", ".join(name for name in cell.on if name not in there)
        return f"it needs {lacking}, but of its nodes {group} has {', '.join(there) or 'none'}"
    plural = "node" if cell.nodes == 1 else "nodes"
    return f"it needs {cell.nodes} {plural}, but {group} has {len(there)}"


def missing(
    cell: Cell,
    cluster: Cluster,
    needs: Sequence[NodeMemory],
    files: Iterable[str],
    less_memory: str = "",
) -> str | None:
    """What the cell lacks on that cluster, one sentence; None if nothing is missing.

    Nothing is known about absent nodes; the planner makes the cell wait for them.

    Args:
        cell: what is to run.
        cluster: where.
        needs: memory that its processes need on each of its nodes, root first.
        files: model files that the root needs, absolute paths on the node.
        less_memory: how the cell would need less memory, if it can.
    """
    root, *_ = nodes = taking_part(cell, cluster)
    there = tuple(node for node in nodes if node.away is None)
    return (
        _not_installed(cell.engine, there)
        # Before its model is fetched for nothing.
        or _lacking_memory(nodes, needs, less_memory)
        or (_absent_file(root, files) if root.away is None else None)
    )


def absent_elsewhere(cell: Cell, cluster: Cluster, files: Iterable[str]) -> str | None:
    """Which node lacks the model, of an engine that reads it on every node; None if none does."""
    wanted = set(map(below_models, files))
    for node in taking_part(cell, cluster):
        if node.away is None and not wanted <= set(node.model_sha256):
            return (
                f"{cell.model} is not on {node.name}, and a server of {cell.engine} reads its "
                "layers itself"
            )
    return None


def _not_installed(engine: str, nodes: tuple[Node, ...]) -> str | None:
    for node in nodes:
        installation = node.engines.get(engine)
        if installation is None:
            return f"{engine} is not installed on {node.name}"
        if not installation.installed:
            return f"{engine} is not installed on {node.name}: {installation.reason}"
    versions = {
        (node.engines[engine].version, node.engines[engine].protocol): node.name for node in nodes
    }
    if len(versions) > 1:
        told = ", ".join(f"{name} has {version[0]}" for version, name in versions.items())
        return f"{engine} has different versions on the nodes ({told})"
    return None


def _absent_file(root: Node, files: Iterable[str]) -> str | None:
    for name in files:
        if below_models(name) not in root.model_sha256:
            return f"{below_models(name)} is not on {root.name}"
    return None


def _lacking_memory(
    nodes: Sequence[Node], needs: Sequence[NodeMemory], less_memory: str
) -> str | None:
    """Return which node has too little memory, one sentence; None if none is known to."""
    for node, need in zip(nodes, needs, strict=True):
        free_mib = node.available_mib or node.memory_mib
        if node.away is None and free_mib and need.ram_mib > free_mib:
            return (
                f"{node.name} has {free_mib} MiB of memory free but would need about "
                f"{need.ram_mib} MiB{less_memory and f': {less_memory}'}"
            )
    return None


def identity(cell: Cell, nodes: tuple[Node, ...], files: Iterable[str]) -> dict[str, str]:
    """Hashes of all programs on all nodes that take part, and of the model's files.

    Programs are built for each CPU model, so nodes may differ.
    """
    programs = [
        sorted(dict(node.engines[cell.engine].binary_sha256).items())
        for node in nodes
        if cell.engine in node.engines
    ]
    held = nodes[0].model_sha256 if nodes else {}
    model: Mapping[str, str | None] = {
        name: held.get(name) for name in sorted(map(below_models, files))
    }
    return {"programs": _digest(programs), "model": _digest(model)}


def below_models(path: str) -> str:
    """A path on a node as it is below the folder of models."""
    return path.removeprefix(f"{MODELS_FOLDER}/")


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()


def perplexity_text(workload: Perplexity) -> str:
    """The text of a perplexity workload, cut to its number of characters, on one line.

    Raises:
        HerdError: the file is missing, not UTF-8, or shorter than asked for.
    """
    path = PROJECT_FOLDER / workload.text
    try:
        text = " ".join(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise HerdError(f"Reading the text for perplexity, {workload.text}: {error}.") from None
    if len(text) < workload.characters:
        raise HerdError(
            f"The text for perplexity, {workload.text}, has {len(text)} characters, but the "
            f"matrix requests {workload.characters}: give a longer text or a smaller "
            "`characters`."
        )
    return text[: workload.characters]
