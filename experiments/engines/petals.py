"""Petals: a private swarm, a server of whole layers on every node and the client on the root.

The programs are llama-herd's own around Petals (`roles/petals/files/programs`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate

from collect.workloads import Benchmark, Documents, Greedy, Perplexity, Questions
from core.paths import ENGINES_FOLDER
from core.record import Scalar
from experiments.engines import chat_server as asking
from experiments.engines import common
from experiments.engines.base import Axis, Cell, Deployment, Process
from experiments.engines.counted_layers import COUNTS, counted, miscounted
from experiments.engines.engine import NodeEngine
from experiments.engines.petals_prompts import (
    ADAPTER,
    adapter_arguments,
    adapter_identity,
    prompt_tokens,
    unadaptable,
)
from experiments.fleet.cluster import Cluster, Node
from models.catalogue import ModelSpec
from models.limits import MOST_NODES
from models.memory import F32_BYTES, MIB, MemoryNeed, NodeMemory, layers_bytes
from models.shape import ModelShape, Weights, packed_bytes, share_layers, stored_as

PORT = 9995
PROGRAMS = f"{ENGINES_FOLDER}/petals/bin/petals-"
SERVES = "Ready for questions"
STARTED = "[INFO] Started"
"""In the line that a server logs when it has announced itself to the swarm."""
LONGEST_STEP_MS = 1e9
SERVER_BYTES = 720 * MIB
CLIENT_BYTES = 480 * MIB
"""Python with PyTorch in all processes of each, measured on stories15m less its weights."""
CUDA_BYTES = 640 * MIB
"""CUDA's context and its libraries' own memory on a GPU: an estimate, not measured."""
READY_S = 300.0
"""Python reads half a gigabyte of libraries, from an SD card perhaps."""


class Petals(NodeEngine):
    """Servers that hold spans of layers; the client has both ends of the model."""

    name = "petals"
    about = "a private swarm: a server of whole layers on every node, the client on the root"
    format = "huggingface"
    ports = ("9990-9999",)
    workloads = ("benchmark", "perplexity", "questions", "greedy", "documents")
    devices = ("cpu", "gpu")
    made_weights = ("int8", "nf4")
    options = (
        *("--blocks", "--chat-template", "--device", "--first", "--generate", "--host"),
        *("--listen", "--method", "--model", "--name", "--port", "--positions"),
        *("--prompt-tokens", "--prompts", "--seed", "--swarm", "--threads", "--tokens"),
        "--weights",
    )
    texts = ("--adapter", "--batch", "--held-out", "--prompt", "--state")
    reads_model_on_every_node = True
    wish = "herd_petals"
    herd_gpu = ("cuda",)
    axes = (
        Axis("spans", str, default="even", values=("even", "memory"), form=COUNTS),
        Axis("threads", int, default=0),
        ADAPTER,
    )

    def limits(self, cell: Cell, cluster: Cluster) -> str | None:
        """Models that upstream cannot serve, layers that do not add up, addresses of nodes."""
        spec = common.model_spec(cell.model)
        return (
            unserved(spec)
            or _too_few_layers(cell, spec)
            or _not_made(cell, cluster)
            or miscounted(cell, "spans", _plain(spec).shape.layers)
            or unadaptable(cell)
            or _forwarded(cell, cluster)
        )

    def identity(self, cell: Cell, cluster: Cluster) -> Mapping[str, str]:
        """The same as of every engine, and the hash of the prompts that the client is given."""
        return {**super().identity(cell, cluster), **adapter_identity(cell)}

    def node_counts(self, spec: ModelSpec, weights: Weights) -> Sequence[int]:  # noqa: ARG002 - the seam's signature
        """One node for each layer at most."""
        return range(1, min(MOST_NODES, _plain(spec).shape.layers) + 1)

    def candidates(self, cell: Cell, nodes: Sequence[Node]) -> Mapping[str, Sequence[Scalar]]:
        """Threads; spans by memory only where nodes differ in it."""
        by_memory = ["memory"] if common.differ_in_memory(cell, nodes) else []
        return {"spans": ("even", *by_memory), "threads": common.thread_counts(cell, nodes)}

    def tokens(self, cell: Cell) -> int:
        """Tokens that a session needs room for."""
        return _room(cell, common.model_spec(cell.model))

    def memory(self, cell: Cell) -> MemoryNeed:
        """An estimate: Python and PyTorch in several processes, layers, KV cache."""
        spec = common.model_spec(cell.model)
        shape, told = _plain(spec).shape, counted(cell, "spans")
        # As if all had about as much as the one that has most.
        nodes = max(1, shape.layers // max(told)) if told else cell.nodes
        return memory_need(shape, cell.weights, nodes, _room(cell, spec))

    def memory_on(self, cell: Cell, nodes: Sequence[Node]) -> tuple[NodeMemory, ...]:
        """The same, but where a GPU has the layers they pass through RAM one by one."""
        spec, on_cpu = common.model_spec(cell.model), self.memory(cell)
        shape, room = _plain(spec).shape, _room(cell, spec)
        aside = memory_need(shape, stored_as(cell.weights), shape.layers, room)
        gpu_bytes = on_cpu.worker_bytes - SERVER_BYTES + CUDA_BYTES
        on_gpu = MemoryNeed(root_bytes=gpu_bytes, worker_bytes=gpu_bytes)
        return common.memory_by_device(cell, nodes, on_cpu, aside, on_gpu)

    def deploy(self, cell: Cell, cluster: Cluster) -> Deployment:
        """A server on every node, the client on the first."""
        nodes = common.taking_part(cell, cluster)
        spec = common.model_spec(cell.model)
        ends = spans(cell, nodes, spec.shape.layers)
        starts = (0, *ends[:-1])
        workers = tuple(
            _server(cell, node, nodes[0], start, end)
            for node, start, end in zip(nodes, starts, ends, strict=True)
        )
        workload = cell.workload
        if isinstance(workload, Questions):
            server = asking.server_process(cell, nodes[0], _api(cell, workload, nodes[0]), SERVES)
            return asking.chat_deployment(cell, workload, workers, server)
        return Deployment(
            workers=workers,
            root=Process(node=nodes[0], role="root", argv=_client(cell, nodes[0])),
            expected_samples=common.expected_samples(cell),
            deadline_s=cell.deadline_s,
            scored=common.scored_record(cell),
        )

    def live_rate(self, tail: str) -> float | None:
        """Tokens per second over the last lines of the client's output."""
        steps_ms = []
        for line in tail.splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and record.get("phase") == "prediction":
                step_ms = record.get("total_ms")
                if isinstance(step_ms, int | float) and 0 < step_ms < LONGEST_STEP_MS:
                    steps_ms.append(step_ms)
        return 1000 * len(steps_ms) / sum(steps_ms) if sum(steps_ms) else None


