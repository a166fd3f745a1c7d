"""distributed-llama: tensor parallel over a root and its workers.

Facts of upstream (options, limits, ports): `src/app.cpp`, `src/dllama.cpp`, `src/llm.cpp` at
v0.16.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from collect.run import Benchmark, Greedy, Perplexity, Questions
from experiments.cluster import Cluster, Node
from experiments.engines import asking, common
from experiments.engines.base import Axis, Cell, Deployment, Process
from models.build import artifact_file_names, not_published
from models.catalogue import ModelSpec
from models.limits import dllama_impossible, shareable_name
from models.memory import MemoryNeed, memory_need

WORKER_PORT = 9990
PROGRAM = f"{common.ENGINES_FOLDER}/distributed-llama/bin/dllama"
SERVER = f"{PROGRAM}-api"
SERVES = "Server URL:"
"""The last line that `dllama-api` logs before it takes questions; its port listens earlier."""
CHAT_FORMS = ("llama2", "llama3", "deepseek3", "chatml")
"""Forms of conversations that `dllama-api` knows; it ends where a template is of another."""
LINE_BUFFERED = ("/usr/bin/stdbuf", "-oL")
"""Without it the end of a log is lost when a worker is stopped."""
LONG_CONTEXT = 4096
"""Beyond it the KV cache is much of the memory; upstream's own start scripts ask for it."""
BUFFER_TYPE: Mapping[str, str] = {"f32": "f32", "q4_0": "q80"}
"""Weights to the only type of exchanged activations that upstream runs them with."""

_PREDICTED = re.compile(r"^🔶 Pred {0,9}([0-9]{1,9}) ms Sync {0,9}([0-9]{1,9}) ms", re.MULTILINE)


class DistributedLlama:
    """Root and workers, each with a slice of every layer."""

    name = "distributed-llama"
    axes = (
        Axis("net_turbo", bool, default=True, values=(True, False)),
        Axis("threads", int, default=0),
        Axis("context", int, default=0),
    )

    def check(self, cell: Cell, cluster: Cluster) -> str | None:
        """Why the cell cannot run: not installed, no model, upstream's limits, memory."""
        if cell.weights not in BUFFER_TYPE:
            return f"distributed-llama has no {cell.weights} weights, only {', '.join(BUFFER_TYPE)}"
        spec = common.model_spec(cell.model)
        return (
            not_published(spec, "dllama", cell.weights)
            or _unshareable(cell, spec)
            or asking.unaskable(cell, spec, CHAT_FORMS)
            or _beyond_model(cell, spec)
            or common.beyond_context(cell, _positions(cell), _context(cell, spec))
            or common.missing(
                cell, cluster, self.memory(cell), _files(cell, spec), _less_memory(cell, spec)
            )
            or common.unreadable(cell)
        )

    def memory(self, cell: Cell) -> MemoryNeed:
        """What the engine allocates, with the KV cache at the cell's context."""
        spec = common.model_spec(cell.model)
        context = _context(cell, spec)
        return memory_need(spec.shape, "dllama", cell.weights, cell.nodes, context)

    def identity(self, cell: Cell, cluster: Cluster) -> Mapping[str, str]:
        """Hashes of `dllama` on the nodes and of the `.m` and `.t` files."""
        spec = common.model_spec(cell.model)
        return common.identity(cell, common.taking_part(cell, cluster), _files(cell, spec))

    def deploy(self, cell: Cell, cluster: Cluster) -> Deployment:
        """A worker on every node but the first; there the root, or `dllama-api` and the client."""
        root, *others = common.taking_part(cell, cluster)
        workers = tuple(_worker(cell, node) for node in others)
        workload = cell.workload
        if isinstance(workload, Questions):
            argv = _server_argv(cell, workload, root, others)
            server = asking.server_process(cell, root, argv, SERVES)
            return asking.deployment(cell, workload, workers, server)
        return Deployment(
            workers=workers,
            root=Process(node=root, role="root", argv=_root_argv(cell, workload, root, others)),
            expected_samples=common.expected_samples(cell),
            deadline_s=cell.deadline_s,
        )

    def live_rate(self, tail: str) -> float | None:
        """Tokens per second over the last lines of the root's log."""
        tokens_ms = [int(pred) + int(sync) for pred, sync in _PREDICTED.findall(tail)]
        return 1000 * len(tokens_ms) / sum(tokens_ms) if sum(tokens_ms) else None


