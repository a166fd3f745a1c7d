"""llama.cpp: one node alone, or RPC workers that hold layers or slices of them.

Facts of upstream: `tools/llama-bench`, `tools/perplexity`, `tools/rpc` at 0.7.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from collect.parsers.llama_cpp_device import SERVES
from collect.workloads import Benchmark, Documents, Greedy, Perplexity, Questions
from core.paths import ENGINES_FOLDER
from core.record import Scalar
from experiments.engines import chat_server as asking
from experiments.engines import common
from experiments.engines import llama_cpp_depth as depth
from experiments.engines import llama_cpp_gpu as gpu
from experiments.engines import llama_cpp_memory as memory
from experiments.engines import llama_cpp_shares as shares
from experiments.engines import llama_server_scoring as scoring
from experiments.engines.base import Axis, Cell, Deployment, Process
from experiments.engines.engine import NodeEngine
from experiments.fleet.cluster import Backend, Cluster, Node
from models.memory import MemoryNeed, NodeMemory

WORKER_PORT = 50052
PROGRAMS = f"{ENGINES_FOLDER}/llama.cpp/bin"
MOST_WORKERS = 16
"""GGML_RPC_MAX_SERVERS."""
PERPLEXITY_BATCH = 2048
KV_PADDING = 256
ALL_LAYERS = "99"
EXACT = ("--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off")
"""16-bit caches and flash attention, upstream's defaults, change tokens."""
ENVIRONMENT: Mapping[str, str] = {"GGML_NO_BACKTRACE": "1"}
"""Where gdb is installed an abort would attach it and flood the log."""


class LlamaCpp(NodeEngine):
    """`llama-bench`, `llama-perplexity` and `llama-server`, over RPC on more than one node.

    With n > 1 nodes there are n RPC workers, one of them on the root's own machine, because
    the client itself computes no layers.
    """

    name = "llama.cpp"
    about = "one node alone, or workers over RPC that hold layers or slices of them"
    page = "engines"
    format = "gguf"
    ports = ("50052-50061",)
    workloads = ("benchmark", "perplexity", "questions", "greedy", "documents")
    scores_only_ascii = True
    options = (
        *("--cache-type-k", "--cache-type-v", "--chat-template", "--ctx-size", "--device"),
        *("--fit", "--flash-attn", "--host", "--log-verbosity", "--model"),
        *("--n-gen", "--n-gpu-layers", "--n-prompt", "--output", "--parallel"),
        "--n-depth",
        *("--port", "--repetitions", "--rpc", "--split-mode", "--tensor-split"),
        *("--threads", "--ubatch-size"),
    )
    flags = ("--no-jinja", "--verbose")
    texts = ("--prompt",)
    is_default = True
    devices = ("cpu", "gpu")
    axes = (
        Axis("split_mode", str, default="layer", values=("layer", "tensor")),
        shares.SHARES,
        gpu.GPU_LAYERS,
        depth.DECODE,
        Axis("threads", int, default=0),
    )

    def limits(self, cell: Cell, cluster: Cluster) -> str | None:
        """RPC's limit, layers that do not add up, texts that differ from the reference's."""
        if cell.nodes > MOST_WORKERS:
            return f"llama.cpp takes at most {MOST_WORKERS} RPC workers"
        return (
            gpu.misplaced(cell)
            or depth.no_benchmark(cell)
            or shares.unshareable(cell, common.taking_part(cell, cluster))
            or _not_exact(cell)
            or scoring.unscorable(cell)
        )

    def candidates(self, cell: Cell, nodes: Sequence[Node]) -> Mapping[str, Sequence[Scalar]]:
        """Threads; on several nodes how the model is split and shared."""
        found: dict[str, Sequence[Scalar]] = {"threads": common.thread_counts(cell, nodes)}
        if cell.nodes > 1:
            found["split_mode"] = ("layer", "tensor")
            found["shares"] = shares.candidates(cell, nodes)
        return found

    def tokens(self, cell: Cell) -> int:
        """Prefill and decode are separate sequences upstream, unless asked otherwise."""
        return _longest(cell)

    def memory(self, cell: Cell) -> MemoryNeed:
        """An estimate from above, with the KV cache that the workload makes."""
        shape = common.model_spec(cell.model).shape
        return memory.memory_need(shape, cell.weights, cell.nodes, _kv_tokens(cell))

    def memory_on(self, cell: Cell, nodes: Sequence[Node]) -> tuple[NodeMemory, ...]:
        """The same for each node by its share, and by what computes there."""
        return memory.memory_on(cell, nodes, _kv_tokens(cell))

    def less_memory(self, cell: Cell) -> str:
        """Fewer layers on the only GPU."""
        is_one_gpu = cell.device == "gpu" and cell.nodes == 1
        return "axis gpu_layers says how much of it the GPU gets" if is_one_gpu else ""

    def deploy(self, cell: Cell, cluster: Cluster) -> Deployment:
        """An RPC worker on every node (none for one node), the program that asks on the first."""
        nodes = common.taking_part(cell, cluster)
        workers = tuple(_worker(cell, node) for node in nodes) if cell.nodes > 1 else ()
        workload = cell.workload
        if isinstance(workload, Questions):
            argv = (*_server(cell, nodes, _context(cell, workload)), *_template(workload))
            return asking.chat_deployment(cell, workload, workers, _serving(cell, nodes, argv))
        if isinstance(workload, Greedy | Documents):
            argv = (*_server(cell, nodes, _kv_tokens(cell)), *EXACT, *gpu.exactly(cell, nodes))
            return scoring.scoring_deployment(cell, workers, _serving(cell, nodes, argv))
        return Deployment(
            workers=workers,
            root=Process(
                node=nodes[0],
                role="root",
                argv=(*_mode(cell, nodes, workload), *_model(cell, nodes)),
                env=ENVIRONMENT,
                gpu=_root_backend(cell, nodes),
            ),
            expected_samples=common.expected_samples(cell),
            deadline_s=cell.deadline_s,
        )