def memory_need(shape: ModelShape, weights: Weights, nodes: int, context: int) -> MemoryNeed:
    """Estimate it: a server on each node, on the root also the client with both ends."""
    worker = SERVER_BYTES + layers_bytes(shape, weights, nodes, context)
    ends = 2 * packed_bytes(shape.vocab * shape.dim, stored_as(weights))
    ends += F32_BYTES * context * shape.vocab
    return MemoryNeed(root_bytes=worker + CLIENT_BYTES + ends, worker_bytes=worker)


def spans(cell: Cell, nodes: Sequence[Node], layers: int) -> tuple[int, ...]:
    """The layer after the last one of each node's server.

    Even: counts differ by one at most. By memory: in proportion to that of the node, or of its GPU
    where this computes, one layer at least. Otherwise explicit, such as `4-2`.
    """
    if told := counted(cell, "spans"):
        return tuple(accumulate(told))
    by_memory = cell.params["spans"] == "memory"
    shares = [common.memory_mib(cell, node) if by_memory else 1 for node in nodes]
    if not all(shares):
        shares = [1] * len(nodes)
    return tuple(accumulate(share_layers(layers, shares)))


def _plain(spec: ModelSpec) -> ModelSpec:
    """Return the model without the zero-padded heads that only distributed-llama needs."""
    return spec.unpadded or spec


def unserved(spec: ModelSpec) -> str | None:
    """Why Petals cannot serve a model, one sentence; None if it can."""
    shape = _plain(spec).shape
    if shape.architecture != "llama":
        return f"petals 2.2.0 has no {shape.architecture} models"
    if shape.rope_scaling is not None or shape.head_dim * shape.heads != shape.dim:
        return (
            f"petals 2.2.0 supports LLaMA only before version 3.1, but {spec.name} has another "
            "head size or scales its positions"
        )
    return None


def _too_few_layers(cell: Cell, spec: ModelSpec) -> str | None:
    layers = _plain(spec).shape.layers
    if cell.nodes > layers:
        return f"{cell.model} has {layers} layers, too few for servers on {cell.nodes} nodes"
    return None


