"""Four nodes of which two have a software GPU, and what tests ask of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from collect.account import Account
from collect.attempt import AttemptRecord
from collect.workloads import Greedy
from experiments.fleet.cluster import Cluster
from experiments.fleet.inventory import read_cluster
from experiments.nodes.facts import ask_facts
from experiments.planning.matrix import Matrix
from experiments.planning.plan import Plan, make_plan
from experiments.runner import RunResult
from tests.doubles.lab_run import MODEL
from tests.lab.runs import launcher
from tests.lab.virtual_lab import PROJECT, VirtualLab

GPU_FIRST, CPU_SECOND, GPU_THIRD, CPU_FOURTH = NODES = ("gx1", "gx2", "gx3", "gx4")
GPUS = (GPU_FIRST, GPU_THIRD)
GROUPS = {
    "behind": (CPU_SECOND, GPU_THIRD),
    "pair": GPUS,
    "third": (GPU_THIRD,),
    "plain": (CPU_SECOND, CPU_FOURTH),
}
"""Groups of the inventory. In the cluster itself the root has a GPU, the second node none."""
ROOTS = [CPU_SECOND, GPU_THIRD]
"""Nodes that are the first of a group, and need the model, too."""
MEMORY_MIB = 6144
"""More than a software GPU has, so that a model can be too large for it alone."""
ENGINES = "/opt/llama-herd/engines"
LLAMA = f"{ENGINES}/llama.cpp"
SOFTWARE = "llvmpipe"
"""How Mesa calls its software GPU."""
DRIVER = "/usr/share/vulkan/icd.d/lvp_icd*"
"""What names the driver's library; releases differ in the file's name."""


def study(**axes: tuple[str | int, ...]) -> Matrix:
    """Greedy text in f32, on a CPU and on a GPU, one node and two; `axes` change it."""
    return Matrix(
        title="Software GPU",
        workload=Greedy(prompts=("Hello there",), positions=24, text="A quick brown fox."),
        axes={
            "engine": ("llama.cpp",),
            "model": (MODEL,),
            "weights": ("f32",),
            "nodes": (1, 2),
            "device": ("cpu", "gpu"),
            "threads": (1,),
            # A model this small would else lie on the node with more memory alone.
            "shares": ("even",),
            **axes,
        },
        repeats=2,
        warmup=0,
        max_attempts=1,
        file="gpu.yml",
    )


def whole(lab: VirtualLab) -> Cluster:
    """All nodes, as the runner sees them."""
    return read_cluster(PROJECT, lab.inventory)


def asked(lab: VirtualLab) -> Cluster:
    """The same once they said what they have."""
    with launcher() as ssh:
        return ask_facts(whole(lab), ssh)


def planned(lab: VirtualLab, matrix: Matrix) -> Plan:
    """What would be run."""
    return make_plan(matrix, asked(lab))


def reasons(plan: Plan) -> list[str | None]:
    """Why each cell cannot run."""
    return [cell.unavailable for cell in plan.cells]


def pretend(cluster: Cluster, node: str, **changes: Any) -> Cluster:  # noqa: ANN401 - any attribute
    """The cluster with another node of that name."""
    nodes = tuple(replace(n, **changes) if n.name == node else n for n in cluster.nodes)
    return replace(cluster, nodes=nodes)


def record(lab: VirtualLab, node: str, engine: str) -> dict[str, Any]:
    """The record of an engine on a node."""
    found: dict[str, Any] = json.loads(lab.on(node, f"cat {ENGINES}/{engine}/install.json"))
    return found


@contextmanager
def changed(lab: VirtualLab, node: str, path: str, content: str) -> Iterator[None]:
    """Write another text into a file of a node for a while; its owner and rights stay."""
    file = lab.on(node, f"realpath {path}").strip()
    kept = lab.on(node, f"cat {file}")
    lab.on(node, f"cat > {file}", given=content)
    try:
        yield
    finally:
        lab.on(node, f"cat > {file}", given=kept)


def of(result: RunResult) -> Account:
    """The ledger of a run."""
    return Account.read(result.folder)


def computed(attempts: list[AttemptRecord]) -> Mapping[tuple[Any, ...], set[tuple[str, ...]]]:
    """Group, nodes and device of cells to the nodes that computed on a GPU in their attempts."""
    found: dict[tuple[Any, ...], set[tuple[str, ...]]] = {}
    for one in attempts:
        cell = tuple(one.params.get(axis) for axis in ("group", "nodes", "device"))
        found.setdefault(cell, set()).add(tuple(sorted(one.devices)))
    return found


def results_of(folder: Path) -> Path:
    """Where a test's runs are written."""
    return folder / "results"
