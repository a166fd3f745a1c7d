"""llama.cpp on GPUs and with shares: the command lines that are right, the cells that cannot be."""

import dataclasses

import pytest

from collect.workloads import Greedy, Perplexity
from experiments.engines import ENGINES
from experiments.engines.base import Cell
from experiments.engines.engine import NodeEngine
from experiments.fleet.cluster import Backend, Cluster, Gpu, Node
from experiments.planning.identity import canonical
from experiments.planning.matrix import Matrix
from tests.unit.test_engines import cell as cell_of
from tests.unit.test_engines import node as plain_node
from tests.unit.test_engines import option

ENGINE = ENGINES["llama.cpp"]
BIN = "/opt/llama-herd/engines/llama.cpp/bin"
GREEDY = Greedy(prompts=("Once upon a time",), positions=24, text="Once upon a time there was")


def node(number: int, backend: Backend | None = None, **changes: object) -> Node:
    made = plain_node(number, **changes)
    if backend is None:
        return made
    engines = {
        name: dataclasses.replace(one, gpu=backend if name == "llama.cpp" else None)
        for name, one in made.engines.items()
    }
    gpu = Gpu(backend, 1, "RTX", "discrete", 16384, 15000, "1")
    return dataclasses.replace(made, engines=engines, gpus={backend: gpu}, gpu_index=1)


def cell(**params: object) -> Cell:
    return cell_of("llama.cpp", **params)


def test_one_node_computes_on_its_gpu_by_the_program_for_it() -> None:
    root = ENGINE.deploy(cell(device="gpu"), Cluster((node(1, "vulkan"),))).root

    assert root.argv[0] == f"{BIN}/llama-bench-vulkan"
    assert option(root.argv, "--device") == "Vulkan0"
    assert option(root.argv, "--n-gpu-layers") == "7"
    assert "--verbose" in root.argv
    assert root.gpu == "vulkan"
    assert root.env == {"GGML_NO_BACKTRACE": "1"}