def _not_made(cell: Cell, cluster: Cluster) -> str | None:
    """Why weights cannot be made while the model is loaded, one sentence; None if they can."""
    if cell.weights not in ENGINE.made_weights:
        return None
    if isinstance(cell.workload, Greedy):
        return f"the reference implementation does not compute with {cell.weights} weights"
    if cell.device == "cpu":
        return f"{cell.weights} weights are made on GPUs only: set `device: [gpu]`"
    for node in common.taking_part(cell, cluster):
        if node.away is None and common.gpu_of(cell, node) is None:
            return (
                f"{cell.weights} weights are made on GPUs only, and petals computes on the CPU of "
                f"{node.name}"
            )
    return None


def _forwarded(cell: Cell, cluster: Cluster) -> str | None:
    """Return the first node without its own address to listen on."""
    for node in common.taking_part(cell, cluster):
        if node.forwarded_from:
            return (
                f"{node.name} is reached through another machine (`herd_forwarded_from`), but a "
                "petals server needs its own address"
            )
    return None


def _server(cell: Cell, node: Node, first: Node, start: int, end: int) -> Process:
    spec, backend = common.model_spec(cell.model), common.backend_of(cell, node)
    argv = (
        f"{PROGRAMS}server",
        *_swarm(cell, first),
        "--blocks",
        f"{start}:{end}",
        "--listen",
        _listen(node),
        "--name",
        node.name,
        "--tokens",
        str(_room(cell, spec)),
        *_threads(cell, node),
        "--device",
        backend or "cpu",
        *(("--weights", cell.weights) if cell.weights in ENGINE.made_weights else ()),
    )
    return Process(
        node=node,
        role="worker",
        argv=argv,
        listen_port=PORT,
        ready_line=STARTED,
        ready_s=min(READY_S, cell.deadline_s),
        gpu=backend,
    )


def swarm_program(name: str, cell: Cell, root: Node) -> tuple[str, ...]:
    """The command line of one of our programs on the root: which swarm it asks."""
    return (f"{PROGRAMS}{name}", *_swarm(cell, root), *_threads(cell, root))


def _client(cell: Cell, root: Node) -> tuple[str, ...]:
    return (*swarm_program("client", cell, root), *adapter_arguments(cell), *_mode(cell))


def _api(cell: Cell, workload: Questions, root: Node) -> tuple[str, ...]:
    named = workload.chat_template
    return (
        *swarm_program("api", cell, root),
        "--host",
        asking.HOST,
        "--port",
        str(asking.PORT),
        *(() if named == "model" else ("--chat-template", named)),
        *adapter_arguments(cell),
    )


def _threads(cell: Cell, node: Node) -> tuple[str, str]:
    return "--threads", str(common.threads(cell, node))


def _mode(cell: Cell) -> tuple[str, ...]:
    workload = cell.workload
    if isinstance(workload, Perplexity):
        return ("perplexity", "--prompt", common.perplexity_text(workload))
    if (text := common.scored_text(cell)) is not None:
        return ("perplexity", "--prompt", text)
    if isinstance(workload, Greedy):
        prompt = workload.prompts[cell.repeat - 1]
        return ("continue", "--prompt", prompt, "--positions", str(workload.positions))
    assert isinstance(workload, Benchmark)  # noqa: S101 - `check` let nothing else pass
    counts = ("--prompt-tokens", str(workload.prompt_tokens), "--generate")
    return ("benchmark", *counts, str(workload.generate_tokens))


def _swarm(cell: Cell, first: Node) -> tuple[str, ...]:
    """Which model, and where the swarm is found."""
    folder = ENGINE.files(cell)[0].rpartition("/")[0]
    return ("--model", folder, "--swarm", "herd", "--first", _listen(first))


def _listen(node: Node) -> str:
    return f"{node.engine_address}:{PORT}"


def _room(cell: Cell, spec: ModelSpec) -> int:
    """Tokens that a session needs room for, with trained prompts before the text."""
    workload, before = cell.workload, prompt_tokens(cell)
    if isinstance(workload, Benchmark):
        return before + workload.prompt_tokens + workload.generate_tokens
    if isinstance(workload, Greedy):
        return common.positions(workload, cell.model)
    if isinstance(workload, Documents):
        return before + max(1, common.tokens(cell))
    context = spec.shape.context
    if isinstance(workload, Questions):
        longest = before + asking.longest_tokens(workload)
        return max(before + workload.max_tokens, min(longest, context))
    return context


ENGINE = Petals()
