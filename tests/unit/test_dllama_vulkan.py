"""distributed-llama on GPUs: command lines, limits of its shaders, memory, what its log says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from collect.parsers.distributed_llama import PARSER
from collect.parsers.dllama_failures import failure_cause
from collect.questions import Question
from collect.workloads import Benchmark, Questions
from experiments.engines import ON_NODES, common
from experiments.engines.base import Cell
from experiments.fleet.cluster import Cluster, Gpu, Installation, Node
from models.catalogue import load_catalogue
from models.dllama_memory import dllama_required
from models.dllama_vulkan import vulkan_impossible, vulkan_need, vulkan_ram
from models.shape import ModelShape

LOGS = Path(__file__).parents[1] / "data" / "distributed-llama"
ENGINE = ON_NODES["distributed-llama"]
GPU = Gpu("vulkan", 1, "A GPU", "discrete", 8192, 8000, "1.0")
BENCHMARK = Benchmark(prompt_tokens=16, generate_tokens=32)
SHAPE = ModelShape(
    dim=256, hidden_dim=512, layers=2, heads=8, kv_heads=8, head_dim=32, vocab=1024, context=256
)


def node(number: int, gpu: Gpu | None = None) -> Node:
    installation = Installation(
        "distributed-llama", installed=True, version="1", gpu=gpu.backend if gpu else None
    )
    return Node(
        name=f"n{number}",
        address=f"192.0.2.{number}",
        engine_address=f"10.0.0.{number}",
        cores=4,
        memory_mib=4096,
        engines={"distributed-llama": installation},
        gpus={gpu.backend: gpu} if gpu else {},
    )


def cell(nodes: int = 2, device: str = "gpu", **params: object) -> Cell:
    axes = {axis.name: axis.default for axis in ENGINE.axes}
    common = {"engine": "distributed-llama", "model": "stories15m+kv16", "weights": "f32"}
    given = {**axes, "workers": "fresh", **common, "nodes": nodes, "device": device, **params}
    return Cell(params=given, workload=BENCHMARK)  # type: ignore[arg-type]


def processes(cell: Cell, *nodes: Node) -> list[tuple[str, str | None, str]]:
    """Of each process the program, its GPU, and what follows `--nthreads`."""
    deployed = ENGINE.deploy(cell, Cluster(nodes=nodes))
    return [
        (
            next(word for word in one.argv if "/engines/" in word).rpartition("/")[2],
            one.gpu,
            " ".join(one.argv[one.argv.index("--nthreads") + 1 :][:3]),
        )
        for one in (deployed.root, *filter(None, [deployed.server]), *deployed.workers)
        if "--nthreads" in one.argv
    ]


def test_a_gpu_has_its_program_and_one_thread_and_is_the_first_that_its_unit_sees() -> None:
    assert processes(cell(), node(1, GPU), node(2, GPU)) == [
        ("dllama-vulkan", "vulkan", "1 --gpu-index 0"),
        ("dllama-vulkan", "vulkan", "1 --gpu-index 0"),
    ]


def test_nodes_without_a_gpu_compute_on_their_cpu_beside_one_that_has_it() -> None:
    root, worker = processes(cell(), node(1), node(2, GPU))
    assert root == ("dllama", None, "4 --max-seq-len 256")
    assert worker == ("dllama-vulkan", "vulkan", "1 --gpu-index 0")
    root, worker = processes(cell(), node(1, GPU), node(2))
    assert root == ("dllama-vulkan", "vulkan", "1 --gpu-index 0")
    assert worker == ("dllama", None, "4 --net-turbo 1")


def test_a_cell_of_cpus_never_meets_the_gpu() -> None:
    told = processes(cell(device="cpu"), node(1, GPU), node(2, GPU))
    assert [(program, gpu) for program, gpu, _ in told] == [("dllama", None), ("dllama", None)]


def test_the_server_of_questions_has_the_gpu_and_its_client_has_not() -> None:
    asked = Questions(file="q.yml", asked=(Question(id="a", text="1 + 1"),), max_tokens=16)
    deployed = ENGINE.deploy(
        dataclasses.replace(cell(1), workload=asked), Cluster(nodes=(node(1, GPU),))
    )
    assert deployed.server
    assert any(word.endswith("/dllama-api-vulkan") for word in deployed.server.argv)
    assert (deployed.server.gpu, deployed.root.gpu) == ("vulkan", None)


def test_a_limit_of_the_shaders_names_the_node_and_concerns_no_cell_of_cpus() -> None:
    spec = load_catalogue().get("stories15m+kv16")
    assert spec.shape.dim % 64, "or it is no example"
    nodes = (node(1), node(2, GPU))
    refused = ENGINE.check(cell(weights="q4_0"), Cluster(nodes=nodes))
    assert refused is not None
    assert "the GPU of n2 cannot compute stories15m+kv16" in refused
    told = ENGINE.check(cell(weights="q4_0", device="cpu"), Cluster(nodes=nodes))
    assert told is None or "GPU" not in told


@pytest.mark.parametrize(
    ("changes", "weights", "nodes", "words"),
    [
        ({}, "f32", 1, None),
        ({}, "q4_0", 2, None),
        ({"vocab": 1026}, "f32", 1, "copy 4 of the 1026 vocabulary tokens"),
        ({"vocab": 1026}, "f32", 2, None),
        ({"dim": 288}, "q4_0", 1, "process 64 values of a token at a time, and a node has 288"),
        ({"hidden_dim": 544}, "q4_0", 1, "64 feed-forward values"),
        ({}, "q4_0", 8, "64 attention values at a time, and a node has 32"),
        ({"vocab": 1028}, "q4_0", 1, "8 vocabulary tokens at a time"),
        ({"vocab": 2**18, "dim": 4096}, "f32", 1, "a matrix would need 4096 MiB"),
        ({"vocab": 2**18, "dim": 4096}, "q4_0", 1, "the embedding would need 4096 MiB"),
    ],
)
def test_what_the_shaders_cannot_compute_is_known_before(
    changes: dict[str, int], weights: str, nodes: int, words: str | None
) -> None:
    shape = SHAPE.model_copy(update=changes)
    told = vulkan_impossible(shape, weights, nodes, 256, root=True)  # type: ignore[arg-type]
    assert (words is None and told is None) or (words and words in str(told)), told


def test_only_the_root_has_the_embedding() -> None:
    shape = SHAPE.model_copy(update={"vocab": 2**18, "dim": 4096})
    assert vulkan_impossible(shape, "q4_0", 1, 256, root=True)
    assert vulkan_impossible(shape, "q4_0", 1, 256, root=False) is None


def test_a_gpu_takes_what_the_ram_would_and_the_ram_one_matrix_on_its_way() -> None:
    shape = load_catalogue().get("llama3.1-8b-instruct").shape
    required = dllama_required(shape, "q4_0", 1, 4096)
    gpu, ram = vulkan_need(shape, "q4_0", 1, 4096), vulkan_ram(shape, "q4_0", 1)
    assert required.root_bytes < gpu.root_bytes < 1.1 * required.root_bytes
    embedding = 4 * shape.vocab * shape.dim
    assert embedding < ram.root_bytes < required.root_bytes


def test_each_node_needs_what_its_device_takes() -> None:
    software = dataclasses.replace(GPU, kind="software")
    mixed = ENGINE.memory_on(cell(3), (node(1, GPU), node(2), node(3, software)))
    on_cpus = ENGINE.memory_on(cell(3, device="cpu"), (node(1, GPU), node(2), node(3, software)))
    assert [one.gpu_bytes > 0 for one in mixed] == [True, False, True]
    assert not any(one.gpu_bytes for one in on_cpus)
    assert mixed[1] == on_cpus[1]
    assert mixed[2].ram_bytes > mixed[2].gpu_bytes, "it is RAM, too"


HEAD = """📀 RequiredMemory: 3 MB
⭕ Socket[0]: connected
⭕ Network is initialized
🌋 Device: llvmpipe (LLVM 15.0.6, 256 bits)
🌋 DeviceApiVersion: 1.3.230
🌋 Heap[0]: 2048 MB
"""
LOADED = "💿 Loading weights...\n💿 Weights loaded\n"
NAME = "llvmpipe (LLVM 15.0.6, 256 bits)"


@pytest.mark.parametrize("role", ["root", "server"])
def test_what_a_root_computed_on_is_read_before_its_text_begins(role: str) -> None:
    said = "a prompt\n🌋 Device: of a text\n🔶 Pred    1 ms Sync    1 ms | Sent ..\n"
    assert PARSER.computed_on(role, (HEAD + LOADED + said).encode(), b"") == NAME  # type: ignore[arg-type]
    assert PARSER.computed_on(role, (LOADED + said).encode(), b"") is None  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(path.parent.name for path in LOGS.glob("*/root.out")))
def test_a_text_that_imitates_a_device_is_none_in_any_version(name: str) -> None:
    lines = (LOGS / name / "root.out").read_bytes().splitlines(keepends=True)
    loaded = [
        at for at, line in enumerate(lines) if line.startswith(("💿".encode(), "⏩".encode()))
    ]
    for place in range(loaded[0] + 1, len(lines) + 1) if loaded else ():
        log = b"".join([*lines[:place], "🌋 Device: of a text\n".encode(), *lines[place:]])
        assert PARSER.computed_on("root", log, b"") is None


def test_what_a_kept_worker_computed_on_is_that_of_its_last_root() -> None:
    log = "Listening on 10.0.0.2:9990...\n" + HEAD.replace("llvmpipe", "older") + LOADED + HEAD
    assert PARSER.computed_on("worker", log.encode(), b"") == NAME
    assert PARSER.computed_on("worker", b"Listening on 10.0.0.2:9990...\n", b"") is None


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("vk::Device::allocateMemory: ErrorOutOfDeviceMemory", "not enough memory of the GPU"),
        ("vk::createInstance: ErrorIncompatibleDriver", "Vulkan found no driver"),
        ("Invalid GPU index, found 0 GPUs", "the node has no such GPU"),
        ("Failed to open shader file: ./src/nn/vulkan/x.spv", "the shaders are not where"),
        ("Device extension VK_KHR_maintenance4 is not supported", "lacks what the shaders need"),
        ("This build does not support GPU", "built without Vulkan"),
    ],
)
def test_an_error_of_vulkan_is_the_cause(said: str, meaning: str) -> None:
    cause = failure_cause(f"{HEAD}🚨 Critical error: {said}\n", "")
    assert cause
    assert cause.startswith(f"{said} (")
    assert meaning in cause


def test_a_width_that_the_shaders_refuse_is_told_as_such() -> None:
    stopped = (
        "dllama: src/nn/nn-vulkan.cpp:686: std::vector<NnUint> resolveShaderConstants(...): "
        "Assertion `inputSize.x % (Q40_BLOCK_SIZE * tileSizeX) == 0' failed.\n"
    )
    assert "slices of that width" in str(failure_cause(HEAD, stopped))
    assert common.gpu_of(cell(), node(1, GPU)) == GPU
