"""distributed-llama: tensor parallel over a root and its workers.

Facts of upstream (options, limits, ports): `src/app.cpp`, `src/dllama.cpp`, `src/llm.cpp` at
v0.16.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from collect.workloads import Benchmark, Documents, Greedy, Perplexity, Questions
from core.paths import ENGINES_FOLDER
from core.record import Scalar
from experiments.engines import chat_server as asking
from experiments.engines import common
from experiments.engines.base import Axis, Cell, Deployment, Process
from experiments.engines.engine import NodeEngine
from experiments.fleet.cluster import Cluster, Node
from models.catalogue import ModelSpec
from models.dllama_memory import dllama_need
from models.dllama_vulkan import vulkan_impossible, vulkan_need, vulkan_ram
from models.limits import dllama_impossible, node_counts, shareable_name
from models.memory import MemoryNeed, NodeMemory
from models.shape import Weights

WORKER_PORT = 9990
PROGRAM = f"{ENGINES_FOLDER}/distributed-llama/bin/dllama"
SERVER = f"{PROGRAM}-api"
SERVES = "Server URL:"
"""The last line that `dllama-api` logs before it takes questions; its port listens earlier."""
FIRST_GPU = "0"
"""A unit sees one GPU, whichever of the node's it is."""
LINE_BUFFERED = ("/usr/bin/stdbuf", "-oL")
"""Without it the end of a log is lost when a worker is stopped."""
LONG_CONTEXT = 4096
"""Beyond it the KV cache is much of the memory; upstream's own start scripts ask for it."""
BUFFER_TYPE: Mapping[str, str] = {"f32": "f32", "q4_0": "q80"}
"""Weights to the only type of exchanged activations that upstream runs them with."""

_PREDICTED = re.compile(r"^🔶 Pred {0,9}([0-9]{1,9}) ms Sync {0,9}([0-9]{1,9}) ms", re.MULTILINE)


