"""What engines answer: can it run, and if so with which processes."""

import dataclasses

import pytest

from collect.workloads import Benchmark, Perplexity
from experiments.engines import ENGINES, ON_NODES
from experiments.engines.base import Cell
from experiments.fleet.cluster import Cluster, Installation, Node

BENCHMARK = Benchmark(prompt_tokens=16, generate_tokens=32)
FILES = (
    "stories15m-kv16/stories15m-kv16-f32.gguf",
    "stories15m-kv16/stories15m-kv16-f32.m",
    "stories15m-kv16/stories15m-kv16.t",
    "stories15m-f32/model.safetensors",
    "stories15m-f32/config.json",
    "stories15m-f32/tokenizer.json",
    "stories15m-f32/tokenizer_config.json",
    "stories15m-f32/generation_config.json",
)


def node(number: int, **changes: object) -> Node:
    made = Node(
        name=f"pi{number}",
        address=f"192.0.2.{number}",
        engine_address=f"10.0.0.{number}",
        cores=4,
        memory_mib=4096,
        engines={
            name: Installation(
                engine=name, installed=True, version="1", binary_sha256={"program": "ab"}
            )
            for name in ON_NODES
        },
        model_sha256=dict.fromkeys(FILES, "cd"),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def cluster(count: int = 4) -> Cluster:
    return Cluster(nodes=tuple(node(number) for number in range(1, count + 1)))


def cell(engine: str, workload: Benchmark | Perplexity = BENCHMARK, **params: object) -> Cell:
    axes = {axis.name: axis.default for axis in ENGINES[engine].axes if not axis.goes_with}
    common = {"engine": engine, "model": "stories15m+kv16", "nodes": 1, "weights": "f32"}
    return Cell(params={**axes, "workers": "fresh", **common, **params}, workload=workload)  # type: ignore[dict-item]


def option(argv: tuple[str, ...], name: str) -> str:
    return argv[argv.index(name) + 1]


@pytest.mark.parametrize("engine", ON_NODES)
@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_a_provisioned_cluster_can_run(engine: str, nodes: int) -> None:
    assert ENGINES[engine].check(cell(engine, nodes=nodes), cluster()) is None


def test_distributed_llama_puts_a_worker_on_every_node_but_the_first() -> None:
    deployment = ENGINES["distributed-llama"].deploy(
        cell("distributed-llama", nodes=3 + 1), cluster()
    )

    assert [worker.node.name for worker in deployment.workers] == ["pi2", "pi3", "pi4"]
    assert [option(worker.argv, "--host") for worker in deployment.workers] == [
        "10.0.0.2",
        "10.0.0.3",
        "10.0.0.4",
    ]
    workers_at = deployment.root.argv.index("--workers")
    assert deployment.root.argv[workers_at + 1 :] == (
        "10.0.0.2:9990",
        "10.0.0.3:9990",
        "10.0.0.4:9990",
    )


def test_distributed_llama_steps_make_the_asked_number_of_tokens() -> None:
    """Upstream predicts steps - (prompt - 1) tokens."""
    deployment = ENGINES["distributed-llama"].deploy(cell("distributed-llama"), cluster())

    prompt = option(deployment.root.argv, "--prompt")
    assert prompt.count(" the") == BENCHMARK.prompt_tokens - 1
    steps = int(option(deployment.root.argv, "--steps"))
    assert steps - (BENCHMARK.prompt_tokens - 1) == BENCHMARK.generate_tokens
    assert deployment.expected_samples == BENCHMARK.generate_tokens


def test_one_node_alone_uses_no_network() -> None:
    for name in ("distributed-llama", "llama.cpp"):
        deployment = ENGINES[name].deploy(cell(name), cluster())
        assert deployment.workers == ()
        assert "--workers" not in deployment.root.argv
        assert "--rpc" not in deployment.root.argv


def test_llama_cpp_computes_on_every_node_because_its_client_does_not() -> None:
    deployment = ENGINES["llama.cpp"].deploy(
        cell("llama.cpp", nodes=2, split_mode="tensor"), cluster()
    )

    assert [worker.node.name for worker in deployment.workers] == ["pi1", "pi2"]
    assert option(deployment.root.argv, "--rpc") == "10.0.0.1:50052,10.0.0.2:50052"
    assert option(deployment.root.argv, "--split-mode") == "tensor"


def test_threads_are_the_cores_of_each_node_unless_said_otherwise() -> None:
    machines = Cluster(nodes=(node(1, cores=2), node(2, cores=8)))
    engine = ENGINES["distributed-llama"]

    by_itself = engine.deploy(cell("distributed-llama", nodes=2), machines)
    told = engine.deploy(cell("distributed-llama", nodes=2, threads=3), machines)

    assert option(by_itself.root.argv, "--nthreads") == "2"
    assert option(by_itself.workers[0].argv, "--nthreads") == "8"
    assert option(told.workers[0].argv, "--nthreads") == "3"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nodes": 8}, "it needs 8 nodes, but the cluster has 4"),
        ({"nodes": 3}, "3 nodes"),
        ({"weights": "q8_0"}, "q8_0"),
        ({"weights": "q4_0"}, "stories15m-kv16-q4_0.m is not on pi1"),
    ],
)
def test_distributed_llama_says_why_it_cannot_run(changes: dict[str, object], reason: str) -> None:
    told = ENGINES["distributed-llama"].check(cell("distributed-llama", **changes), cluster())
    assert told is not None
    assert reason in told