def _not_exact(cell: Cell) -> str | None:
    """Return why the cell's texts cannot be compared with those of others; None if they can."""
    if cell.params["split_mode"] != "tensor":
        return None
    if isinstance(cell.workload, Documents):
        return (
            "llama.cpp splits by tensor only with flash attention, which rounds to 16 bits, so "
            "its scores of documents cannot be compared with other cells"
        )
    if not isinstance(cell.workload, Greedy):
        return None
    return (
        "llama.cpp splits by tensor only with flash attention, which rounds to 16 bits, so its "
        "texts cannot be compared with the reference"
    )


def _worker(cell: Cell, node: Node) -> Process:
    backend = common.backend_of(cell, node)
    argv = (
        common.program_for(f"{PROGRAMS}/ggml-rpc-server", backend),
        "--host",
        node.listen_address,
        "--port",
        str(WORKER_PORT),
        "--threads",
        str(common.threads(cell, node)),
        *gpu.device(backend),
    )
    return Process(
        node=node,
        role="worker",
        argv=argv,
        env=ENVIRONMENT,
        listen_port=WORKER_PORT,
        gpu=backend,
    )


def _root_backend(cell: Cell, nodes: tuple[Node, ...]) -> Backend | None:
    """By which interface the first node's own program computes; with workers it does not."""
    return common.backend_of(cell, nodes[0]) if len(nodes) == 1 else None


def _program(cell: Cell, nodes: tuple[Node, ...], name: str) -> str:
    return common.program_for(f"{PROGRAMS}/{name}", _root_backend(cell, nodes))


def _serving(cell: Cell, nodes: tuple[Node, ...], argv: tuple[str, ...]) -> Process:
    """The server of a cell, with the model."""
    server = asking.server_process(
        cell, nodes[0], (*argv, *_model(cell, nodes)), SERVES, ENVIRONMENT
    )
    return replace(server, gpu=_root_backend(cell, nodes))


def _model(cell: Cell, nodes: tuple[Node, ...]) -> tuple[str, ...]:
    """The model, how it is computed and by whom."""
    return (
        "--model",
        ENGINE.files(cell)[0],
        "--threads",
        str(common.threads(cell, nodes[0])),
        *_distribution(cell, nodes),
    )


def _server(cell: Cell, nodes: tuple[Node, ...], context: int) -> tuple[str, ...]:
    """`llama-server` for one conversation of so many tokens."""
    return (
        _program(cell, nodes, "llama-server"),
        "--host",
        asking.HOST,
        "--port",
        str(asking.PORT),
        "--parallel",
        "1",
        "--ctx-size",
        str(context),
    )


def _template(workload: Questions) -> tuple[str, ...]:
    """With Jinja llama-server would take the name of a template for the template itself."""
    named = workload.chat_template
    return () if named == "model" else ("--no-jinja", "--chat-template", named)


def _context(cell: Cell, workload: Questions) -> int:
    """Room for any question with its answer, if the model has it."""
    return min(asking.longest_tokens(workload), common.model_spec(cell.model).shape.context)


def _mode(cell: Cell, nodes: tuple[Node, ...], workload: Benchmark | Perplexity) -> tuple[str, ...]:
    if isinstance(workload, Perplexity):
        return (
            _program(cell, nodes, "llama-perplexity"),
            "--prompt",
            common.perplexity_text(workload),
            "--ctx-size",
            str(workload.context_tokens),
        )
    return (
        _program(cell, nodes, "llama-bench"),
        "--n-prompt",
        str(workload.prompt_tokens),
        "--n-gen",
        str(workload.generate_tokens),
        *depth.depths(cell, workload),
        "--repetitions",
        "1",
        "--output",
        "jsonl",
    )


def _distribution(cell: Cell, nodes: tuple[Node, ...]) -> tuple[str, ...]:
    if len(nodes) == 1:
        return gpu.offloading(cell, nodes[0]) if _root_backend(cell, nodes) else ()
    workers = ",".join(f"{node.engine_address}:{WORKER_PORT}" for node in nodes)
    return (
        "--rpc",
        workers,
        "--n-gpu-layers",
        ALL_LAYERS,
        "--split-mode",
        str(cell.params["split_mode"]),
        *shares.tensor_split(cell, nodes, _separator(cell)),
        *gpu.telling(cell, nodes),
    )


def _separator(cell: Cell) -> str:
    """Between shares: for `llama-bench` a comma begins another test."""
    return ";" if isinstance(cell.workload, Benchmark) else ","


def _kv_tokens(cell: Cell) -> int:
    """Tokens in the KV cache: upstream pads to 256, and reads a text in batches of windows."""
    if isinstance(cell.workload, Perplexity):
        return max(PERPLEXITY_BATCH, cell.workload.context_tokens)
    if isinstance(cell.workload, Questions):
        return -(-_context(cell, cell.workload) // KV_PADDING) * KV_PADDING
    workload = cell.workload
    most = depth.most_kept(cell, workload) if isinstance(workload, Benchmark) else _longest(cell)
    return -(-most // KV_PADDING) * KV_PADDING


def _longest(cell: Cell) -> int:
    """Tokens of the longest sequence."""
    workload = cell.workload
    if isinstance(workload, Benchmark):
        return depth.longest(cell, workload)
    return workload.context_tokens if isinstance(workload, Perplexity) else common.tokens(cell)


ENGINE = LlamaCpp()