def _unshareable(cell: Cell, spec: ModelSpec) -> str | None:
    """Why the nodes cannot share the model, with the name of one that they can, if there is."""
    reason = dllama_impossible(spec.shape, cell.weights, cell.nodes)
    other = shareable_name(spec, cell.weights, cell.nodes) if reason else None
    remedy = f": name the model {other}, the same one with heads of zeros added" if other else ""
    return f"{reason}{remedy}" if reason else None


def _context(cell: Cell, spec: ModelSpec) -> int:
    """Tokens that there is room for: the axis, or the model's own where the axis says 0."""
    return int(cell.params["context"]) or spec.shape.context


def _less_memory(cell: Cell, spec: ModelSpec) -> str:
    context = _context(cell, spec)
    if context <= LONG_CONTEXT:
        return ""
    return f"an axis `context` below {context}, {LONG_CONTEXT} for one, needs less"


def _beyond_model(cell: Cell, spec: ModelSpec) -> str | None:
    if _context(cell, spec) > spec.shape.context:
        return (
            f"{cell.model} has a context of {spec.shape.context} tokens and the axis `context` "
            f"asks for {cell.params['context']}"
        )
    return None


def _worker(cell: Cell, node: Node) -> Process:
    argv = (
        *LINE_BUFFERED,
        PROGRAM,
        "worker",
        "--host",
        node.listen_address,
        "--port",
        str(WORKER_PORT),
        "--nthreads",
        str(common.threads(cell, node)),
        "--net-turbo",
        _flag(cell),
    )
    return Process(node=node, role="worker", argv=argv, listen_port=WORKER_PORT)


def _root_argv(
    cell: Cell, workload: Benchmark | Perplexity | Greedy, root: Node, others: list[Node]
) -> tuple[str, ...]:
    return (*LINE_BUFFERED, PROGRAM, *_mode(cell, workload), *_model(cell, root, others))


def _server_argv(
    cell: Cell, workload: Questions, root: Node, others: list[Node]
) -> tuple[str, ...]:
    """`dllama-api`; it ignores the temperature of a request, so it gets that of the workload."""
    named = workload.chat_template
    return (
        *LINE_BUFFERED,
        SERVER,
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
    spec = common.model_spec(cell.model)
    model_file, tokenizer_file = _files(cell, spec)
    workers = [f"{node.engine_address}:{WORKER_PORT}" for node in others]
    return (
        "--model",
        model_file,
        "--tokenizer",
        tokenizer_file,
        "--buffer-float-type",
        BUFFER_TYPE[cell.weights],
        "--nthreads",
        str(common.threads(cell, root)),
        "--max-seq-len",
        str(_context(cell, spec)),
        "--net-turbo",
        _flag(cell),
        *(("--workers", *workers) if workers else ()),
    )


def _mode(cell: Cell, workload: Benchmark | Perplexity | Greedy) -> tuple[str, ...]:
    if isinstance(workload, Perplexity):
        return ("perplexity", "--prompt", common.perplexity_text(workload))
    if isinstance(workload, Greedy):
        return _greedy(cell, workload)
    # Upstream's steps count positions: all of the prompt but its last token, then one a token.
    steps = workload.prompt_tokens - 1 + workload.generate_tokens
    return _inference(_prompt(common.model_spec(cell.model), workload.prompt_tokens), steps)


def _greedy(cell: Cell, workload: Greedy) -> tuple[str, ...]:
    # Upstream puts no space before a text, and LLaMA's vocabulary wants one.
    space = " " if common.encoder(cell.model).adds_space else ""
    prompt = workload.prompt(cell.repeat)
    if prompt is None:
        return ("perplexity", "--prompt", space + workload.text)
    return _inference(space + prompt, workload.positions)


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


def _files(cell: Cell, spec: ModelSpec) -> tuple[str, str]:
    names = artifact_file_names(spec, "dllama", cell.weights)
    return names["model"], names["tokenizer"]


def _positions(cell: Cell) -> int:
    """Places in the context that are needed; 0 where only the tokeniser knows."""
    workload = cell.workload
    if isinstance(workload, Greedy):
        return common.positions(workload, cell.model)
    if isinstance(workload, Benchmark):
        return workload.prompt_tokens + workload.generate_tokens
    return workload.max_tokens if isinstance(workload, Questions) else 0