def test_a_model_that_needs_more_heads_names_the_one_that_has_them() -> None:
    told = ENGINES["distributed-llama"].check(
        cell("distributed-llama", model="stories15m", nodes=4), cluster()
    )
    assert told == (
        "the model's 6 KV heads cannot be divided evenly among 4 nodes: name the model "
        "stories15m+kv16, the same model with zero-padded heads added"
    )


@pytest.mark.parametrize("engine", ON_NODES)
def test_an_engine_that_a_role_could_not_install_is_unavailable_with_its_reason(
    engine: str,
) -> None:
    absent = Installation(engine=engine, installed=False, reason="no route to the Git host")
    machines = Cluster(nodes=(node(1), node(2, engines={engine: absent})))

    told = ENGINES[engine].check(cell(engine, nodes=2), machines)

    assert told == f"{engine} is not installed on pi2: no route to the Git host"


@pytest.mark.parametrize("engine", ON_NODES)
def test_an_engine_whose_record_lacks_its_options_does_not_run(engine: str) -> None:
    gets = {*ON_NODES[engine].options, *ON_NODES[engine].flags, *ON_NODES[engine].texts}
    whole = Installation(engine=engine, installed=True, version="1", arguments=frozenset(gets))
    older = dataclasses.replace(whole, arguments=frozenset(gets - {"--port", "--model"}))

    def told(*there: Installation) -> str | None:
        nodes = (node(at, engines={engine: one}) for at, one in enumerate(there, start=1))
        return ENGINES[engine].check(cell(engine, nodes=len(there)), Cluster(nodes=tuple(nodes)))

    assert told(whole, whole) is None
    assert told(whole, older) == (
        f"another version of llama-herd installed {engine} on pi2, and its record there does not "
        "allow the options --model and 1 more"
    )


@pytest.mark.parametrize("engine", ON_NODES)
def test_nodes_with_different_versions_do_not_run_together(engine: str) -> None:
    other = Installation(engine=engine, installed=True, version="2")
    machines = Cluster(nodes=(node(1), node(2, engines={engine: other})))

    told = ENGINES[engine].check(cell(engine, nodes=2), machines)

    assert told is not None
    assert "different versions" in told


@pytest.mark.parametrize("engine", ON_NODES)
def test_a_node_with_too_little_memory_is_named(engine: str) -> None:
    machines = Cluster(nodes=(node(1), node(2, memory_mib=16)))

    told = ENGINES[engine].check(cell(engine, nodes=2), machines)

    assert told is not None
    assert told.startswith("pi2 has 16 MiB of memory")


@pytest.mark.parametrize("engine", ON_NODES)
def test_memory_that_others_use_is_not_free(engine: str) -> None:
    machines = Cluster(nodes=(node(1, available_mib=32), node(2)))

    told = ENGINES[engine].check(cell(engine, nodes=2), machines)

    assert told is not None
    assert told.startswith("pi1 has 32 MiB of memory free but would need about")


def test_a_model_published_for_distributed_llama_alone_is_unavailable_elsewhere() -> None:
    for engine, weights in (("llama.cpp", "q4_0"), ("distributed-llama", "f32")):
        told = ENGINES[engine].check(
            cell(engine, model="llama3.2-1b-instruct", weights=weights), cluster()
        )
        assert told is not None
        assert told.startswith(
            "llama3.2-1b-instruct is published in distributed-llama's format with q4_0 weights only"
        )


def test_where_a_long_context_is_too_much_a_shorter_one_is_named() -> None:
    spec = "llama3.1-8b-instruct"
    files = {f"{spec}/{spec}-q4_0.m": "ab", f"{spec}/{spec}.t": "cd"}
    machines = Cluster(nodes=tuple(node(n, model_sha256=files) for n in (1, 2, 3, 4)))
    engine = ENGINES["distributed-llama"]
    whole = cell("distributed-llama", model=spec, weights="q4_0", nodes=4)
    short = cell("distributed-llama", model=spec, weights="q4_0", nodes=4, context=4096)
    told = engine.check(whole, machines)
    assert told is not None
    assert "an axis `context` below 131072, 4096 for one, needs less" in told
    assert engine.check(short, machines) is None


