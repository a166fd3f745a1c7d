"""Other programs on a GPU are named before a run that computes on it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from collect.workloads import Benchmark
from experiments.engines.base import Cell
from experiments.fleet.cluster import Cluster, Gpu, Installation, Node
from experiments.planning.plan import Plan
from experiments.planning.shared_gpus import TITLE, shared_gpus

GPU = Gpu("cuda", 0, "NVIDIA RTX 3060", "discrete", 12288, 11776, "550.54.14")
USED = {"gpu_0_name": "NVIDIA RTX 3060", "gpu_0_used_by": "Xorg (pid 812, 350 MiB)"}
DESK = Node(
    name="desk",
    address="192.0.2.7",
    engine_address="192.0.2.7",
    facts=USED,
    engines={"llama.cpp": Installation("llama.cpp", installed=True, gpu="cuda")},
    gpus={"cuda": GPU},
)
PI = Node(name="pi1", address="192.0.2.1", engine_address="192.0.2.1", facts=USED)


def lines(*nodes: Node, device: str = "gpu", unavailable: str | None = None) -> list[str]:
    """What is said before one cell on these nodes runs."""
    params: dict[str, Any] = {"engine": "llama.cpp", "model": "tiny", "nodes": len(nodes)}
    cell = Cell({**params, "device": device}, Benchmark(prompt_tokens=4, generate_tokens=4))
    record = SimpleNamespace(cell_id="one", unavailable=unavailable)
    plan = SimpleNamespace(
        cells=[record], by_id={"one": cell}, cluster=Cluster(nodes), waits_for=lambda _: ()
    )
    return shared_gpus(cast("Plan", plan))


def test_programs_are_named_for_each_gpu_that_computes() -> None:
    assert lines(DESK, PI) == [TITLE, "  desk's GPU is also used by Xorg (pid 812, 350 MiB)"]


def test_several_gpus_of_a_node_have_numbers() -> None:
    facts = {**USED, "gpu_1_name": "NVIDIA T400", "gpu_1_used_by": "game (pid 9)"}
    two = Node("desk", "192.0.2.7", "192.0.2.7", facts=facts, engines=DESK.engines, gpus=DESK.gpus)
    assert lines(two)[2] == "  desk's GPU 1 is also used by game (pid 9)"


def test_nothing_is_said_where_no_gpu_computes() -> None:
    assert lines(DESK, device="cpu") == []
    assert lines(DESK, unavailable="it lacks the model") == []
    assert lines(Node("desk", "192.0.2.7", "192.0.2.7", engines=DESK.engines)) == []