class DistributedLlama(NodeEngine):
    """Root and workers, each with a slice of every layer."""

    name = "distributed-llama"
    about = "tensor parallel: every node computes its slice of each layer"
    page = "engines"
    format = "dllama"
    ports = ("9990-9999",)
    workloads = ("benchmark", "perplexity", "questions", "greedy", "documents")
    devices = ("cpu", "gpu")
    options = (
        *("--buffer-float-type", "--chat-template", "--gpu-index", "--host"),
        *("--max-seq-len", "--model", "--net-turbo", "--nthreads", "--port"),
        *("--seed", "--steps", "--temperature", "--tokenizer", "--workers"),
    )
    texts = ("--prompt",)
    chat_forms = ("llama2", "llama3", "deepseek3", "chatml")
    """What `dllama-api` knows; it ends where a template is of another form."""
    axes = (
        Axis("net_turbo", bool, default=True, values=(True, False)),
        Axis("threads", int, default=0),
        Axis("context", int, default=0),
    )

    def limits(self, cell: Cell, cluster: Cluster) -> str | None:
        """Nodes that cannot share the model, a context that it does not have, and GPUs' limits."""
        spec = common.model_spec(cell.model)
        return (
            _unshareable(cell, spec)
            or _beyond_model(cell, spec)
            or _beyond_shaders(cell, spec, cluster)
        )

    def node_counts(self, spec: ModelSpec, weights: Weights) -> Sequence[int]:
        """As its slices can be cut."""
        return node_counts(spec.shape, weights)

    def candidates(self, cell: Cell, nodes: Sequence[Node]) -> Mapping[str, Sequence[Scalar]]:
        """Polling of sockets, and threads; the type of the buffers follows from the weights."""
        return {"net_turbo": (True, False), "threads": common.thread_counts(cell, nodes)}

    def context(self, cell: Cell) -> int:
        """Tokens that there is room for: the axis, or the model's own where the axis says 0."""
        return int(cell.params["context"]) or super().context(cell)

    def less_memory(self, cell: Cell) -> str:
        """With a shorter context, where it is long."""
        context = self.context(cell)
        if context <= LONG_CONTEXT:
            return ""
        return f"an axis `context` below {context}, {LONG_CONTEXT} for one, needs less"

    def memory(self, cell: Cell) -> MemoryNeed:
        """What the engine allocates, with the KV cache at the cell's context."""
        shape = common.model_spec(cell.model).shape
        return dllama_need(shape, cell.weights, cell.nodes, self.context(cell))

    def memory_on(self, cell: Cell, nodes: Sequence[Node]) -> tuple[NodeMemory, ...]:
        """The same for each node that computes on its CPU; the others need it of their GPU."""
        shape = common.model_spec(cell.model).shape
        on_gpu = vulkan_need(shape, cell.weights, cell.nodes, self.context(cell))
        aside = vulkan_ram(shape, cell.weights, cell.nodes)
        return common.memory_by_device(cell, nodes, self.memory(cell), aside, on_gpu)

    def deploy(self, cell: Cell, cluster: Cluster) -> Deployment:
        """A worker on every node but the first; there the root, or `dllama-api` and the client."""
        root, *others = common.taking_part(cell, cluster)
        workers = tuple(_worker(cell, node) for node in others)
        workload = cell.workload
        if isinstance(workload, Questions):
            argv = _server_argv(cell, workload, root, others)
            server = asking.server_process(cell, root, argv, SERVES)
            server = replace(server, gpu=common.backend_of(cell, root))
            return asking.chat_deployment(cell, workload, workers, server)
        argv = _root_argv(cell, workload, root, others)
        return Deployment(
            workers=workers,
            root=Process(node=root, role="root", argv=argv, gpu=common.backend_of(cell, root)),
            expected_samples=common.expected_samples(cell),
            deadline_s=cell.deadline_s,
            scored=common.scored_record(cell),
        )

    def live_rate(self, tail: str) -> float | None:
        """Tokens per second over the last lines of the root's log."""
        tokens_ms = [int(pred) + int(sync) for pred, sync in _PREDICTED.findall(tail)]
        return 1000 * len(tokens_ms) / sum(tokens_ms) if sum(tokens_ms) else None


def _unshareable(cell: Cell, spec: ModelSpec) -> str | None:
    """Why the nodes cannot share the model, with the name of one that they can, if there is."""
    reason = dllama_impossible(spec.shape, cell.weights, cell.nodes)
    other = shareable_name(spec, cell.weights, cell.nodes) if reason else None
    remedy = (
        (f": name the model {other}, the same model with zero-padded heads added") if other else ""
    )
    return f"{reason}{remedy}" if reason else None


def _beyond_model(cell: Cell, spec: ModelSpec) -> str | None:
    if ENGINE.context(cell) > spec.shape.context:
        return (
            f"{cell.model} has a context of {spec.shape.context} tokens, but the axis `context` "
            f"requests {cell.params['context']}"
        )
    return None


def _beyond_shaders(cell: Cell, spec: ModelSpec, cluster: Cluster) -> str | None:
    """Why the GPU of a node cannot compute its part, one sentence; None if all can."""
    root, *_ = nodes = common.taking_part(cell, cluster)
    for node in nodes:
        if common.backend_of(cell, node) and (
            reason := vulkan_impossible(
                spec.shape, cell.weights, cell.nodes, ENGINE.context(cell), root=node is root
            )
        ):
            return f"the GPU of {node.name} cannot compute {cell.model}: {reason}"
    return None


def _computing(cell: Cell, node: Node) -> tuple[str, ...]:
    """On how many threads; or on which GPU, which upstream lets one thread serve."""
    if common.backend_of(cell, node) is None:
        return ("--nthreads", str(common.threads(cell, node)))
    return ("--nthreads", "1", "--gpu-index", FIRST_GPU)