def test_a_model_whose_tokeniser_adds_no_beginning_gets_a_whole_prompt() -> None:
    wanted = cell("distributed-llama", model="smollm2-135m", weights="q4_0")
    deployment = ENGINES["distributed-llama"].deploy(wanted, cluster())
    assert option(deployment.root.argv, "--prompt").count(" the") == BENCHMARK.prompt_tokens


def test_memory_is_said_before_a_model_would_be_fetched_for_nothing() -> None:
    machines = Cluster(nodes=(node(1, available_mib=900, model_sha256={}),))
    wanted = cell("distributed-llama", model="llama3.1-8b-instruct", weights="q4_0", context=4096)
    told = ENGINES["distributed-llama"].check(wanted, machines)
    assert told == "pi1 has 900 MiB of memory free but would need about 7198 MiB"


def test_a_qwen3_that_fits_is_not_said_to_need_more() -> None:
    """8B over 4 nodes at its own context: the engine printed 3985 MiB on the last worker."""
    machines = Cluster(
        nodes=(node(1, available_mib=8000), *(node(n, available_mib=4300) for n in (2, 3, 4)))
    )
    wanted = cell("distributed-llama", model="qwen3-8b", weights="q4_0", nodes=4)
    told = ENGINES["distributed-llama"].check(wanted, machines)
    assert ENGINES["distributed-llama"].memory(wanted).worker_mib == 4072  # and a slice on its way
    assert told is not None
    assert told.startswith("qwen3-8b/qwen3-8b-q4_0.m is not on pi1")


def test_rows_that_are_no_blocks_of_32_are_told_for_quantised_weights_alone() -> None:
    odd = "synthetic:dim=64,hidden=176,layers=2,heads=4,kv_heads=4,vocab=512,context=64"
    for engine in ("llama.cpp", "distributed-llama"):
        told = ENGINES[engine].check(cell(engine, model=odd, weights="q4_0"), cluster())
        assert told is not None
        assert "hidden_dim (176) is not a multiple of 32, and q4_0 weights" in told
        told = ENGINES[engine].check(cell(engine, model=odd, weights="f32"), cluster())
        assert told is not None
        assert "multiple" not in told


def test_a_shorter_context_needs_less_memory_and_reaches_the_engine() -> None:
    engine = ENGINES["distributed-llama"]
    short, whole = (cell("distributed-llama", nodes=2, context=size) for size in (64, 0))

    assert option(engine.deploy(short, cluster()).root.argv, "--max-seq-len") == "64"
    assert option(engine.deploy(whole, cluster()).root.argv, "--max-seq-len") == "256"
    assert engine.memory(short).root_mib < engine.memory(whole).root_mib
    too_short = engine.check(cell("distributed-llama", context=32), cluster())
    assert too_short is not None
    assert "context of 32 tokens here, but 48 are requested" in too_short
    beyond = engine.check(cell("distributed-llama", context=512), cluster())
    assert beyond is not None
    assert "has a context of 256 tokens, but the axis `context` requests 512" in beyond


@pytest.mark.parametrize("engine", ON_NODES)
def test_more_tokens_than_the_context_holds_are_refused(engine: str) -> None:
    long = Benchmark(prompt_tokens=16, generate_tokens=1000)

    told = ENGINES[engine].check(cell(engine, long), cluster())

    assert told is not None
    assert "context of 256 tokens" in told


@pytest.mark.parametrize("engine", ON_NODES)
def test_another_program_or_model_makes_another_cell(engine: str) -> None:
    wanted = cell(engine, nodes=2)
    before = ENGINES[engine].identity(wanted, cluster())
    rebuilt = Installation(
        engine=engine, installed=True, version="1", binary_sha256={"program": "00"}
    )
    other_program = Cluster(nodes=(node(1), node(2, engines={engine: rebuilt})))
    other_model = Cluster(nodes=(node(1, model_sha256=dict.fromkeys(FILES, "00")), node(2)))

    assert ENGINES[engine].identity(wanted, cluster()) == before
    assert ENGINES[engine].identity(wanted, other_program) != before
    assert ENGINES[engine].identity(wanted, other_model) != before


@pytest.mark.parametrize("engine", ON_NODES)
def test_perplexity_reads_the_text_to_its_last_asked_character(engine: str) -> None:
    workload = Perplexity(text="experiments/texts/alice.txt", characters=100, context_tokens=16)

    deployment = ENGINES[engine].deploy(cell(engine, workload), cluster())

    prompt = option(deployment.root.argv, "--prompt")
    assert prompt.startswith("Alice was beginning")
    assert len(prompt) == 100
    assert deployment.expected_samples == 1