def test_some_layers_go_to_the_gpu_by_their_number() -> None:
    text = Perplexity(text="data/perplexity.txt", characters=100, context_tokens=64)
    asked = dataclasses.replace(cell(device="gpu", gpu_layers="3"), workload=text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.engines.common.perplexity_text", lambda _: "text")
        root = ENGINE.deploy(asked, Cluster((node(1, "cuda"),))).root

    assert root.argv[0] == f"{BIN}/llama-perplexity-cuda"
    assert option(root.argv, "--device") == "CUDA0"
    assert option(root.argv, "--n-gpu-layers") == "3"
    assert option(root.argv, "--log-verbosity") == "4"
    assert root.gpu == "cuda"


def test_workers_compute_where_their_node_can_and_the_client_nowhere() -> None:
    deployment = ENGINE.deploy(
        cell(nodes=3, device="gpu"), Cluster((node(1), node(2, "cuda"), node(3, "vulkan")))
    )

    assert [worker.argv[0] for worker in deployment.workers] == [
        f"{BIN}/ggml-rpc-server",
        f"{BIN}/ggml-rpc-server-cuda",
        f"{BIN}/ggml-rpc-server-vulkan",
    ]
    assert [worker.gpu for worker in deployment.workers] == [None, "cuda", "vulkan"]
    assert [worker.argv[-2:] for worker in deployment.workers[1:]] == [
        ("--device", "CUDA0"),
        ("--device", "Vulkan0"),
    ]
    assert deployment.root.argv[0] == f"{BIN}/llama-bench"
    assert deployment.root.argv[-1] == "--verbose", "it says which workers got layers"
    assert deployment.root.gpu is None
    assert deployment.root.env == {"GGML_NO_BACKTRACE": "1"}


def test_a_cell_of_cpus_is_the_same_on_nodes_with_gpus() -> None:
    for count in (1, 2):
        with_gpus = ENGINE.deploy(cell(nodes=count), Cluster((node(1, "cuda"), node(2, "vulkan"))))
        without = ENGINE.deploy(cell(nodes=count), Cluster((node(1), node(2))))
        assert with_gpus.root.argv == without.root.argv
        assert [w.argv for w in with_gpus.workers] == [w.argv for w in without.workers]
        assert {w.gpu for w in (*with_gpus.workers, with_gpus.root)} == {None}


@pytest.mark.parametrize(
    ("backends", "batch"), [(("cuda",), "1"), ((None, "vulkan"), "1"), ((None,), None)]
)
def test_texts_that_are_compared_are_computed_token_by_token_on_gpus(
    backends: tuple[Backend | None, ...], batch: str | None
) -> None:
    asked = dataclasses.replace(cell(device="gpu", nodes=len(backends)), workload=GREEDY)
    nodes = tuple(node(number, backend) for number, backend in enumerate(backends, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.engines.common.expected_samples", lambda _: 8)
        patch.setattr("experiments.engines.common.positions", lambda *_: 24)
        server = ENGINE.deploy(asked, Cluster(nodes)).server

    assert server is not None
    assert server.gpu == (backends[0] if len(backends) == 1 else None)
    told = option(server.argv, "--ubatch-size") if "--ubatch-size" in server.argv else None
    assert told == batch
    assert option(server.argv, "--cache-type-k") == "f32"


@pytest.mark.parametrize(
    ("shares", "split_mode", "told"),
    [
        ("free", "layer", None),
        ("even", "layer", "2;2;3"),
        ("memory", "layer", "1;3;3"),
        ("3-2-1", "layer", "3;2;2"),
        ("even", "tensor", "1;1;1"),
        ("memory", "tensor", "4096;16384;8192"),
        ("3-2-2", "tensor", "3;2;2"),
    ],
)
def test_shares_are_told_with_the_output_matrix_as_the_last_layer(
    shares: str, split_mode: str, told: str | None
) -> None:
    nodes = (node(1), node(2, "cuda"), node(3, memory_mib=8192))
    asked = cell(nodes=3, device="gpu", shares=shares, split_mode=split_mode)
    argv = ENGINE.deploy(asked, Cluster(nodes)).root.argv
    assert (option(argv, "--tensor-split") if "--tensor-split" in argv else None) == told


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"gpu_layers": "3"}, "gpu_layers 3 requires device gpu"),
        ({"gpu_layers": "3", "device": "gpu", "nodes": 2}, "gpu_layers 3 requires one node"),
        ({"gpu_layers": "8", "device": "gpu"}, "has 7 at most: 6 layers and the output matrix"),
        ({"shares": "3-2", "nodes": 2}, "shares 3-2 are 5 layers on 2 nodes, and .* has 6 for 2"),
        ({"shares": "2-2-2", "nodes": 2}, "shares 2-2-2 are 6 layers on 3 nodes"),
        (
            {"shares": "1-2-3", "nodes": 2, "split_mode": "tensor"},
            "shares 1-2-3 are for 3 nodes, and this cell has 2",
        ),
        ({"shares": "even", "nodes": 7}, "has 6 layers, too few for one on each of 7 nodes"),
        (
            {"shares": "memory", "nodes": 8, "split_mode": "tensor"},
            "pi8 does not report its memory",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(params: dict[str, object], reason: str) -> None:
    nodes = (*(node(n, "vulkan") for n in range(1, 8)), node(8, memory_mib=0))
    with pytest.raises(AssertionError, match=reason):
        assert (told := ENGINE.check(cell(**params), Cluster(nodes))) is None, told


def test_the_usual_values_leave_ids_as_they_were() -> None:
    asked = dict(canonical(cell().params))  # type: ignore[arg-type]
    assert asked.keys().isdisjoint({"shares", "gpu_layers"})
    assert "shares" in dict(canonical(cell(shares="even").params))  # type: ignore[arg-type]


def test_cells_have_the_axes_only_where_the_matrix_names_them() -> None:
    (usual,) = Matrix.model_validate({"title": "t"}).cells()
    (named,) = Matrix.model_validate({"title": "t", "axes": {"shares": "even"}}).cells()
    assert usual.params.keys() == named.params.keys() - {"shares"}
    assert ENGINE.check(usual, Cluster((node(1, model_sha256={}),))) is not None
    assert ENGINE.deploy(usual, Cluster((node(1, "cuda"),))).root.gpu is None


def test_a_number_of_layers_may_be_written_as_one() -> None:
    matrix = Matrix.model_validate({"title": "t", "axes": {"gpu_layers": ["all", 20]}})
    assert matrix.axes["gpu_layers"] == ("all", "20")
    with pytest.raises(ValueError, match="Allowed values: all, a whole number from 1 to 9999"):
        Matrix.model_validate({"title": "t", "axes": {"gpu_layers": 0}})


def mib_on(asked: Cell, *nodes: Node) -> list[tuple[int, int]]:
    """RAM and memory of the GPU that each node needs."""
    assert isinstance(ENGINE, NodeEngine)
    return [(need.ram_mib, need.gpu_mib) for need in ENGINE.memory_on(asked, nodes)]


SMALL = "synthetic:small"


def test_a_gpu_needs_memory_for_its_layers_and_ram_for_the_others() -> None:
    one = node(1, "vulkan")
    whole, half, output = (
        mib_on(cell(model=SMALL, device="gpu", gpu_layers=layers), one)[0]
        for layers in ("all", "5", "1")
    )
    assert whole[1] > half[1] > output[1] > 0
    assert whole[0] < half[0] < output[0]
    assert mib_on(cell(model=SMALL), one)[0][1] == 0


def test_software_needs_the_same_memory_of_ram() -> None:
    one = node(1, "vulkan")
    software = dataclasses.replace(one.gpus["vulkan"], kind="software")
    asked = cell(model=SMALL, device="gpu")
    ram_mib, gpu_mib = mib_on(asked, one)[0]
    changed = mib_on(asked, dataclasses.replace(one, gpus={"vulkan": software}))[0]
    assert changed[1] == gpu_mib
    assert abs(changed[0] - ram_mib - gpu_mib) <= 1


def test_nodes_with_more_layers_need_more_memory() -> None:
    nodes = (node(1), node(2, "cuda"), node(3))
    uneven = mib_on(cell(model=SMALL, nodes=3, device="gpu", shares="1-6-1"), *nodes)
    even = mib_on(cell(model=SMALL, nodes=3, shares="even"), *nodes)
    free = mib_on(cell(model=SMALL, nodes=3), *nodes)
    assert uneven[2][0] < even[2][0]
    assert uneven[1][0] < 64
    assert uneven[1][1] > uneven[2][0]
    assert even[0] == free[0]
    assert even[2][0] < free[2][0]


def test_a_gpu_that_is_too_small_for_its_share_is_named() -> None:
    small = node(2, "vulkan")
    gpu = dataclasses.replace(small.gpus["vulkan"], free_mib=100)
    nodes = (node(1), dataclasses.replace(small, gpus={"vulkan": gpu}))
    told = ENGINE.check(cell(nodes=2, device="gpu", shares="1-5"), Cluster(nodes))
    assert told is not None
    assert "pi2's GPU has 100 MiB free but would need about" in told


def test_versions_of_gpu_and_cpu_programs_must_agree() -> None:
    other = node(2, "cuda")
    engines = {name: dataclasses.replace(one, version="2") for name, one in other.engines.items()}
    nodes = (node(1), dataclasses.replace(other, engines=engines))
    told = ENGINE.check(cell(nodes=2, device="gpu"), Cluster(nodes))
    assert told == "llama.cpp has different versions on the nodes (pi1 has 1, pi2 has 2)"