def _program(path: str, cell: Cell, node: Node) -> tuple[str, ...]:
    return (*LINE_BUFFERED, common.program_for(path, common.backend_of(cell, node)))


def _worker(cell: Cell, node: Node) -> Process:
    argv = (
        *_program(PROGRAM, cell, node),
        "worker",
        "--host",
        node.listen_address,
        "--port",
        str(WORKER_PORT),
        *_computing(cell, node),
        "--net-turbo",
        _flag(cell),
    )
    return Process(
        node=node,
        role="worker",
        argv=argv,
        listen_port=WORKER_PORT,
        gpu=common.backend_of(cell, node),
    )


def _root_argv(
    cell: Cell,
    workload: Benchmark | Perplexity | Greedy | Documents,
    root: Node,
    others: list[Node],
) -> tuple[str, ...]:
    return (*_program(PROGRAM, cell, root), *_mode(cell, workload), *_model(cell, root, others))


def _server_argv(
    cell: Cell, workload: Questions, root: Node, others: list[Node]
) -> tuple[str, ...]:
    """`dllama-api`; it ignores the temperature of a request, so it gets that of the workload."""
    named = workload.chat_template
    return (
        *_program(SERVER, cell, root),
        "--host",
        asking.HOST,
        "--port",
        str(asking.PORT),
        "--temperature",
        str(workload.temperature),
        "--seed",
        str(workload.seed),
        *(() if named == "model" else ("--chat-template", named)),
        *_model(cell, root, others),
    )


def _model(cell: Cell, root: Node, others: list[Node]) -> tuple[str, ...]:
    """The model, how it is computed and by whom."""
    model_file, tokenizer_file = ENGINE.files(cell)
    workers = [f"{node.engine_address}:{WORKER_PORT}" for node in others]
    return (
        "--model",
        model_file,
        "--tokenizer",
        tokenizer_file,
        "--buffer-float-type",
        BUFFER_TYPE[cell.weights],
        *_computing(cell, root),
        "--max-seq-len",
        str(ENGINE.context(cell)),
        "--net-turbo",
        _flag(cell),
        *(("--workers", *workers) if workers else ()),
    )


def _mode(cell: Cell, workload: Benchmark | Perplexity | Greedy | Documents) -> tuple[str, ...]:
    if isinstance(workload, Perplexity):
        return ("perplexity", "--prompt", common.perplexity_text(workload))
    # Upstream puts no space before a text, and LLaMA's vocabulary wants one.
    if (text := common.scored_text(cell)) is not None:
        return ("perplexity", "--prompt", common.space_before(cell) + text)
    if isinstance(workload, Greedy):
        prompt = workload.prompts[cell.repeat - 1]
        return _inference(common.space_before(cell) + prompt, workload.positions)
    assert isinstance(workload, Benchmark)  # noqa: S101 - `check` let nothing else pass
    # Upstream's steps count positions: all of the prompt but its last token, then one a token.
    steps = workload.prompt_tokens - 1 + workload.generate_tokens
    return _inference(_prompt(common.model_spec(cell.model), workload.prompt_tokens), steps)


def _inference(prompt: str, steps: int) -> tuple[str, ...]:
    words = ("inference", "--prompt", prompt, "--steps", str(steps))
    return (*words, "--temperature", "0", "--seed", "1")


def _prompt(spec: ModelSpec, tokens: int) -> str:
    """A text of that many tokens, with the beginning-of-sequence where the model adds one.

    ` the` is one piece in the vocabularies of the catalogue and does not merge with itself; nor
    does `!` in the vocabulary of synthetic models. Upstream says in its log how many tokens it
    read, and an attempt with another number of them fails for its number of samples.
    """
    return (" the" if spec.seed is None else "!") * (tokens - spec.adds_bos)


def _flag(cell: Cell) -> str:
    return "1" if cell.params["net_turbo"] else "0"


ENGINE = DistributedLlama()
